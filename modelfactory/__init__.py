"""ModelFactory: a small base model made on first use, LoRA adapters from datanets, and their evaluation.

Facts are memorised: an adapter repeats what its datanet states and is not claimed to know more. torch, transformers
and peft are imported by the functions that need them.
"""

from __future__ import annotations

from ._adapter import ensure_adapter, train_adapter
from ._base import base_digest, ensure_base
from ._corpus import prompt_of
from ._evaluate import Evaluation, answer, evaluate
from ._gradients import ensure_gradients, influence_on, lessons_of, training_of
from ._loop import Progress
from ._recipe import AdapterRecipe, BaseRecipe
from ._replay import retrain, trainer_class, training_step
from ._together import ensure_adapters

__all__ = [
    "AdapterRecipe",
    "BaseRecipe",
    "Evaluation",
    "Progress",
    "answer",
    "base_digest",
    "ensure_adapter",
    "ensure_adapters",
    "ensure_base",
    "ensure_gradients",
    "evaluate",
    "influence_on",
    "lessons_of",
    "prompt_of",
    "retrain",
    "train_adapter",
    "trainer_class",
    "training_of",
    "training_step",
]
