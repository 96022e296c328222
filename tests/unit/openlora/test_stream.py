"""When a reader is woken, and that it gets everything once."""

from __future__ import annotations

from openledger.openlora._stream import MOST, PAUSE, Feed, pause


def test_the_reader_is_woken_by_the_first_token_and_by_a_full_chunk_only() -> None:
    woken: list[int] = []
    feed = Feed(lambda: woken.append(feed.put_so_far))
    for at in range(MOST + 5):
        feed.put([at], [-at])
    assert woken == [1, MOST]
    assert feed.waiting == MOST + 5
    first = feed.take()
    assert (first.start, first.tokens) == (0, tuple(range(MOST + 5)))
    assert first.logprobs == tuple(-at for at in first.tokens)
    feed.put([7], [0])
    assert woken == [1, MOST, MOST + 6]
    second = feed.take()
    assert (second.start, second.tokens) == (MOST + 5, (7,))
    assert feed.waiting == 0


def test_a_feed_that_goes_on_behind_another_counts_from_there() -> None:
    feed = Feed(lambda: None, 40)
    feed.put([1, 2], [0, 0])
    assert feed.put_so_far == 42
    assert feed.take().start == 40
    assert feed.take().start == 42


def test_few_streams_wait_for_little_and_many_share_two_hundred_chunks_a_second() -> None:
    assert pause(1) == pause(4) == PAUSE
    for streams in (5, 64, 1000):
        assert round(streams / pause(streams)) == 200
