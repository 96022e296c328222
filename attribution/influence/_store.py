"""What an adapter's rows weigh, kept as bytes: solved gradients of one adapter, a row each, bound to its digest.

Gradients are the costly part and are taken once, when the adapter is trained; an output then costs one gradient of its
own and one product. A row is the sum of its examples, each weighted by how often training visited it. Values are stored
in 8 bits with a scale for each row and weight, so a row takes a byte for each number of the adapter.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ContentError, UserError
from ._fisher import DAMPING, DRAWS, labels_for, precondition
from ._gradients import AdapterGradients, Block, Example, batches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CAP", "NULLS", "Lesson", "RowGradients"]

CAP = 3.0
"""Longest a row may be, in the median row's length (of the metric of the Fisher information)."""
NULLS = 64
"""Random texts by which is told what a row's influence is on nothing in particular."""

_GRADIENTS = 1 << 28
"""Bytes of outputs' gradients that are held at once."""
_FORMAT = 1
_FILES = ("rows.i8", "scales.f32", "null.f32")

Told = Callable[[int, int], None]
"""Called with (parts done, parts in all)."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """An example that was trained on, and the row it comes from."""

    example: Example
    row: int
    """Place of the row in the order of acceptance."""
    visits: float = 1.0
    """How often training saw it."""


class RowGradients:
    """The rows of one adapter, memory-mapped. Made by :meth:`build`, reopened by :meth:`open`."""

    def __init__(self, folder: Path, meta: dict[str, Any], model: AdapterGradients) -> None:
        import numpy as np

        self._model = model
        self.folder = folder
        """Where they are kept."""
        self.rows = int(meta["rows"])
        """Number of rows."""
        self.digest = str(meta["digest"])
        """sha2-256 (hex) of base, adapter, lessons and method."""
        self._vectors = np.memmap(folder / "rows.i8", np.int8, "r", shape=(self.rows, model.size))
        self._scales = np.fromfile(folder / "scales.f32", np.float32).reshape(self.rows, len(model.blocks))
        self.null: NDArray[np.float32] = np.fromfile(folder / "null.f32", np.float32).reshape(-1, self.rows)
        """(random texts, rows): each row's influence on text that says nothing."""

    @classmethod
    def build(
        cls,
        base: Path | str,
        adapter: Path,
        lessons: Sequence[Lesson],
        cache_dir: Path,
        *,
        labels: int | None = None,
        damping: float = DAMPING,
        progress: Told | None = None,
    ) -> RowGradients:
        """The rows of ``adapter``, from ``cache_dir`` or made now.

        A build that was stopped goes on where it was; it needs 4 bytes of disk for each number of the adapter, for each
        lesson and each of at most ``DRAWS`` drawn gradients. Raises ``UserError`` for lessons of no row, and for gradients
        that are not finite.
        """
        rows = 1 + max((lesson.row for lesson in lessons), default=-1)
        if {lesson.row for lesson in lessons} != set(range(rows)) or not rows:
            raise UserError(
                "Each row needs at least one lesson",
                fix="give rows numbers from 0 on, and leave out those that were not trained on",
            )
        labels = labels or labels_for(len(lessons))
        digest = _digest_of(base, adapter, lessons, labels, damping)
        folder = Path(cache_dir) / f"influence-{digest[:32]}"
        model = AdapterGradients(base, adapter)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be making the same
            if (folder / "rows.json").is_file():
                with suppress(ContentError):  # what is damaged is made again
                    return cls.open(folder, base, adapter, model=model)
            _fill(folder, model, lessons, rows, labels, damping, progress or (lambda done, count: None))
            _write_null(folder, model, lessons, rows)
            meta = {"format": _FORMAT, "digest": digest, "rows": rows, "adapter": file_digests(adapter)}
            meta["files"] = {name: _sha(folder / name) for name in _FILES}
            partial = folder / "rows.json.tmp"
            partial.write_text(json.dumps(meta, sort_keys=True) + "\n", encoding="utf-8")
            os.replace(partial, folder / "rows.json")
            shutil.rmtree(folder / "work", ignore_errors=True)
        return cls(folder, meta, model)

    @classmethod
    def open(
        cls, folder: Path | str, base: Path | str, adapter: Path, *, model: AdapterGradients | None = None
    ) -> RowGradients:
        """Rows made before. Raises ``UserError`` if they are another adapter's, ``ContentError`` if bytes changed."""
        folder = Path(folder)
        try:
            meta = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ContentError(
                f"There are no gradients of rows at {folder}", why=str(error), fix="build them again"
            ) from error
        if meta.get("format") != _FORMAT or any(
            not (folder / name).is_file() or _sha(folder / name) != meta["files"][name] for name in _FILES
        ):
            raise ContentError(
                f"The gradients at {folder} are not what was written", fix="delete them and build them again"
            )
        if meta["adapter"] != file_digests(adapter):
            raise UserError(
                f"The gradients at {folder} are not those of {adapter}",
                why="they are bound to the adapter they were taken from",
                fix="build them for this adapter",
            )
        return cls(folder, meta, model or AdapterGradients(base, adapter))

    def influence(self, outputs: Sequence[Example]) -> NDArray[np.float32]:
        """(outputs, rows): how much each row made each output likelier.

        An output's gradient is taken to length 1, so that long and short ones compare.
        """
        return _influence(self._model, outputs, self._vectors, self._scales)

    def saved(self, outputs: Sequence[Example]) -> list[NDArray[np.float32]]:
        """Of each output, for each learnt token, bits by which the adapter makes it likelier than the base does."""
        import numpy as np

        pairs = zip(self._model.logprobs(outputs), self._model.logprobs(outputs, adapted=False), strict=True)
        return [(adapted - base) / np.float32(np.log(2)) for adapted, base in pairs]


def file_digests(adapter: Path) -> dict[str, str]:
    """sha2-256 (hex) of what an adapter consists of."""
    names = ("adapter_config.json", "adapter_model.safetensors")
    try:
        return {name: _sha(adapter / name) for name in names}
    except OSError as error:
        raise UserError(
            f"{adapter} is not an adapter", why=str(error), fix="give a PEFT directory"
        ) from error


def _fill(
    folder: Path,
    model: AdapterGradients,
    lessons: Sequence[Lesson],
    rows: int,
    labels: int,
    damping: float,
    told: Told,
) -> None:
    """Gradients batch by batch into ``folder/work``, where a later run finds how far this one came; then the rows."""
    import numpy as np

    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    examples = [lesson.example for lesson in lessons]
    draws = min(labels * len(examples), DRAWS)
    # Evenly over the examples, so that what is left out does not hang on their order.
    slots = {at * labels * len(examples) // draws: at for at in range(draws)}
    needed = 4 * model.size * (len(examples) + draws)
    if not (work / "done").exists() and shutil.disk_usage(work).free < needed:
        raise UserError(
            f"The gradients of {len(examples)} examples need {needed / 2**30:.1f} GiB at {work}",
            fix="free disk space or choose another cache",
        )
    sizes = {"own.f32": (len(examples), model.size), "sampled.f32": (draws, model.size)}
    if any(_size(work / name) != 4 * rows * width for name, (rows, width) in sizes.items()):
        (work / "done").unlink(
            missing_ok=True
        )  # without the gradients it counts there is nothing to go on from
    done = int((work / "done").read_text()) if (work / "done").exists() else 0
    own, sampled = (
        np.memmap(work / name, np.float32, "r+" if done else "w+", shape=shape)
        for name, shape in sizes.items()
    )
    every = list(batches(examples))
    for number, batch in enumerate(every):
        if number >= done:
            own[batch.places] = model.of_batch(batch)
            for label, drawn in enumerate(model.sampled(batch, labels)):
                for place, gradient in zip(batch.places, drawn, strict=True):
                    if place * labels + label in slots:
                        sampled[slots[place * labels + label]] = gradient
            own.flush()
            sampled.flush()
            (work / "done.tmp").write_text(str(number + 1))
            os.replace(work / "done.tmp", work / "done")
        told(number + 1, len(every) + 1)
    summed = np.zeros((rows, model.size), np.float32)
    for lesson, gradient in zip(lessons, own, strict=True):
        summed[lesson.row] += np.float32(lesson.visits) * gradient
    _write_rows(folder, model.blocks, summed, np.array(sampled), damping)
    told(len(every) + 1, len(every) + 1)


def _write_rows(
    folder: Path,
    blocks: Sequence[Block],
    summed: NDArray[np.float32],
    sampled: NDArray[np.float32],
    damping: float,
) -> None:
    import numpy as np

    solved = precondition(summed, sampled, blocks, damping)
    lengths = np.sqrt(np.maximum(np.einsum("ij,ij->i", summed, solved), 0))
    longest = CAP * float(np.median(lengths))
    solved *= np.where(lengths > longest, longest / np.where(lengths > 0, lengths, 1), 1)[:, None]
    vectors = np.empty(solved.shape, np.int8)
    scales = np.empty((len(solved), len(blocks)), np.float32)
    for number, block in enumerate(blocks):
        part = solved[:, block.columns]
        largest = np.abs(part).max(1)
        scales[:, number] = largest / 127
        vectors[:, block.columns] = np.rint(part / np.where(largest > 0, largest / 127, 1)[:, None])
    vectors.tofile(folder / "rows.i8")
    scales.tofile(folder / "scales.f32")


def _write_null(folder: Path, model: AdapterGradients, lessons: Sequence[Lesson], rows: int) -> None:
    """Influence on texts of the lessons' lengths whose tokens are drawn one by one, as often as the lessons have them."""
    import numpy as np

    tokens, counts = np.unique(
        [token for lesson in lessons for token in lesson.example.tokens], return_counts=True
    )
    draw = np.random.Generator(np.random.PCG64(0))
    texts = []
    for at in range(NULLS):
        like = lessons[at * len(lessons) // NULLS].example
        drawn = draw.choice(tokens, len(like.tokens), p=counts / counts.sum())
        texts.append(Example(tuple(drawn.tolist()), like.first))
    vectors = np.memmap(folder / "rows.i8", np.int8, "r", shape=(rows, model.size))
    scales = np.fromfile(folder / "scales.f32", np.float32).reshape(rows, len(model.blocks))
    _influence(model, texts, vectors, scales).tofile(folder / "null.f32")


def _influence(
    model: AdapterGradients,
    outputs: Sequence[Example],
    vectors: NDArray[np.int8],
    scales: NDArray[np.float32],
) -> NDArray[np.float32]:
    import numpy as np

    found = np.zeros((len(outputs), len(vectors)), np.float32)
    several = max(1, _GRADIENTS // (4 * model.size))
    for start in range(0, len(outputs), several):
        gradients = model.of(outputs[start : start + several])
        sizes = np.linalg.norm(gradients, axis=1, keepdims=True)
        gradients /= np.where(sizes > 0, sizes, 1)
        for number, block in enumerate(model.blocks):
            part = vectors[:, block.columns].astype(np.float32)
            found[start : start + several] += (gradients[:, block.columns] @ part.T) * scales[:, number]
    return found


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


def _digest_of(
    base: Path | str, adapter: Path, lessons: Sequence[Lesson], labels: int, damping: float
) -> str:
    weights = sorted(Path(base).glob("*.safetensors")) if Path(base).is_dir() else []
    words = [
        _FORMAT,
        [_sha(path) for path in weights] or str(base),
        file_digests(adapter),
        [[lesson.example.tokens, lesson.example.first, lesson.row, lesson.visits] for lesson in lessons],
        [labels, damping, DRAWS, CAP, NULLS],
    ]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def _sha(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
