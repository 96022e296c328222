"""Influence: which training examples made an adapter say what it says.

``AdapterGradients`` takes gradients of an adapter's weights, one for each example; the methods turn those of the
training examples and of outputs into scores. ``fisher`` is the one that is paid by, the others are what it is measured
against. torch, transformers and peft are imported by the functions that need them.
"""

from __future__ import annotations

from ._datainf import datainf
from ._divide import NULL_DEVIATIONS, Division, divide
from ._dot import grad_cos, grad_dot
from ._fisher import DAMPING, DRAWS, LABELS, fisher, labels_for, precondition
from ._gradients import NO_GRADIENTS, AdapterGradients, Batch, Block, Example, batches
from ._store import CAP, NULLS, Lesson, RowGradients
from ._task import Task
from ._tracin import tracin

__all__ = [
    "CAP",
    "DAMPING",
    "DRAWS",
    "LABELS",
    "NO_GRADIENTS",
    "NULLS",
    "NULL_DEVIATIONS",
    "Lesson",
    "RowGradients",
    "AdapterGradients",
    "Batch",
    "Block",
    "Division",
    "Example",
    "Task",
    "batches",
    "datainf",
    "divide",
    "fisher",
    "grad_cos",
    "grad_dot",
    "labels_for",
    "precondition",
    "tracin",
]
