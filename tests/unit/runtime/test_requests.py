"""Requests as clients send them: what is malformed is refused before anything is paid."""

from __future__ import annotations

from typing import Any

import pytest

from openledger.errors import UserError
from openledger.registry import cid_of
from openledger.runtime import request_of
from openledger.runtime._requests import check_request

PARENT = cid_of(b"\xa0")


@pytest.mark.parametrize(
    "request_",
    [
        request_of(1, "?"),
        request_of(1, {"a": 1}, thread="t"),
        request_of(1, "yes", thread="t", parent=PARENT),
    ],
)
def test_what_request_of_makes_is_accepted(request_: Any) -> None:
    check_request(request_)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("text", "malformed"),
        ({"agent": 1}, "malformed"),
        ({**request_of(1, "?"), "more": 1}, "malformed"),
        ({**request_of(1, "?"), "agent": "1"}, "malformed"),
        ({**request_of(1, "?"), "thread": 7}, "malformed"),
        (request_of(1, "yes", parent=PARENT), "needs its thread"),
        (request_of(1, "yes", thread="t", parent="nonsense"), "nonsense"),
    ],
)
def test_anything_else_is_named(request_: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_request(request_)
