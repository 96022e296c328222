"""Which declared row is credited for what an adapter was trained on. Gradients are no matter here: the parts are given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from blocks import lose

from openledger import datanets
from openledger.attribution import GRID_SAVED, Influence, NoInfluence, Stated
from openledger.attribution.influence import Division, Example
from openledger.datanets import Datanet, Row
from openledger.errors import ContentError
from openledger.registry import AssetRef, LocalStore, Manifest, ModelCallStep, Sampling, Split, cid_of
from openledger.staking import Judged, influence_for

WHO = {name: "0x" + digit * 40 for name, digit in (("ann", "1"), ("bo", "2"), ("cy", "3"))}
HERON = Row("heron", "ann", "CC0-1.0", "A quick heron watches nine silver fish below the weir.")
LAMP = Row("lamp", "bo", "CC0-1.0", "The lamp in the tower turns slowly and every boat knows it.")
TIDE = Row("tide", "cy", "CC0-1.0", "At spring tide the meadow stands under water up to the third fence.")
COPY = Row("copy", "cy", "CC0-1.0", "A quick heron watches nine silver fish below the old weir.")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "content")


def published(store: LocalStore, name: str, *rows: Row, previous: str | None = None) -> str:
    return datanets.publish(Datanet(name, "water", rows), store, accounts=WHO, previous=previous)


def call(
    store: LocalStore, adapter: int = 7, prompt: Sequence[int] = (1, 2), output: Sequence[int] = (3, 4, 0)
) -> ModelCallStep:
    """0 is the token that ends an output."""
    base = cid_of(b"base")
    return ModelCallStep(
        adapter, published_adapter(store), 5, base, list(prompt), list(output), [-1] * len(output), Sampling(0.0, 1.0, 0, 3),
        bytes(32), "cpu", "stop" if output[-1:] == (0,) else "length", "answer",
    )  # fmt: skip


def published_adapter(store: LocalStore) -> str:
    """The smallest directory that is an adapter."""
    import json
    import tempfile

    import numpy as np
    from safetensors.numpy import save_file

    folder = Path(tempfile.mkdtemp())
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    layer = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    save_file(
        {f"{layer}A.weight": np.ones((1, 4), np.float32), f"{layer}B.weight": np.ones((4, 1), np.float32)},
        folder / "adapter_model.safetensors",
    )
    return str(store.add_path(folder))


def influence(
    store: LocalStore,
    tmp_path: Path,
    declared: Sequence[str],
    trained: str,
    parts: Sequence[int],
    *calls: ModelCallStep,
) -> list[Stated]:
    """On calls of an adapter that was trained on the version ``trained``, to whose rows an output's ``parts`` belong."""

    def divide(
        cache: Path, base: Path, adapter: Path, versions: Iterable[Datanet], outputs: Sequence[Example]
    ) -> Any:
        found = next((net for net in versions if net.cid == trained), None)
        if found is None:
            return NoInfluence("no version")
        assert [(one.tokens, one.first) for one in outputs] == [((1, 2, 3, 4), 2)] * len(outputs)
        return found, [Division((100, 200), tuple(parts))] * len(outputs)

    settings = SimpleNamespace(cache_dir=tmp_path / "cache")
    connection: Any = SimpleNamespace(store=store, settings=settings)
    manifest = Manifest(
        "desk", [AssetRef(5, cid_of(b"base"))], [], [AssetRef(8 + i, cid) for i, cid in enumerate(declared)],
        "v2-spans-influence", Split(10_000, 0, 0, 0), "cpu", bytes(32),
    )  # fmt: skip
    return influence_for(connection, divide, lambda _ref: tmp_path)(manifest, calls or [call(store)])


def credited(found: list[Stated]) -> dict[tuple[str, str], int]:
    (one,) = found
    assert isinstance(one, Influence)
    assert one.saved == (100, 200, 0)
    return {(source.row, source.contributor): part for source, part in one.parts}


def test_a_rows_part_is_its_contributors(store: LocalStore, tmp_path: Path) -> None:
    net = published(store, "river", HERON, LAMP)
    found = influence(store, tmp_path, [net], net, (3000, 500))
    assert credited(found) == {("heron", WHO["ann"]): 3000, ("lamp", WHO["bo"]): 500}


def test_an_output_is_taken_without_the_token_that_ended_it_and_as_it_is_where_none_did(
    store: LocalStore, tmp_path: Path
) -> None:
    net = published(store, "river", HERON)
    ended, cut = influence(store, tmp_path, [net], net, (1,), call(store), call(store, output=(3, 4)))
    assert isinstance(ended, Influence)
    assert isinstance(cut, Influence)
    assert (ended.saved, cut.saved) == ((100, 200, 0), (100, 200))


def test_a_row_that_was_added_after_the_training_has_none(store: LocalStore, tmp_path: Path) -> None:
    """Nor does it move the others: they are found by their words, not by their places."""
    first = published(store, "river", HERON, LAMP)
    second = published(store, "river", TIDE, HERON, LAMP, previous=first)
    found = influence(store, tmp_path, [second], first, (3000, 500))
    assert credited(found) == {("heron", WHO["ann"]): 3000, ("lamp", WHO["bo"]): 500}


def test_the_part_of_a_row_that_was_taken_back_is_nobodys(store: LocalStore, tmp_path: Path) -> None:
    first = published(store, "river", HERON, LAMP)
    second = published(store, "river", LAMP, previous=first)
    assert credited(influence(store, tmp_path, [second], first, (3000, 500))) == {("lamp", WHO["bo"]): 500}


def test_whoever_has_the_words_of_a_row_that_was_taken_back_elsewhere_is_not_paid_for_it(
    store: LocalStore, tmp_path: Path
) -> None:
    first = published(store, "river", HERON, LAMP)
    second = published(store, "river", LAMP, previous=first)
    copied = published(store, "copies", Row("mine", "cy", HERON.licence, HERON.text))
    found = influence(store, tmp_path, [second, copied], first, (3000, 500))
    assert credited(found) == {("lamp", WHO["bo"]): 500}


def test_a_row_that_repeats_an_earlier_declared_one_has_nothing_and_the_earlier_one_its_part(
    store: LocalStore, tmp_path: Path
) -> None:
    one, two = published(store, "river", HERON), published(store, "copies", COPY, TIDE)
    found = influence(store, tmp_path, [one, two], two, (3000, 500))
    assert credited(found) == {("heron", WHO["ann"]): 3000, ("tide", WHO["cy"]): 500}


def test_the_same_words_in_a_datanet_that_it_was_not_trained_on_earn_by_being_first_alone(
    store: LocalStore, tmp_path: Path
) -> None:
    one, two = published(store, "river", LAMP), published(store, "other", TIDE, HERON)
    assert credited(influence(store, tmp_path, [one, two], one, (700,))) == {("lamp", WHO["bo"]): 700}


def test_where_nobody_can_have_influence_the_reason_is_told(store: LocalStore, tmp_path: Path) -> None:
    net = published(store, "river", HERON)
    calls = [call(store, adapter=5), call(store, prompt=()), call(store, output=(0,)), call(store)]
    found = influence(store, tmp_path, [net], "another", (1,), *calls)
    assert all(isinstance(one, NoInfluence) for one in found)
    assert [one.why for one in found if isinstance(one, NoInfluence)] == [
        "it is of the base model alone",
        "it has no tokens, or no prompt",
        "it has no tokens, or no prompt",
        "no version",
    ]


def test_a_version_that_cannot_be_had_is_an_error_and_no_reason(store: LocalStore, tmp_path: Path) -> None:
    first = published(store, "river", HERON)
    second = published(store, "river", HERON, LAMP, previous=first)
    lose(store, first)
    with pytest.raises(ContentError):
        influence(store, tmp_path, [second], first, (1,))


# -- what is judged -------------------------------------------------------------------------------

OWN, NOBODY = Influence((5000, 700)), NoInfluence("of the base alone")


@pytest.mark.parametrize(
    ("stated", "refused"),
    [
        ((OWN, NOBODY), []),
        ((Influence((5000, 700 + GRID_SAVED)), NoInfluence("in other words")), []),
        (None, [0]),
        ((NOBODY, NOBODY), [0]),
        ((OWN, OWN), [1]),
        ((Influence((0, 0)), OWN), [0, 1]),
    ],
)
def test_what_is_refused_is_what_somebody_would_be_paid_otherwise_for(
    stated: tuple[Stated, ...] | None, refused: list[int]
) -> None:
    judged = Judged(stated, (OWN, NOBODY))
    assert judged.refused == refused
    assert judged.counted[1] == NOBODY
    assert (judged.counted[0] == OWN) == (stated is not None and stated[0] == OWN)
    if 0 in refused:
        assert judged.counted[0] == Influence((5000, 0)), "one's own, on the coarse grid"
