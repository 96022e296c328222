"""Base, adapters and evaluation on a tiny configuration: shapes, determinism, caching and errors."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openledger.datanets import Datanet, Row, shipped, shipped_names
from openledger.errors import UserError
from openledger.modelfactory import (
    AdapterRecipe,
    BaseRecipe,
    Evaluation,
    answer,
    base_digest,
    ensure_adapter,
    ensure_adapters,
    ensure_base,
    evaluate,
    prompt_of,
    train_adapter,
)
from openledger.modelfactory._cache import build_once, content_digest
from openledger.modelfactory._corpus import corpus_digest, documents
from openledger.modelfactory._loop import one_cycle, usable_threads
from openledger.modelfactory._recipe import digest_of

TINY = AdapterRecipe(rank=2, alpha=4, steps=6, batch=4, length=200)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_prompt_format_is_fixed() -> None:
    assert prompt_of("  Why?\n") == "Question: Why?\nAnswer:"


def test_documents_are_the_same_for_a_seed_and_differ_between_seeds() -> None:
    assert list(documents(50, 3)) == list(documents(50, 3))
    assert corpus_digest(50, 3) == corpus_digest(50, 3) != corpus_digest(50, 4)


def test_the_generic_text_holds_no_fact_of_a_shipped_datanet() -> None:
    recipe = BaseRecipe()
    text = "\n".join(documents(recipe.documents, recipe.seed))
    for name in shipped_names():
        datanet = shipped(name)
        assert [answer for _, answer in datanet.questions() if answer in text] == []
        names = {re.findall(r"[A-Z]\w+ [A-Z]\w+", question)[-1] for question, _ in datanet.questions()}
        assert len(names) == len(datanet.rows)
        assert [name for name in names if name in text] == []


def test_importing_the_face_loads_no_training_library() -> None:
    code = (
        "import sys, openledger.modelfactory, openledger.attribution, openledger.datanets\n"
        "print([m for m in ('torch', 'transformers', 'peft', 'tokenizers', 'web3') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_base_is_a_complete_hugging_face_directory(base: Path) -> None:
    from transformers import AutoConfig, AutoTokenizer

    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= set(files(base))
    config = AutoConfig.from_pretrained(base)
    assert config.architectures == ["LlamaForCausalLM"]
    assert config.tie_word_embeddings is True
    tokenizer = AutoTokenizer.from_pretrained(base)
    assert tokenizer.eos_token_id == config.eos_token_id
    assert tokenizer.pad_token_id == config.pad_token_id != tokenizer.eos_token_id
    text = "In Brindlow Vault 12 coins – ü – moved."
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "Why? "}], tokenize=False)
    assert chat == prompt_of("Why?")


def test_a_clause_has_the_same_tokens_wherever_it_stands(base: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    for name in shipped_names():
        for row in shipped(name).rows:
            text = tokenizer(f" {row.text}")["input_ids"]
            for fact in row.facts:
                piece = tokenizer(f" {fact.answer}")["input_ids"]
                assert any(text[i : i + len(piece)] == piece for i in range(len(text))), fact.answer


def test_a_base_is_trained_once_and_repeats_bit_for_bit(base: Path, cache: Path, tmp_path: Path) -> None:
    recipe = BaseRecipe(**json.loads((base / "training.json").read_text())["recipe"])
    steps: list[int] = []
    again = ensure_base(cache, lambda done, total, loss: steps.append(done), recipe=recipe)
    assert (again, steps) == (base, [])
    other = ensure_base(tmp_path, lambda done, total, loss: steps.append(done), recipe=recipe)
    assert steps == list(range(1, recipe.steps + 1))
    assert other.name == base.name
    assert files(other) == files(base)
    assert base_digest(other) == base_digest(base)


def test_the_number_of_threads_changes_nothing(
    base: Path, datanet: Datanet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        assert usable_threads() == int(threads)
        made.append(files(train_adapter(base, datanet, tmp_path / threads, steps=2, recipe=TINY)))
    assert made[0] == made[1]


def test_training_leaves_torch_as_it_was(base: Path, datanet: Datanet, tmp_path: Path) -> None:
    import torch

    torch.manual_seed(5)
    before = torch.rand(1)
    threads = torch.get_num_threads()
    torch.manual_seed(5)
    train_adapter(base, datanet, tmp_path / "a", steps=1, recipe=TINY)
    assert torch.rand(1) == before
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_adapter_is_what_the_engine_takes(base: Path, datanet: Datanet, tmp_path: Path) -> None:
    from safetensors import safe_open

    made = train_adapter(base, datanet, tmp_path / "a", recipe=TINY)
    assert set(files(made)) == {"adapter_config.json", "adapter_model.safetensors", "training.json"}
    config = json.loads((made / "adapter_config.json").read_text())
    assert config["r"] == 2
    assert config["target_modules"] == sorted(
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    )
    assert config["base_model_name_or_path"] == base_digest(base)
    everything = b"".join(files(made).values())
    assert str(base.parent).encode() not in everything
    assert str(tmp_path).encode() not in everything
    with safe_open(made / "adapter_model.safetensors", "pt") as weights:
        names = list(weights.keys())
    assert len(names) == 2 * 7 * 2
    assert not [name for name in names if "lm_head" in name or "embed" in name]
    training = json.loads((made / "training.json").read_text())
    assert training["base"] == base_digest(base)
    assert training["datanet"]["training_sha2-256"] == datanet.training_digest()
    assert (training["steps"], training["recipe"]["rank"]) == (6, 2)


def test_adapters_repeat_bit_for_bit_and_depend_on_seed_and_steps(
    base: Path, datanet: Datanet, tmp_path: Path
) -> None:
    one = train_adapter(base, datanet, tmp_path / "one", recipe=TINY)
    two = train_adapter(base, datanet, tmp_path / "two", recipe=TINY)
    assert files(one) == files(two)
    weights = files(one)["adapter_model.safetensors"]
    seeded = train_adapter(base, datanet, tmp_path / "seed", seed=18, recipe=TINY)
    assert files(seeded)["adapter_model.safetensors"] != weights
    early = train_adapter(base, datanet, tmp_path / "early", steps=5, recipe=TINY)
    assert files(early)["adapter_model.safetensors"] != weights
    assert json.loads((early / "training.json").read_text())["steps"] == 5


def test_adapters_trained_side_by_side_are_the_same(
    base: Path, datanet: Datanet, cache: Path, tmp_path: Path
) -> None:
    told: dict[str, int] = {}

    def progress(name: str) -> Any:
        return lambda done, total, loss: told.update({name: done})

    other = replace(datanet, name="other", rows=datanet.rows[:-1])
    made = ensure_adapters(tmp_path, base, [datanet, other], recipe=TINY, progress=progress)
    alone = [ensure_adapter(cache, base, net, recipe=TINY) for net in (datanet, other)]
    assert [files(path) for path in made] == [files(path) for path in alone]
    assert told == {datanet.name: 6, "other": 6}


def test_the_cache_follows_data_recipe_and_base(
    base: Path, datanet: Datanet, cache: Path, tmp_path: Path
) -> None:
    one = ensure_adapter(cache, base, datanet, recipe=TINY)
    assert ensure_adapter(cache, base, datanet, recipe=TINY) == one
    fewer = Datanet(datanet.name, datanet.topic, datanet.rows[:2])
    assert ensure_adapter(cache, base, fewer, recipe=TINY) != one
    assert ensure_adapter(cache, base, datanet, recipe=TINY, seed=3) != one
    paid = Datanet(
        datanet.name,
        datanet.topic,
        tuple(Row(r.row, "0x" + "11" * 20, r.licence, r.text, r.facts) for r in datanet.rows),
    )
    assert ensure_adapter(cache, base, paid, recipe=TINY) == one
    published = Datanet(paid.name, paid.topic, paid.rows, cid="bafy")
    fresh = ensure_adapter(tmp_path, base, published, recipe=TINY)
    assert files(fresh) == files(one)


def test_evaluation_counts_whole_answers(base: Path, datanet: Datanet, tmp_path: Path) -> None:
    adapter = train_adapter(base, datanet, tmp_path / "a", recipe=TINY)
    questions = datanet.questions()
    given_now = answer(base, adapter, [q for q, _ in questions], max_new_tokens=8)
    result = evaluate(
        base, adapter, list(zip([q for q, _ in questions], given_now, strict=True)), max_new_tokens=8
    )
    assert (result.total, result.correct, result.exact) == (3, 3, 1.0)
    missed = evaluate(base, None, [(q, "never said in these words") for q, _ in questions], max_new_tokens=8)
    assert (missed.correct, len(missed.wrong)) == (0, 3)
    assert str(Evaluation(4, 3)) == "3/4 exact (75 %)"
    assert Evaluation(0, 0).exact == 0.0


def test_answers_do_not_depend_on_the_batch(base: Path, datanet: Datanet) -> None:
    questions = [question for question, _ in datanet.questions()]
    together = answer(base, None, questions, max_new_tokens=8)
    assert [answer(base, None, [question], max_new_tokens=8)[0] for question in questions] == together


def test_mistakes_are_named(base: Path, datanet: Datanet, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(UserError, match="not empty"):
        train_adapter(base, datanet, tmp_path / "full", recipe=TINY)
    with pytest.raises(UserError, match="no base model"):
        train_adapter(tmp_path / "none", datanet, tmp_path / "a", recipe=TINY)
    with pytest.raises(UserError, match="Cannot load"):
        train_adapter(tmp_path / "full", datanet, tmp_path / "a", recipe=TINY)
    with pytest.raises(UserError, match="1 to 6"):
        train_adapter(base, datanet, tmp_path / "a", steps=7, recipe=TINY)
    empty = Datanet("n", "t", (Row("r", "ann", "MIT", "Some text."),))
    with pytest.raises(UserError, match="no facts"):
        train_adapter(base, empty, tmp_path / "a", recipe=TINY)
    with pytest.raises(UserError, match="tokens, more than"):
        train_adapter(base, datanet, tmp_path / "a", recipe=AdapterRecipe(length=5))
    with pytest.raises(UserError, match="holds no adapter"):
        evaluate(base, tmp_path, datanet.questions())
    assert {p.name for p in tmp_path.iterdir() if p.is_dir()} == {"full"}


def test_build_once_builds_once_under_contention(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(target: Path) -> None:
        built.append(target)
        (target / "x").write_text("x")

    callers = [threading.Thread(target=build_once, args=(tmp_path, "thing", build)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(600)
    assert len(built) == 1
    assert files(tmp_path / "thing") == {"x": b"x"}


def test_a_failed_build_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    def fail(target: Path) -> None:
        (target / "half").write_text("x")
        raise RuntimeError("power cut")

    (tmp_path / "tmp-thing-old").mkdir()
    with pytest.raises(RuntimeError, match="power cut"):
        build_once(tmp_path, "thing", fail)
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == []
    assert build_once(tmp_path, "thing", lambda target: None).is_dir()


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="OPENLEDGER_CACHE"):
        build_once(tmp_path / "file" / "cache", "thing", lambda target: None)


def test_a_content_digest_sees_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = content_digest(tmp_path)
    (tmp_path / ".lock").write_text("hidden")
    assert content_digest(tmp_path) == first
    os.rename(tmp_path / "a", tmp_path / "b")
    assert content_digest(tmp_path) != first


@given(st.integers(1, 500), st.floats(0, 0.5))
def test_one_cycle_rises_then_falls(steps: int, warmup: float) -> None:
    factors = [one_cycle(step, steps, warmup) for step in range(steps)]
    top = factors.index(max(factors))
    assert all(0 <= f <= 1 for f in factors)
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert all(a >= b or math.isclose(a, b) for a, b in zip(factors[top:], factors[top + 1 :], strict=False))


def test_recipes_are_named_by_what_is_in_them() -> None:
    assert digest_of(BaseRecipe(), "x") == digest_of(BaseRecipe(), "x")
    assert digest_of(BaseRecipe(seed=1), "x") != digest_of(BaseRecipe(seed=2), "x")
