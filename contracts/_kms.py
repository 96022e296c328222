"""A key that never leaves a key management service: it signs digests there (AWS KMS, ``ECC_SECG_P256K1``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import UserError

__all__ = ["KmsSigner", "open_kms"]

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1's group. Of the two signatures s and order - s chains take the lower (EIP-2)."""


@dataclass(frozen=True)
class _Signed:
    signature: bytes


class KmsSigner:
    """A :class:`Signer`. ``client`` is ``boto3.client("kms")`` or another with its ``get_public_key`` and ``sign``.

    Raises ``UserError`` for a key of another kind. RFC 6979 is not promised: two signatures of one digest may differ, so it
    is for an owner's key, not for what must sign the same bytes again (record keys, a juror's salts).
    """

    def __init__(self, client: Any, key_id: str) -> None:
        from eth_keys.datatypes import PublicKey

        self._client, self._key_id = client, key_id
        found = _asked(lambda: client.get_public_key(KeyId=key_id), key_id)
        if found.get("KeySpec") != "ECC_SECG_P256K1" or found.get("KeyUsage") != "SIGN_VERIFY":
            raise UserError(
                f"KMS key {key_id} cannot sign for an address",
                why=f"it is {found.get('KeySpec')} for {found.get('KeyUsage')}",
                fix="create one with key spec ECC_SECG_P256K1 and usage SIGN_VERIFY",
            )
        self._public = PublicKey(bytes(found["PublicKey"])[-64:])  # DER ends with the uncompressed point
        self.address: str = self._public.to_checksum_address()

    def unsafe_sign_hash(self, message_hash: Any) -> _Signed:
        """Sign a 32-byte digest."""
        r, s, parity = self._sign(bytes(message_hash))
        return _Signed(r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + parity]))

    def sign_transaction(self, transaction_dict: Any) -> Any:
        """Sign a transaction of a type that names it (EIP-2718)."""
        from eth_account.datastructures import SignedTransaction
        from eth_account.typed_transactions.typed_transaction import TypedTransaction
        from eth_utils.crypto import keccak
        from hexbytes import HexBytes

        fields = {"type": 2, **transaction_dict}
        r, s, parity = self._sign(bytes(TypedTransaction.from_dict(fields).hash()))
        raw = TypedTransaction.from_dict({**fields, "v": parity, "r": r, "s": s}).encode()
        return SignedTransaction(HexBytes(raw), HexBytes(keccak(raw)), r, s, parity)

    def _sign(self, digest: bytes) -> tuple[int, int, int]:
        """(r, low s, parity of R's y) of a digest."""
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
        from eth_keys.datatypes import Signature
        from eth_keys.exceptions import BadSignature

        asked = {"KeyId": self._key_id, "Message": digest, "MessageType": "DIGEST"}
        answer = _asked(lambda: self._client.sign(**asked, SigningAlgorithm="ECDSA_SHA_256"), self._key_id)
        r, s = decode_dss_signature(bytes(answer["Signature"]))
        s = min(s, _ORDER - s)
        for parity in (0, 1):
            try:
                if Signature(vrs=(parity, r, s)).recover_public_key_from_msg_hash(digest) == self._public:
                    return r, s, parity
            except BadSignature:
                continue
        raise UserError(f"KMS key {self._key_id} gave a signature of another key", fix="check the key's id")


def _asked(work: Any, key_id: str) -> Any:
    try:
        return work()
    except Exception as error:  # boto3 makes its exceptions' classes at run time
        raise UserError(
            f"KMS key {key_id} could not be used",
            why=str(error),
            fix="check its id, region and your permissions",
        ) from error


def open_kms(key_id: str) -> KmsSigner:
    """A signer of AWS KMS, in the region and as whoever the environment says, as for every AWS client."""
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError:
        raise UserError("AWS KMS needs boto3", fix="pip install boto3") from None
    waits = Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 4, "mode": "standard"})
    return KmsSigner(boto3.client("kms", config=waits), key_id)
