"""A ticket as its client keeps it: the agent's promise, its signature, and the payment it was given for."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ContentError, UserError
from ._content import Payment
from ._record import Ticket

__all__ = ["KeptTicket"]


@dataclass(frozen=True, slots=True)
class KeptTicket:
    """All that an omission is demanded with. ``signature`` is the record key's, of 65 bytes."""

    ticket: Ticket
    signature: bytes
    payment: Payment

    def __post_init__(self) -> None:
        if self.payment.payment_id(self.ticket.agent_id, self.ticket.request_hash) != self.ticket.payment_id:
            raise UserError(
                "the ticket is for another payment",
                why="its paymentId is not this payment's",
                fix="keep both as given",
            )

    def payment_abi(self) -> tuple[Any, ...]:
        """The contracts' ``Payment`` struct."""
        return self.payment.to_abi(self.ticket.agent_id, self.ticket.request_hash)

    def to_json(self) -> dict[str, Any]:
        paid = self.payment
        return {
            "ticket": self.ticket.to_json(),
            "signature": "0x" + self.signature.hex(),
            "payment": {
                "client": paid.client,
                "to": paid.to,
                "value": str(paid.value),
                "validAfter": paid.valid_after,
                "validBefore": paid.valid_before,
                "signature": "0x" + paid.signature.hex(),
                "salt": "0x" + paid.salt.hex(),
            },
        }

    def save(self, path: Path) -> Path:
        """Write it as JSON, durably: it is the only proof of what was promised."""
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".new")
        with scratch.open("w") as file:
            json.dump(self.to_json(), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        return path

    @classmethod
    def load(cls, path: Path) -> KeptTicket:
        """Read one. Raises ``ContentError`` for anything else."""
        try:
            found = json.loads(path.read_text())
            promise, paid = found["ticket"], found["payment"]
            return cls(
                Ticket(
                    agent_id=int(promise["agentId"]),
                    epoch=int(promise["epoch"]),
                    payment_id=_octets(promise["paymentId"]),
                    request_hash=_octets(promise["requestHash"]),
                    anchor_by=int(promise["anchorBy"]),
                ),
                _octets(found["signature"]),
                Payment(
                    client=str(paid["client"]),
                    to=str(paid["to"]),
                    value=int(paid["value"]),
                    valid_after=int(paid["validAfter"]),
                    valid_before=int(paid["validBefore"]),
                    signature=_octets(paid["signature"]),
                    salt=_octets(paid["salt"]),
                ),
            )
        except FileNotFoundError:
            raise UserError(f"there is no ticket at {path}", fix="give the file a client kept") from None
        except (ValueError, KeyError, TypeError, AttributeError, OSError, UserError) as error:
            raise ContentError(
                f"{path} holds no ticket", why=str(error), fix="give the file as it was kept"
            ) from None


def _octets(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
