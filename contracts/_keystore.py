"""Keys at rest: encrypted key files as wallets keep them (Web3 Secret Storage, version 3), opened once a process.

The password comes from the settings, from the operating system's keyring, or from whoever sits at the terminal.
"""

from __future__ import annotations

import json
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..settings import Settings
from ._signing import Signer, load_signer

__all__ = ["configured_signer", "create_keystore", "open_keystore", "read_address", "remember_password"]

_KEYRING = "openledger"


def configured_signer(settings: Settings) -> Signer | None:
    """The signer that the settings name, or None: a key file, a KMS key or a plain private key.

    Raises ``UserError`` when they name two.
    """
    given = {
        "OPENLEDGER_PRIVATE_KEY": settings.private_key,
        "OPENLEDGER_KEYSTORE": settings.keystore,
        "OPENLEDGER_KMS_KEY": settings.kms_key,
    }
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise UserError("more than one key is set", why=" and ".join(named), fix="leave one of them")
    if settings.private_key is not None:
        return load_signer(settings.private_key.get_secret_value())
    if settings.keystore is not None:
        secret = settings.keystore_password
        return open_keystore(settings.keystore, None if secret is None else secret.get_secret_value())
    if settings.kms_key is not None:
        from ._kms import open_kms

        return open_kms(settings.kms_key)
    return None


def create_keystore(path: Path, password: str, private_key: str | None = None) -> str:
    """Write a new key file (scrypt, mode 600), of ``private_key`` (0x…) or of a key made now; returns its address.

    Raises ``UserError`` for a malformed key, an empty password, or a file that exists: no key is ever written over.
    """
    from eth_account import Account

    if not password:
        raise UserError(
            "a key file needs a password", fix="give one; without it the file is as good as the key"
        )
    key = "0x" + bytes(Account.create().key).hex() if private_key is None else private_key
    address = str(load_signer(key).address)
    made = json.dumps(Account.encrypt(bytes.fromhex(key.removeprefix("0x")), password))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UserError(
            f"{path} exists", why="it may hold the only copy of a key", fix="give another path"
        ) from None
    with os.fdopen(descriptor, "w") as file:
        file.write(made + "\n")
        file.flush()
        os.fsync(file.fileno())
    return address


def read_address(path: Path) -> str:
    """Whose key a file holds, by what it says of itself. Raises ``UserError`` for a file that is none."""
    from web3 import Web3

    try:
        return Web3.to_checksum_address("0x" + json.loads(path.read_text())["address"].removeprefix("0x"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is no key file",
            why=f"{type(error).__name__}: {error}",
            fix="openledger key new makes one",
        ) from None


def open_keystore(path: Path, password: str | None = None) -> Signer:
    """The signer of a key file. Deriving its key takes seconds and happens once a process.

    ``password`` is by default the keyring's for the file's address, else it is asked for at a terminal. Raises
    ``UserError`` for a wrong one, or where there is nobody to ask.
    """
    address = read_address(path)
    if password is None:
        password = _remembered(address) or _ask(path, address)
    return _decrypted(path.read_text(), password, str(path))


@lru_cache
def _decrypted(text: str, password: str, path: str) -> Signer:
    from eth_account import Account

    try:
        signer: Signer = Account.from_key(Account.decrypt(json.loads(text), password))
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path} could not be opened", why=str(error), fix="check OPENLEDGER_KEYSTORE_PASSWORD"
        ) from None
    return signer


def remember_password(path: Path, password: str) -> str:
    """Keep a key file's password in the operating system's keyring, after trying it; returns the address."""
    open_keystore(path, password)
    address = read_address(path)
    _keyring(lambda ring: ring.set_password(_KEYRING, address, password))
    return address


def _remembered(address: str) -> str | None:
    try:
        found: str | None = _keyring(lambda ring: ring.get_password(_KEYRING, address))
    except UserError:
        return None  # no keyring here: somebody is asked
    return found


def _keyring(work: Any) -> Any:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ModuleNotFoundError:
        raise UserError("there is no keyring", fix="install openledger[keyring]") from None
    try:
        return work(keyring)
    except KeyringError as error:
        raise UserError(
            "the operating system's keyring refused",
            why=str(error),
            fix="unlock it, or set the password by settings",
        ) from None


def _ask(path: Path, address: str) -> str:
    if not sys.stdin.isatty():
        raise UserError(
            f"the password of {path} is not known",
            why="no setting and no keyring has it, and nobody is at the terminal",
            fix="set OPENLEDGER_KEYSTORE_PASSWORD, or once: openledger key remember",
        )
    from getpass import getpass

    return getpass(f"password of {address}: ")
