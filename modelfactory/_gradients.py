"""What each row of a datanet weighs in an adapter, taken when the adapter is trained or first asked about: one job an adapter,
on Ray where it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from ..attribution import NoInfluence
from ..attribution.influence import NO_GRADIENTS, Division, Example, Lesson, RowGradients, divide
from ..datanets import Datanet
from ..errors import ExecutionError, OpenLedgerError, UserError
from ._adapter import KIND, _examples
from ._loop import deterministic
from ._models import load_tokenizer
from ._progress import quiet_loading
from ._recipe import AdapterRecipe

__all__ = ["ensure_gradients", "influence_on", "lessons_of", "training_of"]

_TIMEOUT = 3600.0
"""Seconds a task on Ray may take, waiting for its core included: gradients of thousands of rows take minutes."""
_MOST = 10**9
"""Largest number in a recipe that a stranger's adapter may state."""


def lessons_of(base: Path | str, datanet: Datanet, recipe: AdapterRecipe | None = None) -> list[Lesson]:
    """Everything an adapter of ``datanet`` is trained on, with its row's place and how often training visits it.

    Questions that are rehearsed from the base's own training belong to no row and are left out.
    """
    return _lessons(load_tokenizer(base), datanet, recipe or AdapterRecipe())


def _lessons(tokenizer: Any, datanet: Datanet, recipe: AdapterRecipe) -> list[Lesson]:
    questions, texts = _examples(tokenizer, datanet, recipe)
    rows = [
        place
        for place, row in enumerate(datanet.rows)
        for fact in row.facts
        for _ in (fact.question, *fact.also)
    ]
    every = round(1 / recipe.text_share) if recipe.text_share > 0 else 0
    text_steps = recipe.steps // every if every else 0
    visits = recipe.batch * (recipe.steps - text_steps) / len(questions)
    lessons = [
        Lesson(Example(tuple(tokens), first), row, visits)
        for (tokens, first), row in zip(questions, rows, strict=True)
    ]
    visits = max(1, recipe.batch // 4) * text_steps / len(texts)
    lessons += [
        Lesson(Example(tuple(tokens), first), row, visits) for row, (tokens, first) in enumerate(texts)
    ]
    return lessons


def training_of(adapter: Path) -> tuple[AdapterRecipe, str] | NoInfluence:
    """The recipe an adapter says it was trained by, and the digest of the rows it was trained on
    (:meth:`Datanet.training_digest`), from the ``training.json`` that is published with it; else why it says neither.

    What it says is its publisher's word; that a run gives the adapter is shown by repeating it.
    """
    try:
        # Python's own parser overflows the stack on brackets nested deep, where the recursion limit was raised.
        said = from_json((adapter / "training.json").read_bytes())
        if said["kind"] != KIND:
            return NoInfluence(f"its adapter was trained by something else than {KIND}")
        return _recipe(said["recipe"]), str(said["datanet"]["training_sha2-256"])
    except FileNotFoundError:
        return NoInfluence("its adapter says not what it was trained on")
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        return NoInfluence(f"what its adapter says of its training is malformed ({type(error).__name__})")


def _recipe(said: dict[str, Any]) -> AdapterRecipe:
    """Strangers write it: every number is one that a run could have had."""
    recipe = AdapterRecipe(**said)
    for field in fields(recipe):
        value, whole = getattr(recipe, field.name), field.type == "int"
        if type(value) is not int and (whole or type(value) is not float):
            raise ValueError(f"{field.name} {value!r}")
        if not (1 if whole else 0) <= value <= _MOST or not math.isfinite(value):
            raise ValueError(f"{field.name} {value!r}")
    if 0 < recipe.text_share < 1 / _MOST:
        raise ValueError(f"text_share {recipe.text_share!r}")
    return recipe


def ensure_gradients(
    cache_dir: Path | str,
    base: Path | str,
    adapters: Sequence[Path],
    datanet: Datanet,
    *,
    recipe: AdapterRecipe | None = None,
) -> list[Path]:
    """The directories of the rows' gradients of ``adapters``, all trained on ``datanet``: from the cache or taken now.

    Where Ray is connected each adapter is a task of one core, on whichever node has it; ``cache_dir`` must then be one all
    of them see. A task that is lost is run again and goes on where it was. Errors are those of :meth:`RowGradients.build`.
    """
    lessons = lessons_of(base, datanet, recipe)
    return _run(_take, [(str(base), str(adapter), lessons, str(cache_dir)) for adapter in adapters])


def influence_on(
    cache_dir: Path | str,
    base: Path | str,
    adapter: Path,
    versions: Iterable[Datanet],
    outputs: Sequence[Example],
) -> tuple[Datanet, list[Division]] | NoInfluence:
    """``outputs`` divided among the rows that ``adapter`` was trained on, with the datanet whose rows they are: the first
    of ``versions`` that the adapter names; else why nobody can divide them.

    Gradients are taken as by :func:`ensure_gradients` when they are first needed. Raises ``ContentError`` for a version
    that cannot be had, ``UserError`` for want of disk space, ``ExecutionError`` when Ray could not run it.
    """
    said = training_of(adapter)
    if isinstance(said, NoInfluence):
        return said
    recipe, digest = said
    trained = next((net for net in versions if net.training_digest() == digest), None)
    if trained is None:
        return NoInfluence("its adapter was trained on no version of a declared datanet")
    tokenizer = load_tokenizer(base)
    try:
        lessons = _lessons(tokenizer, trained, recipe)
    except UserError as error:
        return NoInfluence(f"its adapter cannot have been trained by its recipe: {error.what}")
    try:
        (made,) = _run(_divide, [(str(base), str(adapter), lessons, str(cache_dir), list(outputs))])
    except UserError as error:
        if error.code != NO_GRADIENTS:
            raise
        return NoInfluence("its adapter has no gradients")
    return trained, made


def _run(work: Callable[..., Any], asked: Sequence[tuple[Any, ...]]) -> list[Any]:
    import ray

    if not ray.is_initialized():
        return [work(*one) for one in asked]
    task = ray.remote(num_cpus=1, max_retries=3)(work)
    try:
        found: list[Any] = ray.get([task.remote(*one) for one in asked], timeout=_TIMEOUT)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, OpenLedgerError):
            raise error.cause from None
        raise
    except (ray.exceptions.GetTimeoutError, ray.exceptions.WorkerCrashedError) as error:
        raise ExecutionError(
            "Ray could not take the gradients of an adapter",
            why=str(error),
            fix="check `ray status` for a free core and memory, then ask again: what is done is kept",
        ) from error
    return found


def _take(base: str, adapter: str, lessons: list[Lesson], cache_dir: str) -> Path:
    return _rows(base, adapter, lessons, cache_dir).folder


def _divide(
    base: str, adapter: str, lessons: list[Lesson], cache_dir: str, outputs: list[Example]
) -> list[Division]:
    with deterministic(0):
        return divide([_rows(base, adapter, lessons, cache_dir)], outputs)


def _rows(base: str, adapter: str, lessons: list[Lesson], cache_dir: str) -> RowGradients:
    with deterministic(0), quiet_loading():
        return RowGradients.build(base, Path(adapter), lessons, Path(cache_dir))
