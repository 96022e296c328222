"""Keys at rest, and keys that others hold: what is written, what opens it, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from eth_account import Account
from keyring.backend import KeyringBackend
from typer.testing import CliRunner

from openledger.cli import app
from openledger.contracts import (
    KmsSigner,
    configured_signer,
    create_keystore,
    open_keystore,
    remember_password,
)
from openledger.contracts._kms import _ORDER
from openledger.contracts._sponsored import sign_code_with
from openledger.errors import UserError
from openledger.settings import Settings, get_settings

KEY = "0x" + "07" * 32
ADDRESS = str(Account.from_key(KEY).address)
DIGEST = bytes(range(32))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "owner.json"
    assert create_keystore(path, "right", KEY) == ADDRESS
    return path


class Ring(KeyringBackend):
    """The operating system's keyring, which needs a desktop session, is the one thing here that is not real."""

    priority = 1.0  # type: ignore[assignment]

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def ring() -> Iterator[Ring]:
    before, made = keyring.get_keyring(), Ring()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


def test_a_key_file_is_what_wallets_read_and_only_its_owner_can(file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    kept = json.loads(file.read_text())
    assert (kept["version"], kept["crypto"]["kdf"]) == (3, "scrypt")
    assert bytes(Account.decrypt(kept, "right")).hex() == KEY[2:]
    assert KEY[2:] not in file.read_text()


def test_it_signs_as_the_key_does(file: Path) -> None:
    signer = open_keystore(file, "right")
    assert signer.address == ADDRESS
    assert (
        signer.unsafe_sign_hash(DIGEST).signature == Account.from_key(KEY).unsafe_sign_hash(DIGEST).signature
    )
    assert open_keystore(file, "right") is signer, "its key was derived again, which takes seconds"


def test_a_wrong_password_is_refused_without_being_shown(file: Path) -> None:
    with pytest.raises(UserError, match="could not be opened") as refused:
        open_keystore(file, "wrong-one")
    assert "wrong-one" not in str(refused.value)


def test_a_key_is_never_written_over(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(UserError, match="exists"):
        create_keystore(file, "right")
    assert file.read_bytes() == before


def test_a_key_file_without_password_and_a_malformed_key_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs a password"):
        create_keystore(tmp_path / "a.json", "")
    with pytest.raises(UserError, match="malformed"):
        create_keystore(tmp_path / "b.json", "right", "0x12")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"address": 7}', '{"address": "zz"}'])
def test_a_file_that_is_no_key_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "key.json").write_text(text)
    with pytest.raises(UserError, match=r"key\.json is no key file"):
        open_keystore(tmp_path / "key.json", "right")


def test_the_keyring_gives_the_password_once_it_was_told(file: Path, ring: Ring) -> None:
    with pytest.raises(UserError, match="nobody is at the terminal"):
        open_keystore(file)
    with pytest.raises(UserError, match="could not be opened"):
        remember_password(file, "wrong")
    assert ring.kept == {}
    assert remember_password(file, "right") == ADDRESS
    assert open_keystore(file).address == ADDRESS


def test_the_settings_name_one_key(file: Path) -> None:
    assert configured_signer(Settings()) is None
    plain = configured_signer(Settings(private_key=KEY))
    kept = configured_signer(Settings(keystore=file, keystore_password="right"))
    assert plain is not None
    assert kept is not None
    assert plain.address == kept.address == ADDRESS
    with pytest.raises(UserError, match="OPENLEDGER_PRIVATE_KEY and OPENLEDGER_KEYSTORE"):
        configured_signer(Settings(private_key=KEY, keystore=file))


def test_the_commands_make_import_and_show_key_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, path = CliRunner(), tmp_path / "key.json"
    get_settings.cache_clear()
    done = run.invoke(app, ["key", "import", str(path)], input=f"{KEY}\nright\nright\n")
    assert done.exit_code == 0, done.output
    assert KEY[2:] not in done.output
    assert f"OPENLEDGER_KEYSTORE={path}" in done.output
    assert run.invoke(app, ["key", "show", str(path)]).output.strip() == ADDRESS
    monkeypatch.setenv("OPENLEDGER_KEYSTORE_PASSWORD", "right")
    get_settings.cache_clear()
    made = run.invoke(app, ["key", "new", str(tmp_path / "new.json")])
    assert made.exit_code == 0, made.output
    assert str(open_keystore(tmp_path / "new.json", "right").address) in made.output
    get_settings.cache_clear()


# -- a key management service ----------------------------------------------------------------------------------


class Kms:
    """AWS KMS is a paid cloud: this is its documented answer for a key kept here. ``high`` gives the higher s."""

    def __init__(self, *, high: bool = False, curve: Any = None, spec: str = "ECC_SECG_P256K1") -> None:
        self.key = ec.derive_private_key(int(KEY, 16), curve or ec.SECP256K1())
        self.high, self.spec = high, spec

    def get_public_key(self, KeyId: str) -> dict[str, Any]:  # noqa: N803 - AWS's names
        der = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return {"KeyId": KeyId, "PublicKey": der, "KeySpec": self.spec, "KeyUsage": "SIGN_VERIFY"}

    def sign(self, **asked: Any) -> dict[str, Any]:
        assert (asked["MessageType"], asked["SigningAlgorithm"]) == ("DIGEST", "ECDSA_SHA_256")
        r, s = decode_dss_signature(self.key.sign(asked["Message"], ec.ECDSA(Prehashed(hashes.SHA256()))))
        low = min(s, _ORDER - s)
        return {"Signature": encode_dss_signature(r, _ORDER - low if self.high else low)}


@pytest.mark.parametrize("high", [False, True])
def test_a_kms_key_signs_digests_and_transactions_as_its_address(high: bool) -> None:
    signer = KmsSigner(Kms(high=high), "alias/owner")
    assert signer.address == ADDRESS
    for _ in range(8):  # both parities come up
        signature = signer.unsafe_sign_hash(DIGEST).signature
        assert Account._recover_hash(DIGEST, signature=signature) == ADDRESS
        assert int.from_bytes(signature[32:64], "big") <= _ORDER // 2
        signed = signer.sign_transaction(
            {"to": ADDRESS, "value": 1, "gas": 21_000, "nonce": 3, "chainId": 7,
             "maxFeePerGas": 10, "maxPriorityFeePerGas": 1}
        )  # fmt: skip
        assert Account.recover_transaction(signed.raw_transaction) == ADDRESS
        code = sign_code_with(7, signer, ADDRESS, 3)  # EIP-7702, as a user and as one who pays for a user
        assert code.signed_by() == ADDRESS
        assert sign_code_with(8, signer, ADDRESS, 3).model_copy(update={"chain_id": 7}).signed_by() != ADDRESS
        signed = signer.sign_transaction(
            {"to": ADDRESS, "value": 0, "gas": 90_000, "nonce": 3, "chainId": 7, "maxFeePerGas": 10, "type": 4,
             "maxPriorityFeePerGas": 1, "data": "0x", "accessList": [], "authorizationList": [code.to_rpc()]}
        )  # fmt: skip
        assert Account.recover_transaction(signed.raw_transaction) == ADDRESS


def test_a_kms_key_of_another_kind_or_a_kms_that_refuses_is_named() -> None:
    with pytest.raises(UserError, match="ECC_NIST_P256") as refused:
        KmsSigner(Kms(curve=ec.SECP256R1(), spec="ECC_NIST_P256"), "alias/owner")
    assert "ECC_SECG_P256K1" in refused.value.fix

    class Refuses(Kms):
        def sign(self, **asked: Any) -> dict[str, Any]:
            raise RuntimeError("AccessDeniedException")

    with pytest.raises(UserError, match="AccessDenied"):
        KmsSigner(Refuses(), "alias/owner").unsafe_sign_hash(DIGEST)


def test_a_kms_that_signs_with_another_key_is_noticed() -> None:
    class Swapped(Kms):
        def sign(self, **asked: Any) -> dict[str, Any]:
            self.key = ec.derive_private_key(8, ec.SECP256K1())
            return super().sign(**asked)

    with pytest.raises(UserError, match="a signature of another key"):
        KmsSigner(Swapped(), "alias/owner").unsafe_sign_hash(DIGEST)
