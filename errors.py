"""The error tree. Every error has a stable ``code`` and says what happened, why, and what to do.

``UserError`` is a mistake the caller can fix; every other class is a failure of a part.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "ChainError",
    "ChallengeError",
    "ContentError",
    "EngineError",
    "ExecutionError",
    "OpenLedgerError",
    "OverloadedError",
    "UserError",
]


class OpenLedgerError(Exception):
    """Root of every error raised on purpose.

    ``what`` happened, ``why`` (may be empty), and the ``fix`` the reader can apply.
    ``code`` is stable across releases; ``partial`` is whatever was already done and is kept.
    """

    code = "openledger"

    def __init__(
        self, what: str, *, why: str = "", fix: str = "", code: str | None = None, partial: Any = None
    ) -> None:
        if code is not None:
            self.code = code
        self.what, self.why, self.fix, self.partial = what, why, fix, partial
        parts = [what.rstrip(".") + "."]
        if why:
            parts.append(why.rstrip(".") + ".")
        if fix:
            parts.append(fix.rstrip(".") + ".")
        super().__init__(" ".join(parts))

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross Ray process boundaries; the default reduce would lose keyword arguments.
        return _rebuild, (type(self), dict(self.__dict__), self.args)


def _rebuild(cls: type[OpenLedgerError], state: dict[str, Any], args: tuple[Any, ...]) -> OpenLedgerError:
    error = cls.__new__(cls)
    error.__dict__.update(state)
    error.args = args
    return error


class UserError(OpenLedgerError):
    """The caller's input is wrong and can be fixed by the caller."""

    code = "user"


class OverloadedError(UserError):
    """More is asked for than can be done in time; nothing was begun. Ask again in ``retry_after`` seconds,
    an estimate. What HTTP calls 429."""

    code = "overloaded"

    def __init__(self, what: str, *, retry_after: float, **rest: Any) -> None:
        super().__init__(what, **rest)
        self.retry_after = retry_after


class ChainError(OpenLedgerError):
    """The chain refused or was unreachable. ``tx`` is the transaction hash (0x…) if one was sent,
    ``revert`` the decoded custom error, e.g. ``InsufficientStake(have=1, need=2)``."""

    code = "chain"

    def __init__(self, what: str, *, tx: str | None = None, revert: str | None = None, **rest: Any) -> None:
        super().__init__(what, **rest)
        self.tx, self.revert = tx, revert


class ContentError(OpenLedgerError):
    """Content is missing, malformed, or not the bytes its ``cid`` names."""

    code = "content"

    def __init__(self, what: str, *, cid: str | None = None, **rest: Any) -> None:
        super().__init__(what, **rest)
        self.cid = cid


class EngineError(OpenLedgerError):
    """The inference engine refused or failed a request."""

    code = "engine"


class ExecutionError(OpenLedgerError):
    """An agent's graph failed. ``record`` is the CID of the failed action's record, if one was made."""

    code = "execution"

    def __init__(self, what: str, *, record: str | None = None, **rest: Any) -> None:
        super().__init__(what, **rest)
        self.record = record


class ChallengeError(OpenLedgerError):
    """A challenge cannot be opened, voted on or resolved."""

    code = "challenge"
