"""Mixed batches against peft, one request at a time: same tokens, same logprobs."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from openledger.openlora import AdapterRef, Engine, Generation, GenerationRequest, Sampling, tolerance_for

from .conftest import EOS, SHAPES, Tiny

LENGTH = 16
ALL = tuple(name.rpartition(".")[2] for name in SHAPES)
MIXED = [
    {"rank": 4, "modules": ALL},
    {"rank": 8, "modules": ("q_proj", "v_proj")},
    {"rank": 16, "modules": ("k_proj", "o_proj"), "blocks": (1,)},
    {"rank": 32, "modules": ("gate_proj",), "scale": 0.1},
    {"rank": 64, "modules": ALL, "scale": 0.05},
    {"rank": 5, "modules": ("up_proj", "down_proj"), "blocks": (0,)},
    {"rank": 1, "modules": ("down_proj",)},
]


@pytest.fixture(scope="module")
def adapters(tiny: Tiny) -> list[tuple[AdapterRef | None, Path | None]]:
    made: list[tuple[AdapterRef | None, Path | None]] = [(None, None)]
    for number, options in enumerate(MIXED, 1300):
        made.append((tiny.publish(number, **options), tiny.directories[f"made-{number}"]))  # type: ignore[arg-type]
    return made


def prompt(seed: int) -> tuple[int, ...]:
    """Short ones, and ones long enough for the operator's other way through matrix products."""
    draw = random.Random(seed)
    return tuple(draw.randrange(3, 1000) for _ in range(draw.choice([3, 20, 100, 180])))


def by_peft(
    base: Path, directory: Path | None, prompts: list[tuple[int, ...]]
) -> list[tuple[list[int], list[int]]]:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if directory is not None:
        model = PeftModel.from_pretrained(model, directory)
    made = []
    for one in prompts:
        with torch.no_grad():
            output = model.generate(
                torch.tensor([one]),
                attention_mask=torch.ones(1, len(one)),
                max_new_tokens=LENGTH,
                min_new_tokens=LENGTH,
                do_sample=False,
                eos_token_id=EOS,
            )
            logprobs = model(output).logits[0].log_softmax(-1)
        tokens = output[0, len(one) :].tolist()
        made.append(
            (
                tokens,
                [round(float(logprobs[len(one) - 1 + at, token]) * 1e4) for at, token in enumerate(tokens)],
            )
        )
    return made


def test_mixed_batches_give_what_peft_gives_one_by_one(
    engine: Engine, tiny: Tiny, adapters: list[tuple[AdapterRef | None, Path | None]]
) -> None:
    asked = [(which, prompt(10 * which + at)) for at in range(3) for which in range(len(adapters))]
    requests = [
        GenerationRequest(one, adapters[which][0], Sampling(max_tokens=LENGTH, stop_token_ids=()), bytes(32))
        for which, one in asked
    ]
    random.Random(4).shuffle(order := list(range(len(requests))))
    answers: dict[int, Generation] = dict(
        zip(order, engine.generate_many([requests[at] for at in order]), strict=True)
    )
    tolerance = tolerance_for(engine.engine_class, engine.engine_class)
    assert tolerance is not None
    for which, (_, directory) in enumerate(adapters):
        mine = [at for at, (other, _) in enumerate(asked) if other == which]
        for at, (tokens, logprobs) in zip(
            mine, by_peft(tiny.base, directory, [asked[at][1] for at in mine]), strict=True
        ):
            # min_new_tokens keeps peft from its end token; where that is the most likely one the two part.
            same = next(
                (n for n, (x, y) in enumerate(zip(answers[at].tokens, tokens, strict=True)) if x != y), LENGTH
            )
            assert same == LENGTH or answers[at].tokens[same] == EOS
            assert list(answers[at].logprobs[:same]) == pytest.approx(logprobs[:same], abs=tolerance.logprob)
    assert sum(EOS not in answer.tokens for answer in answers.values()) > len(answers) // 2
