"""Influence: gradients one by one, the information matrix they are set against, and the methods it is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import AutoModelForCausalLM

from openledger.attribution.influence import (
    DRAWS,
    LABELS,
    AdapterGradients,
    Block,
    Example,
    Task,
    batches,
    datainf,
    fisher,
    grad_cos,
    grad_dot,
    labels_for,
    precondition,
    tracin,
)
from openledger.errors import UserError

EXAMPLES = [
    Example((1, 5, 9, 2, 7, 3)),
    Example((4, 4, 8, 8, 1), 3),
    Example((2, 6, 2, 6, 2, 6, 2, 6)),
    Example((9, 30, 31, 30, 31), 2),
]
QUERIES = [Example((2, 6, 2, 6)), Example((9, 30, 31, 30), 2)]


@pytest.fixture(scope="module")
def task(base: Path, adapter: Path) -> Task:
    return Task(base, adapter, EXAMPLES, QUERIES, [(0.5, adapter), (0.25, adapter)])


def one_by_one(base: Path, adapter: Path, examples: list[Example]) -> NDArray[np.float32]:
    """What torch itself gives for each example alone."""
    model: Any = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base), adapter, is_trainable=True
    ).eval()
    weights = [
        layer.weight
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and ("lora_A." in name or "lora_B." in name)
    ]
    rows = []
    for example in examples:
        ids = torch.tensor([example.tokens])
        logprobs = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        chosen = logprobs.gather(1, ids[0, 1:, None])[:, 0]
        loss = -chosen[example.first - 1 :].sum()
        rows.append(torch.cat([grad.flatten() for grad in torch.autograd.grad(loss, weights)]))
    found: NDArray[np.float32] = torch.stack(rows).numpy()
    return found


def test_gradients_of_a_batch_are_those_of_each_example_alone(base: Path, adapter: Path, task: Task) -> None:
    assert task.of_examples.shape == (len(EXAMPLES), task.model.size)
    np.testing.assert_allclose(task.of_examples, one_by_one(base, adapter, EXAMPLES), rtol=1e-4, atol=1e-5)


def test_blocks_cover_a_gradient_without_overlap(task: Task) -> None:
    stops = [block.stop for block in task.blocks]
    assert [block.start for block in task.blocks] == [0, *stops[:-1]]
    assert stops[-1] == task.model.size
    assert len(task.blocks) == 2 * 3 * 2  # A and B of three projections in two layers


def test_logprobs_are_of_learnt_tokens_with_and_without_the_adapter(
    base: Path, adapter: Path, task: Task
) -> None:
    plain = AutoModelForCausalLM.from_pretrained(base)
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    for model, found in (
        (plain, task.model.logprobs(EXAMPLES, adapted=False)),
        (adapted, task.model.logprobs(EXAMPLES)),
    ):
        for example, mine in zip(EXAMPLES, found, strict=True):
            ids = torch.tensor([example.tokens])
            with torch.no_grad():
                every = model(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
            np.testing.assert_allclose(mine, every[example.first - 1 :, 0], rtol=1e-4, atol=1e-5)


def test_drawn_labels_depend_on_the_seed_and_the_place_alone(task: Task) -> None:
    def drawn(examples: list[Example], seed: int) -> dict[int, NDArray[np.float32]]:
        found: dict[int, list[Any]] = {}
        for batch in batches(examples):
            for part in task.model.sampled(batch, 3, seed):
                for place, row in zip(batch.places, part, strict=True):
                    found.setdefault(place, []).append(row)
        return {place: np.stack(rows) for place, rows in found.items()}

    one, again, other = drawn(EXAMPLES, 1), drawn(EXAMPLES, 1), drawn(EXAMPLES, 2)
    fewer = drawn(EXAMPLES[:2], 1)
    assert sorted(one) == [0, 1, 2, 3]
    assert all(len(rows) == 3 for rows in one.values())
    for place in range(4):
        np.testing.assert_array_equal(one[place], again[place])
        assert not np.allclose(one[place], other[place])
    for place in range(2):
        np.testing.assert_allclose(fewer[place], one[place], rtol=1e-4, atol=1e-5)


def test_a_models_own_labels_have_gradients_that_cancel(task: Task) -> None:
    """The mean of the score function is 0: what tells draws from the model from the data's own tokens."""
    (batch,) = batches(EXAMPLES[:1])
    draws = np.concatenate(list(task.model.sampled(batch, 400)))
    ratio = np.linalg.norm(draws.mean(0)) / np.sqrt((draws**2).sum(1).mean())
    assert ratio < 4 / np.sqrt(400)
    own = task.of_examples[0]
    assert np.linalg.norm(own) > 4 * np.linalg.norm(draws.mean(0))


@pytest.mark.parametrize("draws", [3, 40], ids=["fewer draws than weights", "more"])
def test_preconditioning_is_the_inverse_written_out(draws: int) -> None:
    draw = np.random.default_rng(0)
    sampled = draw.normal(size=(draws, 12)).astype(np.float32)
    gradients = draw.normal(size=(5, 12)).astype(np.float32)
    blocks = [Block("a", 0, 8), Block("b", 8, 12)]
    found = precondition(gradients, sampled, blocks, damping=0.3)
    for block in blocks:
        part = sampled[:, block.columns].astype(float)
        information = part.T @ part / draws
        ridge = 0.3 * np.trace(information) / len(information)
        wanted = gradients[:, block.columns] @ np.linalg.inv(information + ridge * np.eye(len(information)))
        np.testing.assert_allclose(found[:, block.columns], wanted, rtol=1e-4, atol=1e-5)


def test_a_weight_that_nothing_reaches_has_no_influence() -> None:
    sampled = np.array([[1, 0], [2, 0]], np.float32)
    found = precondition(np.array([[3, 5]], np.float32), sampled, [Block("a", 0, 1), Block("b", 1, 2)])
    assert found[0, 1] == 0
    assert found[0, 0] != 0


@pytest.mark.parametrize("method", [fisher, datainf, grad_dot, grad_cos, tracin])
def test_an_example_is_the_source_of_an_output_like_it(task: Task, method: Any) -> None:
    found = method(task)
    assert found.shape == (2, 4)
    assert found.argmax(1).tolist() == [2, 3]


def test_fisher_is_the_preconditioned_product(task: Task) -> None:
    ready = precondition(task.of_examples, task.sampled(LABELS), task.blocks)
    np.testing.assert_allclose(fisher(task), task.of_queries @ ready.T, rtol=1e-5)


def test_datainf_is_its_papers_formula(task: Task) -> None:
    wanted = np.zeros((2, 4))
    for block in task.blocks:
        rows = task.of_examples[:, block.columns].astype(float)
        damping = np.mean([np.mean(row**2) for row in rows]) / 10
        for at, asked in enumerate(task.of_queries[:, block.columns].astype(float)):
            terms = [asked - (asked @ row) / (damping + row @ row) * row for row in rows]
            wanted[at] += rows @ np.sum(terms, axis=0) / (len(rows) * damping)
    np.testing.assert_allclose(datainf(task), wanted, rtol=1e-3)


def test_tracin_sums_over_checkpoints(task: Task) -> None:
    np.testing.assert_allclose(tracin(task), 0.75 * grad_dot(task), rtol=1e-4)
    with pytest.raises(UserError, match="checkpoints"):
        tracin(Task(task.base, task.adapter, EXAMPLES, QUERIES))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_adapter_with_gradients_that_are_not_finite_is_refused(
    base: Path, make_adapter: Any, tmp_path: Path, value: float
) -> None:
    broken = AdapterGradients(base, make_adapter(tmp_path / "broken", spoil=value))
    with pytest.raises(UserError, match="not finite"):
        broken.of(EXAMPLES)


def test_a_directory_that_is_no_adapter_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot load the adapter"):
        AdapterGradients(base, tmp_path)


@pytest.mark.parametrize(("tokens", "first"), [((1,), 1), ((1, 2), 2), ((1, 2), 0), ((), 1)])
def test_an_example_that_teaches_nothing_is_refused(tokens: tuple[int, ...], first: int) -> None:
    with pytest.raises(UserError, match="teaches nothing"):
        Example(tokens, first)


def test_few_examples_are_drawn_for_more_often() -> None:
    assert labels_for(4) == labels_for(0) == LABELS
    assert labels_for(DRAWS // 8) == 8
    assert labels_for(DRAWS // 8 + 1) == 8
    assert labels_for(10 * DRAWS) == 1
