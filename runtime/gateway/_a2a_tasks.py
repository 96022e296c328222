"""The names of A2A's tasks, as far as a gateway remembers them; and our errors as A2A tells them."""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from a2a.utils.errors import A2AError, ContentTypeNotSupportedError, InternalError, InvalidParamsError

from ...errors import OpenLedgerError, OverloadedError
from ._agents import Served
from ._errors import body_of, status_of
from ._log import note

__all__ = ["Kept", "Tasks", "a2a_errors"]

_KEPT = 4096
"""Tasks whose names are remembered; the oldest are forgotten."""
_LARGEST = 16 << 10
"""Characters of a message that is kept while its payment is awaited. A larger one has to come with it."""


@dataclass
class Kept:
    """What is remembered of a task by its name."""

    agent_id: int
    context_id: str
    asked: dict[str, Any] | None = None
    """The request that waits for its payment."""
    payment_id: str | None = None
    """Of its latest action."""
    message_id: str = ""
    """Of the message that asked for that."""

    def wait_for(self, asked: dict[str, Any]) -> None:
        """For the payment of a request."""
        self.asked = asked if len(repr(asked)) <= _LARGEST else None

    def paid(self, payment_id: str, message_id: str) -> None:
        """The request that a message made or paid for."""
        self.asked, self.payment_id, self.message_id = None, payment_id, message_id


class Tasks:
    """By id, the last used of them. For one event loop.

    Whoever knows a task's id may ask for it and go on with it. So an id that is made of a payment's, which everybody may
    know, ends with a code that only the gateway can make.
    """

    def __init__(self, secret: bytes) -> None:
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._secret = secret

    def named(self, payment_id: str) -> str:
        """The id of a task that begins with this payment's action."""
        code = hmac.digest(self._secret, payment_id.encode(), "sha256").hex()[:32]
        return f"{payment_id}-{code}"

    def payment_of(self, task_id: str) -> str | None:
        """The payment of a task that was so named."""
        payment_id = task_id.partition("-")[0]
        fits = hmac.compare_digest(task_id.encode(), self.named(payment_id).encode())
        return payment_id if fits else None

    def get(self, task_id: str, served: Served) -> Kept | None:
        """A task of that agent."""
        found = self._kept.get(task_id)
        return found if found is not None and found.agent_id == served.agent_id else None

    def keep(self, task_id: str, served: Served, context_id: str) -> Kept:
        """The task as it is remembered from now on, if it was not."""
        kept = self._kept.pop(task_id, None) or Kept(served.agent_id, context_id)
        self._kept[task_id] = kept
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return kept

    def forget(self, task_id: str) -> None:
        self._kept.pop(task_id, None)


@contextmanager
def a2a_errors() -> Iterator[None]:
    """As A2A tells them; of a failure of our own nothing that a stranger should not read."""
    try:
        yield
    except A2AError:
        raise
    except OpenLedgerError as error:
        status = status_of(error)
        about = body_of(error, status)["error"]
        data = {key: about[key] for key in ("code", "what", "why", "fix")}
        kind: type[A2AError] = InvalidParamsError if status < 500 else InternalError
        if isinstance(error, OverloadedError):
            kind, data = InternalError, data | {"retryAfter": error.retry_after}
        if error.code == "user.parts":
            kind = ContentTypeNotSupportedError
        raise kind(about["message"], data) from None
    except Exception as error:  # noqa: BLE001 - the SDK would tell the caller its text
        note("unexpected", error=type(error).__name__)
        raise InternalError("A part of this service failed") from None
