"""Identities and the content they point to: CIDs, records, manifests, Merkle trees, content stores.

The pure parts import nothing heavy; everything that talks to a chain or a store is loaded on first use.
"""

from __future__ import annotations

from ._agents import Agent, Agents, Epoch, WalletConsent
from ._assets import Asset, AssetKind, Assets
from ._batch import Batch, BatchEntry, Payout, RecordProof
from ._blocks import MAX_BLOCK, Encoded, Getter
from ._cid import (
    CODECS,
    Link,
    cid_bytes,
    cid_from_bytes,
    cid_from_digest,
    cid_of,
    codec_name,
    codec_of,
    digest_of,
    normalise_cid,
)
from ._claims import Due, claim_due, dues
from ._connect import Connection
from ._content import ActionContent, Payment, value_hash
from ._curation import (
    Contribution,
    ContributionState,
    Curation,
    CuratorRecord,
    SealedVersion,
    accepted_tree,
)
from ._dagcbor import decode, encode
from ._governance import Governance, Grant
from ._hashing import (
    BatchHeader,
    authorization_nonce,
    evidence_hash,
    fixed_split_leaf,
    manifest_leaf,
    payment_id,
    payout_leaf,
    payout_tree,
    position_word,
    record_leaf,
    step_seed,
    vote_commitment,
)
from ._income import Income, IncomeLine
from ._keccak import keccak
from ._leaves import (
    END_TOKEN,
    Finish,
    Generation,
    StepKind,
    StepLeaf,
    TokenLeaf,
    clip_logprob,
    prefix_hash,
    steps_tree,
)
from ._ledger import Ledger
from ._licences import MAX_KEY, Licence, Licences, Offer, PurchaseConsent
from ._links import BlockLink, block_of, links_in, path_to_missing
from ._manifest import AssetRef, FixedShare, Manifest, Split
from ._merkle import MerkleTree, SumTree, depth_of, verify_proof, verify_sum_proof
from ._payments import Payments
from ._proposals import Call, Parameter, parse_parameter
from ._record import (
    ActionRecord,
    Domain,
    HashSigner,
    ReplayClass,
    SeedSource,
    SignedRecord,
    Status,
    Ticket,
    recover,
    sign_digest,
)
from ._reputation import Feedback, FeedbackResponse, Reputation, Summary, fixed_point, summarise
from ._royalties import flow_income, split_income
from ._settlement import Settlement
from ._steps import ModelCallStep, RetrievalStep, Sampling, Step, SubActionStep, ToolCallStep, decode_step
from ._tickets import KeptTicket
from ._validations import Validation, Validations, validation_key
from ._votes import Proposal, ProposalState, Standing, Support, Voter
from .store import ContentStore, IpfsStore, LocalStore, export_car, import_car, open_store, path_cid

__all__ = [
    "CODECS",
    "END_TOKEN",
    "MAX_BLOCK",
    "MAX_KEY",
    "ActionContent",
    "ActionRecord",
    "Agent",
    "Agents",
    "Asset",
    "AssetKind",
    "AssetRef",
    "Assets",
    "Batch",
    "BatchEntry",
    "BatchHeader",
    "BlockLink",
    "Connection",
    "ContentStore",
    "Contribution",
    "ContributionState",
    "Curation",
    "CuratorRecord",
    "Domain",
    "Due",
    "Encoded",
    "Epoch",
    "Feedback",
    "FeedbackResponse",
    "Finish",
    "FixedShare",
    "Generation",
    "Getter",
    "HashSigner",
    "Income",
    "IncomeLine",
    "IpfsStore",
    "KeptTicket",
    "Ledger",
    "Licence",
    "Licences",
    "Link",
    "LocalStore",
    "Manifest",
    "MerkleTree",
    "ModelCallStep",
    "Offer",
    "Payment",
    "Payments",
    "Payout",
    "PurchaseConsent",
    "RecordProof",
    "ReplayClass",
    "Reputation",
    "RetrievalStep",
    "Sampling",
    "SealedVersion",
    "SeedSource",
    "Settlement",
    "SignedRecord",
    "Split",
    "Status",
    "Step",
    "StepKind",
    "StepLeaf",
    "SubActionStep",
    "SumTree",
    "Summary",
    "Ticket",
    "TokenLeaf",
    "ToolCallStep",
    "Validation",
    "Validations",
    "WalletConsent",
    "accepted_tree",
    "authorization_nonce",
    "block_of",
    "cid_bytes",
    "cid_from_bytes",
    "cid_from_digest",
    "cid_of",
    "claim_due",
    "clip_logprob",
    "codec_name",
    "codec_of",
    "decode",
    "decode_step",
    "depth_of",
    "digest_of",
    "dues",
    "encode",
    "evidence_hash",
    "export_car",
    "fixed_point",
    "fixed_split_leaf",
    "flow_income",
    "import_car",
    "keccak",
    "links_in",
    "manifest_leaf",
    "normalise_cid",
    "open_store",
    "path_cid",
    "path_to_missing",
    "payment_id",
    "payout_leaf",
    "payout_tree",
    "position_word",
    "prefix_hash",
    "record_leaf",
    "recover",
    "sign_digest",
    "split_income",
    "step_seed",
    "steps_tree",
    "summarise",
    "validation_key",
    "value_hash",
    "verify_proof",
    "verify_sum_proof",
    "vote_commitment",
    "Governance",
    "Grant",
    "Proposal",
    "ProposalState",
    "Standing",
    "Support",
    "Voter",
    "Call",
    "Parameter",
    "parse_parameter",
]
