"""What an account signs so that another pays its gas: batches of calls (EIP-712), and which code it runs (EIP-7702)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints

from ..errors import ChainError, UserError
from ._abi import artifact
from ._signing import Signer

if TYPE_CHECKING:
    from web3.contract import Contract

    from ._chain import Chain
    from ._sending import Receipt

__all__ = [
    "Batch",
    "BatchCall",
    "CodeAuthorization",
    "batch_nonce",
    "chain_time",
    "delegated_to",
    "executed",
    "sign_batch",
    "sign_code",
    "sign_code_with",
    "sponsored_account",
]

Address = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
Data = Annotated[str, StringConstraints(pattern=r"^0x([0-9a-fA-F]{2})*$")]
Uint = Annotated[int, Field(ge=0, lt=2**256), PlainSerializer(str, when_used="json")]
"""In JSON a decimal string: readers lose what exceeds 53 bits."""

_DESIGNATOR = bytes.fromhex("ef0100")
# ERC-7201 of "openledger.SponsoredAccount", to be read where the account has no code yet
_SLOT = 0x3D9DAF0A2957A849C33EFC76CC714573384ACDB6298A162166031322F2C2AB00
_TYPES = {
    "Batch": [
        {"name": "calls", "type": "Call[]"},
        {"name": "sponsor", "type": "address"},
        {"name": "nonce", "type": "uint256"},
        {"name": "deadline", "type": "uint256"},
    ],
    "Call": [
        {"name": "target", "type": "address"},
        {"name": "value", "type": "uint256"},
        {"name": "data", "type": "bytes"},
    ],
}


class _Frozen(BaseModel):
    # built at first use: most programs never relay
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class BatchCall(_Frozen):
    """A call that the account makes. ``value`` in wei of its own native coin."""

    target: Address
    value: Uint = 0
    data: Data


class CodeAuthorization(_Frozen):
    """EIP-7702: the account that signed it runs the code at ``address``. ``nonce`` is its next transaction's."""

    chain_id: Uint
    address: Address
    nonce: Uint
    y_parity: Annotated[int, Field(ge=0, le=1)]
    r: Uint
    s: Uint

    def to_rpc(self) -> dict[str, Any]:
        """As a transaction of type 4 takes it."""
        from web3 import Web3

        address = Web3.to_checksum_address(self.address)
        return {
            "chainId": self.chain_id,
            "address": address,
            "nonce": self.nonce,
            "yParity": self.y_parity,
            "r": self.r,
            "s": self.s,
        }

    def signed_by(self) -> str | None:
        """The account that signed it; None for what is no signature."""
        digest = _code_digest(self.chain_id, self.address, self.nonce)
        return _recovered(digest, self.y_parity, self.r, self.s)


class Batch(_Frozen):
    """Calls that ``account`` signed, to be submitted by ``sponsor`` until ``deadline`` (unix seconds) as its batch ``nonce``.

    ``code`` is there where the account does not run ``SponsoredAccount`` yet.
    """

    account: Address
    calls: tuple[BatchCall, ...]
    sponsor: Address
    nonce: Uint
    deadline: Uint
    signature: Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{130}$")]
    code: CodeAuthorization | None = None

    def digest(self, chain_id: int) -> bytes:
        """What was signed, on this chain. It names the batch."""
        return batch_digest(chain_id, self.account, self.calls, self.sponsor, self.nonce, self.deadline)

    def signed_by(self, chain_id: int) -> str | None:
        """The account that signed it; None for what is no signature."""
        raw = bytes.fromhex(self.signature[2:])
        r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big")
        return _recovered(self.digest(chain_id), raw[64] - 27, r, s)

    def call(self, chain: Chain) -> Any:
        """The call of ``execute`` that carries it out."""
        from web3 import Web3

        checksum = Web3.to_checksum_address
        calls = [(checksum(one.target), one.value, bytes.fromhex(one.data[2:])) for one in self.calls]
        rest = checksum(self.sponsor), self.nonce, self.deadline, bytes.fromhex(self.signature[2:])
        return sponsored_account(chain, self.account).functions.execute(calls, *rest)


def sponsored_account(chain: Chain, account: str) -> Contract:
    """The account as the contract that it is once it delegates."""
    return chain.contract(account, artifact("SponsoredAccount").abi)


def sign_batch(
    chain_id: int,
    signer: Signer,
    calls: tuple[BatchCall, ...],
    *,
    sponsor: str,
    nonce: int,
    deadline: int,
    code: CodeAuthorization | None = None,
) -> Batch:
    """The signer's batch of ``calls``; see :class:`Batch`."""
    account = str(signer.address)
    digest = batch_digest(chain_id, account, calls, sponsor, nonce, deadline)
    signature = "0x" + bytes(signer.unsafe_sign_hash(digest).signature).hex()
    return Batch(
        account=account,
        calls=calls,
        sponsor=sponsor,
        nonce=nonce,
        deadline=deadline,
        signature=signature,
        code=code,
    )


def sign_code(chain: Chain, signer: Signer, delegate: str) -> CodeAuthorization:
    """The signer's consent, on this chain only, to run the code at ``delegate``, until it consents to another.

    A transaction that the account itself sends meanwhile makes it stale: it is then ignored without an error.
    """
    nonce = int(chain.w3.eth.get_transaction_count(signer.address))
    return sign_code_with(chain.chain_id, signer, delegate, nonce)


def sign_code_with(chain_id: int, signer: Signer, delegate: str, nonce: int) -> CodeAuthorization:
    """The same for an account whose next transaction has that nonce."""
    raw = bytes(signer.unsafe_sign_hash(_code_digest(chain_id, delegate, nonce)).signature)
    return CodeAuthorization(
        chain_id=chain_id,
        address=delegate,
        nonce=nonce,
        y_parity=raw[64] - 27,
        r=int.from_bytes(raw[:32], "big"),
        s=int.from_bytes(raw[32:64], "big"),
    )


def delegated_to(chain: Chain, account: str) -> str | None:
    """The address whose code ``account`` runs (EIP-7702), or None where it has none.

    Raises ``UserError`` for an address that is a contract: no key signs for it.
    """
    code = bytes(chain.w3.eth.get_code(chain.w3.to_checksum_address(account)))
    if not code:
        return None
    if len(code) != 23 or not code.startswith(_DESIGNATOR):
        raise UserError(
            f"{account} is a contract", why="no key signs for it", fix="use an account with a key"
        )
    return str(chain.w3.to_checksum_address(code[3:]))


def batch_nonce(chain: Chain, account: str) -> int:
    """The nonce of the account's next batch, also where it has no code yet."""
    address = chain.w3.to_checksum_address(account)
    return int.from_bytes(bytes(chain.w3.eth.get_storage_at(address, _SLOT)), "big")  # type: ignore[arg-type]


def chain_time(chain: Chain) -> int:
    """The time of the block to come, in unix seconds: on a quiet chain the latest one is long past."""
    return max(chain.now(), int(chain.w3.eth.get_block("pending")["timestamp"]))


def executed(chain: Chain, receipt: Receipt, account: str, digest: bytes) -> bool:
    """Whether that transaction carried the batch out. One whose authorization was stale succeeds and does nothing."""
    events = receipt.events(sponsored_account(chain, account).events.Executed)
    return any(bytes(event["digest"]) == digest for event in events)


def batch_digest(
    chain_id: int, account: str, calls: tuple[BatchCall, ...], sponsor: str, nonce: int, deadline: int
) -> bytes:
    """EIP-712, as ``SponsoredAccount.digestOf`` computes it."""
    from eth_account.messages import encode_typed_data
    from eth_utils.crypto import keccak

    message = {
        "calls": [
            {"target": one.target, "value": one.value, "data": bytes.fromhex(one.data[2:])} for one in calls
        ],
        "sponsor": sponsor,
        "nonce": nonce,
        "deadline": deadline,
    }
    domain = {
        "name": "OpenLedger SponsoredAccount",
        "version": "1",
        "chainId": chain_id,
        "verifyingContract": account,
    }
    made = encode_typed_data(domain_data=domain, message_types=_TYPES, message_data=message)
    return bytes(keccak(b"\x19" + made.version + made.header + made.body))


def _code_digest(chain_id: int, address: str, nonce: int) -> bytes:
    from eth_account.typed_transactions.set_code_transaction import Authorization

    return bytes(Authorization(chain_id, bytes.fromhex(address[2:]), nonce).hash())


def _recovered(digest: bytes, parity: int, r: int, s: int) -> str | None:
    from eth_keys.datatypes import Signature
    from eth_keys.exceptions import BadSignature
    from eth_utils.exceptions import ValidationError

    try:
        key = Signature(vrs=(parity, r, s)).recover_public_key_from_msg_hash(digest)
    except (BadSignature, ValidationError, ValueError):
        return None
    return str(key.to_checksum_address())


def stale(account: str, tx: str) -> ChainError:
    """What a transaction that did nothing is called."""
    return ChainError(
        f"{account} did not get its code",
        why="it sent a transaction of its own after it had signed, so the authorization was ignored",
        fix="nothing was done: repeat the command, it signs again",
        tx=tx,
        code="relay.stale",
    )
