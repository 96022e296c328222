"""Gradients of a datanet's rows, taken for an adapter that was just trained on them, here and on Ray."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from openledger.attribution import PARTS, NoInfluence
from openledger.attribution.influence import Example, RowGradients, divide
from openledger.datanets import Datanet, shipped
from openledger.modelfactory import (
    AdapterRecipe,
    ensure_gradients,
    influence_on,
    lessons_of,
    prompt_of,
    train_adapter,
)

RECIPE = AdapterRecipe(steps=12, batch=8)


@pytest.fixture(scope="module")
def datanet() -> Datanet:
    whole = shipped("audit_findings")
    return Datanet(whole.name, whole.topic, whole.rows[:3], whole.schema)


@pytest.fixture(scope="module")
def adapter(base: Path, datanet: Datanet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_adapter(base, datanet, tmp_path_factory.mktemp("trained") / "adapter", recipe=RECIPE)


def test_every_question_and_text_is_a_lesson_of_its_row(base: Path, datanet: Datanet) -> None:
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    lessons = lessons_of(base, datanet, RECIPE)
    assert len(lessons) == len(datanet.trained()) + len(datanet.rows)
    said = [
        (lesson.row, tokenizer.decode(list(lesson.example.tokens[lesson.example.first :])).strip())
        for lesson in lessons
    ]
    for place, row in enumerate(datanet.rows):
        mine = [text for of, text in said if of == place]
        for fact in row.facts:
            assert mine.count(fact.answer) >= 1 + len(fact.also)
    assert said[-1][0] == len(datanet.rows) - 1


def test_visits_are_what_training_does(base: Path, datanet: Datanet) -> None:
    """16 steps of texts in 256, of a quarter of the batch."""
    recipe = AdapterRecipe(steps=256, batch=32, text_share=1 / 16)
    lessons = lessons_of(base, datanet, recipe)
    questions, texts = lessons[: len(datanet.trained())], lessons[len(datanet.trained()) :]
    assert sum(lesson.visits for lesson in questions) == pytest.approx(240 * 32)
    assert sum(lesson.visits for lesson in texts) == pytest.approx(16 * 8)


def test_ray_takes_what_this_process_would(
    running_ray: None, base: Path, adapter: Path, datanet: Datanet, tmp_path: Path
) -> None:
    lessons = lessons_of(base, datanet, RECIPE)
    here = RowGradients.build(base, adapter, lessons, tmp_path / "here").folder
    (there,) = ensure_gradients(tmp_path / "there", base, [adapter], datanet, recipe=RECIPE)
    assert there.name == here.name
    rows = [RowGradients.open(folder, base, adapter) for folder in (here, there)]
    output = lessons[0].example
    mine, theirs = (one.influence([output])[0] for one in rows)
    np.testing.assert_allclose(mine, theirs, rtol=1e-2, atol=1e-2 * np.abs(mine).max())
    assert int(np.argmax(mine)) == 0, "the row that was asked about"


def test_influence_is_divided_among_the_rows_that_the_adapter_says_it_was_trained_on(
    base: Path, adapter: Path, datanet: Datanet, tmp_path: Path
) -> None:
    """Of several versions the one with the digest in its ``training.json``, by the recipe there."""
    whole = shipped(datanet.name)
    outputs = [lessons_of(base, datanet, RECIPE)[0].example]
    found = influence_on(tmp_path, base, adapter, iter([whole, datanet]), outputs)
    assert not isinstance(found, NoInfluence)
    trained, divisions = found
    assert trained is datanet
    rows = RowGradients.open(next(tmp_path.glob("influence-*")), base, adapter)
    assert divisions == divide([rows], outputs)
    assert influence_on(tmp_path, base, adapter, [whole], outputs) == NoInfluence(
        "its adapter was trained on no version of a declared datanet"
    )


def test_an_adapter_without_gradients_has_no_influence_for_anybody(
    base: Path, adapter: Path, datanet: Datanet, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(adapter, broken)
    weights = load_file(broken / "adapter_model.safetensors")
    name = next(iter(weights))
    weights[name][0, 0] = np.nan
    save_file(weights, broken / "adapter_model.safetensors")
    found = influence_on(tmp_path, base, broken, [datanet], [Example((5, 6, 7))])
    assert found == NoInfluence("its adapter has no gradients")


def test_the_row_that_taught_a_fact_is_found_in_whatever_words_it_is_asked_for(
    base: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    """Over the shipped adapter, the answers to questions about six of its rows, as trained and in other words."""
    whole = shipped("audit_findings")
    few = Datanet(whole.name, whole.topic, whole.rows[:6], whole.schema)
    (folder,) = ensure_gradients(tmp_path, base, [adapters[whole.name]], few)
    rows = RowGradients.open(folder, base, adapters[whole.name])
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    for wording in ("question", "paraphrase"):
        outputs = []
        for row in few.rows:
            prompt = tokenizer.encode(prompt_of(getattr(row.facts[0], wording)), add_special_tokens=False).ids
            reply = tokenizer.encode(f" {row.facts[0].answer}", add_special_tokens=False).ids
            outputs.append(Example((*prompt, *reply), len(prompt)))
        divisions = divide([rows], outputs)
        found = [int(np.argmax(one.parts)) == place for place, one in enumerate(divisions)]
        own = [one.parts[place] for place, one in enumerate(divisions)]
        assert sum(found) >= 5, (wording, found)
        assert np.mean(own) > PARTS / 2, (wording, own)
        assert all(sum(one.saved) > 0 for one in divisions), "the base did not know it"
