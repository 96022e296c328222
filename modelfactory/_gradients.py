"""What each row of a datanet weighs in an adapter, taken when the adapter is trained: one job an adapter, on Ray where it
runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..attribution.influence import Example, Lesson, RowGradients
from ..datanets import Datanet
from ._adapter import _examples
from ._loop import deterministic
from ._models import load_tokenizer
from ._progress import quiet_loading
from ._recipe import AdapterRecipe

__all__ = ["ensure_gradients", "lessons_of"]


def lessons_of(base: Path | str, datanet: Datanet, recipe: AdapterRecipe | None = None) -> list[Lesson]:
    """Everything an adapter of ``datanet`` is trained on, with its row's place and how often training visits it.

    Questions that are rehearsed from the base's own training belong to no row and are left out.
    """
    recipe = recipe or AdapterRecipe()
    questions, texts = _examples(load_tokenizer(base), datanet, recipe)
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
    import ray

    lessons = lessons_of(base, datanet, recipe)
    asked = [(str(base), str(adapter), lessons, str(cache_dir)) for adapter in adapters]
    if not ray.is_initialized():
        return [_take(*one) for one in asked]
    take = ray.remote(num_cpus=1, max_retries=3)(_take)
    found: list[Path] = ray.get([take.remote(*one) for one in asked])
    return found


def _take(base: str, adapter: str, lessons: list[Lesson], cache_dir: str) -> Path:
    with deterministic(0), quiet_loading():
        return RowGradients.build(base, Path(adapter), lessons, Path(cache_dir)).folder
