"""The chain: a client over web3, the contracts and where they are, and a private devnet."""

from __future__ import annotations

from ._abi import Artifact, artifact, artifact_names
from ._amounts import parse_open, parse_span, show_open
from ._chain import Chain
from ._contracts import CONTRACTS, Contracts, Deployment
from ._deploy import deploy
from ._devnet import DEVNET_CHAIN_ID, Devnet
from ._directory import Update, adopt, load_contracts, updates
from ._genesis import SHARES, TOTAL_OPEN, Allocation, devnet_allocations, genesis, share_allocations
from ._keystore import configured_signer, create_keystore, open_keystore, remember_password
from ._kms import KmsSigner
from ._relay import Relay
from ._reverts import decode_revert
from ._review import Review, reviewed
from ._sending import Receipt
from ._signing import Authorization, Signer, load_signer, sign_authorization, sign_permit, token_domain
from ._simulate import refusal, simulated_block
from ._sponsored import (
    Batch,
    BatchCall,
    CodeAuthorization,
    batch_nonce,
    chain_time,
    delegated_to,
    executed,
    sign_batch,
    sign_code,
    sponsored_account,
)
from ._sponsoring import Sponsoring

__all__ = [
    "CONTRACTS",
    "DEVNET_CHAIN_ID",
    "SHARES",
    "TOTAL_OPEN",
    "Update",
    "Allocation",
    "Artifact",
    "Authorization",
    "Batch",
    "BatchCall",
    "Chain",
    "CodeAuthorization",
    "Contracts",
    "Deployment",
    "Devnet",
    "KmsSigner",
    "Receipt",
    "Relay",
    "Review",
    "Signer",
    "Sponsoring",
    "adopt",
    "artifact",
    "artifact_names",
    "batch_nonce",
    "chain_time",
    "configured_signer",
    "create_keystore",
    "decode_revert",
    "delegated_to",
    "deploy",
    "devnet_allocations",
    "executed",
    "genesis",
    "load_contracts",
    "load_signer",
    "open_keystore",
    "parse_open",
    "parse_span",
    "refusal",
    "remember_password",
    "reviewed",
    "share_allocations",
    "show_open",
    "sign_authorization",
    "sign_batch",
    "sign_code",
    "sign_permit",
    "simulated_block",
    "sponsored_account",
    "token_domain",
    "updates",
]
