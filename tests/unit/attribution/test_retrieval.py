"""Retrieval: which rows a retriever put into the prompts, believed only where they can be seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openledger.attribution import (
    RULE_V1,
    Accounts,
    Retrieval,
    SourceRow,
    SpanIndex,
    retrieval,
    scores_of,
    shares_of,
    split,
)
from openledger.attribution import receipt_of as read_receipt
from openledger.errors import ContentError, UserError
from openledger.registry import (
    ModelCallStep,
    RetrievalStep,
    Sampling,
    Split,
    Step,
    cid_of,
    decode,
    decode_step,
    encode,
)

NET, OTHER_NET, MODEL = cid_of(b"net"), cid_of(b"another version"), cid_of(b"model")
HERON = "A quick heron watches nine silver fish below the weir."
LAMP = "The lamp in the tower turns slowly and every boat knows it."
SHORT = "Rain falls."
ROWS = [
    SourceRow("r1", "ann", HERON, 0, NET),
    SourceRow("r2", "bo", LAMP, 1, NET),
    SourceRow("r3", "cy", SHORT, 2, NET),
    SourceRow("r4", "dee", HERON, 3, NET),
]


@pytest.fixture
def index(tokenizer: Path, tmp_path: Path) -> SpanIndex:
    return SpanIndex.build(ROWS, tokenizer, tmp_path)


@pytest.fixture
def call(index: SpanIndex) -> Callable[..., ModelCallStep]:
    """A model call with this prompt."""

    def call(prompt: str, output: str = "") -> ModelCallStep:
        tokens = index.encode(output)
        return ModelCallStep(
            1, MODEL, 1, MODEL, index.encode(prompt), tokens, [-1] * len(tokens), Sampling(0.0, 1.0, 0, 64),
            bytes(32), "cpu", "stop", "answer",
        )  # fmt: skip

    return call


def found(
    *documents: tuple[str | None, str], net: str | None = NET, content: str | None = None
) -> RetrievalStep:
    """What agents record of a retriever: (row, text) of each document."""
    listed = [
        {"text": text, "metadata": {} if row is None else {"row": row, "datanet_cid": net}}
        for row, text in documents
    ]
    return RetrievalStep(7, {"retriever": "shelf", "query": "?", "documents": listed}, content)


def rows(made: Retrieval) -> dict[str, int]:
    return {one.source.row: one.tokens for one in made.rows}


def reasons(made: Retrieval) -> dict[str, str]:
    return {one.row: one.why for one in made.refused}


def test_a_row_in_a_prompt_counts_its_tokens(index: SpanIndex, call: Callable[..., ModelCallStep]) -> None:
    prompt = call(f"Answer from this: {LAMP}\nWhat turns?")
    made = retrieval(index, [found(("r2", LAMP)), prompt])
    (one,) = made.rows
    assert (one.source.row, one.source.contributor, one.source.datanet) == ("r2", "bo", NET)
    assert one.tokens == len(index.encode(LAMP))
    assert made.prompt_tokens == len(prompt.prompt_tokens) > one.tokens
    assert made.refused == ()


def test_white_space_and_what_stands_around_it_do_not_matter(
    index: SpanIndex, call: Callable[..., ModelCallStep]
) -> None:
    prompt = call(f'("{LAMP}")')
    assert rows(retrieval(index, [found(("r2", LAMP.replace(" ", "\n "))), prompt])) == {
        "r2": len(index.encode(LAMP))
    }


def test_a_part_of_a_row_counts_what_it_is(index: SpanIndex, call: Callable[..., ModelCallStep]) -> None:
    part = "the tower turns slowly and every boat"
    assert rows(retrieval(index, [found(("r2", part)), call(f"{part} ?")])) == {"r2": len(index.encode(part))}


def test_a_row_of_fewer_tokens_than_a_span_counts_too(
    index: SpanIndex, call: Callable[..., ModelCallStep]
) -> None:
    assert rows(retrieval(index, [found(("r3", SHORT)), call(f"{SHORT} Why?")])) == {
        "r3": len(index.encode(SHORT))
    }


def test_it_counts_once_for_each_prompt_it_stands_in(
    index: SpanIndex, call: Callable[..., ModelCallStep]
) -> None:
    steps = [found(("r2", LAMP)), call(f"{LAMP} First?"), call(f"{LAMP} First? No. Second?"), call("Third?")]
    assert rows(retrieval(index, steps)) == {"r2": 2 * len(index.encode(LAMP))}


@pytest.mark.parametrize("prompt", ["What turns?", LAMP[:-8], LAMP.lower(), f"x{LAMP}"])
def test_what_is_claimed_and_in_no_prompt_is_not_credited(
    index: SpanIndex, call: Callable[..., ModelCallStep], prompt: str
) -> None:
    made = retrieval(index, [found(("r2", LAMP)), call(prompt)])
    assert made.rows == ()
    assert reasons(made) == {"r2": "it stands in no later prompt"}


def test_a_prompt_before_the_retrieval_does_not_count(
    index: SpanIndex, call: Callable[..., ModelCallStep]
) -> None:
    made = retrieval(index, [call(LAMP), found(("r2", LAMP)), call("And now?")])
    assert made.rows == ()
    assert reasons(made) == {"r2": "it stands in no later prompt"}
    both = retrieval(index, [call(LAMP), found(("r2", LAMP)), call(f"{LAMP} And now?")])
    assert rows(both) == {"r2": len(index.encode(LAMP))}


@pytest.mark.parametrize(
    "claimed",
    [
        found(("r1", LAMP)),
        found(("r9", LAMP)),
        found(("r2", LAMP), net=OTHER_NET),
        found(("r2", f"{LAMP} Said ann.")),
    ],
    ids=["another row's words", "no such row", "another version", "more than the row"],
)
def test_a_document_that_is_not_the_row_it_names_is_not_credited(
    index: SpanIndex, call: Callable[..., ModelCallStep], claimed: RetrievalStep
) -> None:
    made = retrieval(index, [claimed, call(f"{LAMP} Said ann. What turns?")])
    assert made.rows == ()
    assert list(reasons(made).values()) == ["no declared datanet has a row of this name with these words"]


def test_one_copy_in_a_prompt_counts_for_one_document(
    index: SpanIndex, call: Callable[..., ModelCallStep]
) -> None:
    """Claimed twice, by two rows with the same words, and by a part of it: the prompt holds it once."""
    claimed = found(("r4", HERON), ("r1", HERON), ("r1", "nine silver fish"), ("r4", HERON))
    made = retrieval(index, [claimed, call(f"{HERON} How many?")])
    assert rows(made) == {"r4": len(index.encode(HERON))}
    assert [one.document for one in made.refused] == [1, 2, 3]
    assert {one.why for one in made.refused} == {"its words are counted for another document"}
    twice = retrieval(index, [claimed, call(f"{HERON} {HERON} How many?")])
    assert rows(twice) == {"r1": len(index.encode(HERON)), "r4": len(index.encode(HERON))}


def test_a_part_that_was_claimed_first_takes_nothing_from_the_whole(
    index: SpanIndex, call: Callable[..., ModelCallStep]
) -> None:
    claimed = found(("r1", "nine silver fish"), ("r4", HERON))
    assert rows(retrieval(index, [claimed, call(HERON)])) == {"r4": len(index.encode(HERON))}


def test_the_version_may_be_named_by_the_step(index: SpanIndex, call: Callable[..., ModelCallStep]) -> None:
    step = RetrievalStep(7, {"documents": [{"text": LAMP, "metadata": {"row": "r2"}}]}, NET)
    assert rows(retrieval(index, [step, call(LAMP)])) == {"r2": len(index.encode(LAMP))}


@pytest.mark.parametrize(
    "documents",
    [None, [], 7, {"documents": {}}, {"documents": [3, "text", {"text": 4}, {"text": LAMP, "metadata": 1}]},
     {"documents": [{"text": LAMP, "metadata": {"row": 4, "datanet_cid": NET}}, {"text": " ", "metadata": {"row": "r2"}}]}],
)  # fmt: skip
def test_documents_of_any_shape_are_read(
    index: SpanIndex, call: Callable[..., ModelCallStep], documents: Any
) -> None:
    made = retrieval(index, [RetrievalStep(0, documents), call(LAMP)])
    listed = documents.get("documents") if isinstance(documents, dict) else None
    assert made.rows == made.refused == ()
    assert made.unnamed == (len(listed) if isinstance(listed, list) else 0)


def test_documents_of_no_datanet_are_counted_only(
    index: SpanIndex, call: Callable[..., ModelCallStep]
) -> None:
    made = retrieval(index, [found((None, "from the web"), ("r2", LAMP)), call(LAMP)])
    assert made.unnamed == 1
    assert rows(made) == {"r2": len(index.encode(LAMP))}


def test_the_score_is_the_same_read_back_from_the_record(
    index: SpanIndex, call: Callable[..., ModelCallStep]
) -> None:
    steps: list[Step] = [found(("r2", LAMP), ("r1", HERON), (None, "web")), call(f"{LAMP} What?")]
    made = retrieval(index, steps)
    assert Retrieval.from_block(decode(encode(made.to_block()))) == made
    blocks = {cid: data for step in steps for cid, data in step.encoded.blocks.items()}
    again: list[Step] = [decode_step(step.cid, blocks.__getitem__) for step in steps]
    assert retrieval(index, again) == made


@pytest.mark.parametrize(
    "block", [None, {}, {"prompt_tokens": 1, "rows": [[1]], "refused": [], "unnamed": 0}]
)
def test_a_malformed_score_is_refused(block: Any) -> None:
    with pytest.raises(UserError, match="malformed"):
        Retrieval.from_block(block)


def recorded(index: SpanIndex, steps: list[Step]) -> tuple[dict[str, Any], list[list[int]]]:
    """A record's scores, and the outputs they are about."""
    outputs = [list(step.output_tokens) for step in steps if isinstance(step, ModelCallStep)]
    made = shares_of(index, outputs)
    payouts = split(10**18, Split(3000, 2000, 500, 4500), [], made, Accounts("treasury", "operator"))
    scores = scores_of(made, payouts) | {"retrieval": retrieval(index, steps).to_block()}
    return decode(encode(scores)), outputs


def test_a_receipt_shows_the_scores_beside_each_other_and_pays_for_words_only(
    index: SpanIndex, call: Callable[..., ModelCallStep]
) -> None:
    scores, outputs = recorded(index, [found(("r2", LAMP)), call(f"{LAMP} What?", output=HERON)])
    receipt = read_receipt(index, scores, outputs)
    assert receipt is not None
    assert [line.source.contributor for line in receipt.lines] == ["ann"]
    assert receipt.retrieval is not None
    assert [one.source.contributor for one in receipt.retrieval.rows] == ["bo"]
    assert sum(line.wei for line in receipt.lines) + sum(one.amount for one in receipt.others) == 10**18
    assert f"row r2 of bo: {len(index.encode(LAMP))} tokens in the prompts; not paid by {RULE_V1}" in str(
        receipt
    )


def test_a_record_without_the_score_says_so(index: SpanIndex, call: Callable[..., ModelCallStep]) -> None:
    scores, outputs = recorded(index, [call("?", output=HERON)])
    del scores["retrieval"]
    receipt = read_receipt(index, scores, outputs)
    assert receipt is not None
    assert receipt.retrieval is None
    assert read_receipt(index, {"refund": "the action failed"}, []) is None
    assert read_receipt(index, None, []) is None


def test_malformed_scores_are_named(index: SpanIndex, call: Callable[..., ModelCallStep]) -> None:
    scores, outputs = recorded(index, [call("?", output=HERON)])
    for wrong in (
        scores | {"shares": {}},
        scores | {"payouts": [["x", "much", "contributor", None]]},
        scores | {"payouts": 4},
        scores | {"retrieval": 4},
    ):
        with pytest.raises(ContentError, match="malformed"):
            read_receipt(index, wrong, outputs)
    with pytest.raises(ContentError, match="lies outside"):
        read_receipt(index, scores, [outputs[0][:3]])
