"""Gradients of rows: kept in 8 bits, bound to an adapter, finished after a stop."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from openledger.attribution import GRID_PARTS, GRID_SAVED, PARTS
from openledger.attribution.influence import (
    CAP,
    NULLS,
    AdapterGradients,
    Example,
    Lesson,
    RowGradients,
    Task,
    divide,
    fisher,
)
from openledger.errors import ContentError, UserError

LESSONS = [
    Lesson(Example((1, 5, 9, 2, 7, 3)), 0),
    Lesson(Example((4, 4, 8, 8, 1), 3), 1, 2.0),
    Lesson(Example((2, 6, 2, 6, 2, 6, 2, 6)), 1),
    Lesson(Example((9, 30, 31, 30, 31), 2), 2, 0.5),
]
OUTPUTS = [Example((2, 6, 2, 6)), Example((9, 30, 31, 30), 2), Example((7, 3, 7, 3, 1))]


def files(folder: Path) -> dict[str, bytes]:
    (made,) = folder.glob("influence-*")
    return {path.name: path.read_bytes() for path in sorted(made.iterdir()) if path.name != "lock"}


def test_a_row_is_its_examples_as_often_as_they_were_visited(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    store = RowGradients.build(base, adapter, LESSONS, tmp_path)
    task = Task(base, adapter, [lesson.example for lesson in LESSONS], OUTPUTS)
    each = fisher(task) / np.linalg.norm(task.of_queries, axis=1, keepdims=True)
    wanted = np.stack([each[:, 0], 2 * each[:, 1] + each[:, 2], 0.5 * each[:, 3]], axis=1)
    found = store.influence(OUTPUTS)
    assert np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max(), "8 bits are enough"


def test_one_byte_is_kept_for_each_number_of_a_row(base: Path, adapter: Path, tmp_path: Path) -> None:
    RowGradients.build(base, adapter, LESSONS, tmp_path)
    size = Task(base, adapter, [], []).model.size
    assert {name: len(data) for name, data in files(tmp_path).items()} == {
        "rows.i8": 3 * size,
        "scales.f32": 3 * 12 * 4,
        "null.f32": 64 * 3 * 4,
        "rows.json": len(files(tmp_path)["rows.json"]),
    }


def test_a_build_that_was_stopped_goes_on_where_it_was(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openledger.attribution.influence._gradients.BATCH_TOKENS", 8)  # a batch each

    class Stopped(Exception):
        pass

    def stops(after: int) -> Any:
        def told(done: int, _count: int) -> None:
            if done == after:
                raise Stopped

        return told

    for after in (1, 3):
        with pytest.raises(Stopped):
            RowGradients.build(base, adapter, LESSONS, tmp_path / "stopped", progress=stops(after))
    taken: list[Any] = []
    real = "openledger.attribution.influence._gradients.AdapterGradients.of_batch"
    of_batch = AdapterGradients.of_batch
    monkeypatch.setattr(real, lambda self, batch: taken.append(batch.places) or of_batch(self, batch))
    RowGradients.build(base, adapter, LESSONS, tmp_path / "stopped")
    assert taken[0] == [2], "only the last and longest was left"
    assert len(taken) == 1 + NULLS
    RowGradients.build(base, adapter, LESSONS, tmp_path / "whole")
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")


def test_no_row_is_longer_than_a_few_others(base: Path, adapter: Path, tmp_path: Path) -> None:
    """An outlier's gradient counts no more than CAP rows of the usual length."""
    loud = [*LESSONS[:3], Lesson(LESSONS[3].example, 2, 1000.0)]
    louder = [*LESSONS[:3], Lesson(LESSONS[3].example, 2, 5000.0)]
    one, other = (
        RowGradients.build(base, adapter, lessons, tmp_path).influence(OUTPUTS) for lessons in (loud, louder)
    )
    np.testing.assert_allclose(one, other, rtol=0.02, atol=0.02 * np.abs(one).max())
    assert CAP > 1


def test_the_same_lessons_are_not_gone_through_twice(base: Path, adapter: Path, tmp_path: Path) -> None:
    told: list[int] = []
    first = RowGradients.build(base, adapter, LESSONS, tmp_path)
    again = RowGradients.build(
        base, adapter, LESSONS, tmp_path, progress=lambda done, count: told.append(done)
    )
    assert again.digest == first.digest
    assert not told
    assert (
        RowGradients.build(base, adapter, LESSONS[:2] + LESSONS[3:], tmp_path / "other").digest
        != first.digest
    )


def test_gradients_of_another_adapter_are_refused(
    base: Path, adapter: Path, make_adapter: Any, tmp_path: Path
) -> None:
    RowGradients.build(base, adapter, LESSONS, tmp_path)
    (folder,) = tmp_path.glob("influence-*")
    with pytest.raises(UserError, match="are not those of"):
        RowGradients.open(folder, base, make_adapter(tmp_path / "other", seed=1))


@pytest.mark.parametrize("name", ["rows.i8", "scales.f32", "null.f32"])
def test_changed_bytes_are_noticed_and_made_again(
    base: Path, adapter: Path, tmp_path: Path, name: str
) -> None:
    RowGradients.build(base, adapter, LESSONS, tmp_path)
    before = files(tmp_path)
    (folder,) = tmp_path.glob("influence-*")
    spoilt = bytearray(before[name])
    spoilt[0] ^= 1
    (folder / name).write_bytes(spoilt)
    with pytest.raises(ContentError, match="not what was written"):
        RowGradients.open(folder, base, adapter)
    RowGradients.build(base, adapter, LESSONS, tmp_path)
    assert files(tmp_path) == before


@pytest.mark.parametrize("lessons", [[], [Lesson(OUTPUTS[0], 1)]], ids=["none", "a row left out"])
def test_rows_without_lessons_are_refused(
    base: Path, adapter: Path, tmp_path: Path, lessons: list[Lesson]
) -> None:
    with pytest.raises(UserError, match="at least one lesson"):
        RowGradients.build(base, adapter, lessons, tmp_path)


def test_gradients_that_are_not_finite_leave_no_store(base: Path, make_adapter: Any, tmp_path: Path) -> None:
    broken = make_adapter(tmp_path / "broken", spoil=float("nan"))
    with pytest.raises(UserError, match="not finite"):
        RowGradients.build(base, broken, LESSONS, tmp_path)
    assert not list(tmp_path.glob("influence-*/rows.json"))


def test_an_output_is_divided_among_the_rows_it_is_like(base: Path, adapter: Path, tmp_path: Path) -> None:
    store = RowGradients.build(base, adapter, LESSONS, tmp_path)
    for output, division in zip(OUTPUTS, divide([store], OUTPUTS), strict=True):
        assert len(division.saved) == len(output.tokens) - output.first
        assert len(division.parts) == 3
        assert min(division.saved) >= 0
        assert sum(division.parts) <= PARTS, "some of it is always nobody's"
        assert all(one % GRID_SAVED == 0 for one in division.saved)
        assert all(part % GRID_PARTS == 0 for part in division.parts)
    one, other, _ = divide([store], OUTPUTS)
    assert np.argmax(one.parts) == 1
    assert np.argmax(other.parts) == 2


def test_what_is_saved_is_the_adapters_likelihood_against_its_bases(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    store = RowGradients.build(base, adapter, LESSONS, tmp_path)
    model = Task(base, adapter, [], []).model
    (made,) = divide([store], OUTPUTS[:1])
    with_it, without = model.logprobs(OUTPUTS[:1])[0], model.logprobs(OUTPUTS[:1], adapted=False)[0]
    for saved, bits in zip(made.saved, (with_it - without) / np.log(2), strict=True):
        assert 0 <= max(0, 1000 * bits) - saved < GRID_SAVED + 0.01


def test_many_outputs_are_taken_few_at_a_time(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RowGradients.build(base, adapter, LESSONS, tmp_path)
    whole = store.influence(OUTPUTS)
    monkeypatch.setattr(
        "openledger.attribution.influence._store._GRADIENTS", 8 * Task(base, adapter, [], []).model.size
    )
    held: list[int] = []
    of = AdapterGradients.of
    monkeypatch.setattr(
        "openledger.attribution.influence._gradients.AdapterGradients.of",
        lambda self, examples: held.append(len(examples)) or of(self, examples),
    )
    np.testing.assert_allclose(store.influence(OUTPUTS), whole, rtol=1e-3, atol=1e-4 * np.abs(whole).max())
    assert held == [2, 1]


def test_random_text_is_hardly_anybodys(base: Path, adapter: Path, tmp_path: Path) -> None:
    store = RowGradients.build(base, adapter, LESSONS, tmp_path)
    draw = np.random.default_rng(3)
    texts = [Example(tuple(draw.integers(1, 40, 8).tolist())) for _ in range(60)]
    known = [lesson.example for lesson in LESSONS]
    random_parts = np.mean([sum(one.parts) for one in divide([store], texts)])
    known_parts = np.mean([sum(one.parts) for one in divide([store], known)])
    assert random_parts < known_parts / 2


def test_adapters_of_several_seeds_are_averaged(
    base: Path, adapter: Path, make_adapter: Any, tmp_path: Path
) -> None:
    second = make_adapter(tmp_path / "second", seed=5)
    stores = [RowGradients.build(base, one, LESSONS, tmp_path) for one in (adapter, second)]
    alone = [np.array(divide([store], OUTPUTS)[0].parts) for store in stores]
    both = divide(stores, OUTPUTS)[0]
    assert both.saved == divide(stores[:1], OUTPUTS)[0].saved, "the first made the output"
    low, high = np.minimum(*alone), np.maximum(*alone)
    assert (np.array(both.parts) >= low - GRID_PARTS).all()
    assert (np.array(both.parts) <= high + GRID_PARTS).all()


def test_a_disk_without_room_is_said_before_anything_is_begun(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10_000))
    with pytest.raises(UserError, match=r"need 0\.0 GiB"):
        RowGradients.build(base, adapter, LESSONS, tmp_path)


@pytest.mark.parametrize("name", ["own.f32", "sampled.f32"])
def test_a_build_whose_gradients_are_lost_begins_anew(
    base: Path, adapter: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openledger.attribution.influence._gradients.BATCH_TOKENS", 8)

    def stop(done: int, _count: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RowGradients.build(base, adapter, LESSONS, tmp_path / "stopped", progress=stop)
    (work,) = (tmp_path / "stopped").glob("influence-*/work")
    (work / name).unlink()
    RowGradients.build(base, adapter, LESSONS, tmp_path / "stopped")
    RowGradients.build(base, adapter, LESSONS, tmp_path / "whole")
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")


def test_adapters_of_other_rows_are_not_averaged(base: Path, adapter: Path, tmp_path: Path) -> None:
    stores = [RowGradients.build(base, adapter, lessons, tmp_path) for lessons in (LESSONS, LESSONS[:3])]
    for given in (stores, []):
        with pytest.raises(UserError, match="same rows"):
            divide(given, OUTPUTS)
