"""What an action did, step by step: model calls, tool calls, retrievals, sub-actions, training runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import ContentError, UserError
from ._blocks import Encoded, Getter, Reader, pack_bytes, pack_value, unpack_bytes, unpack_value
from ._cid import Link, digest_of
from ._dagcbor import decode, encode
from ._hashing import sha2
from ._leaves import (
    Finish,
    Generation,
    StepKind,
    StepLeaf,
    pack_int32,
    pack_uint32,
    unpack_int32,
    unpack_uint32,
)
from ._manifest import AssetRef

__all__ = [
    "ModelCallStep",
    "RetrievalStep",
    "Sampling",
    "Step",
    "SubActionStep",
    "ToolCallStep",
    "TrainingStep",
    "decode_step",
]

_FINISH = {"stop": Finish.STOP, "length": Finish.LENGTH}


class _Base:
    @cached_property
    def encoded(self) -> Encoded:
        """The step's root block and its chunks, to be stored; ``encoded.cid`` is its address."""
        blocks: dict[str, bytes] = {}
        return Encoded.of(self._to_block(blocks), blocks, type(self).__name__)

    @property
    def cid(self) -> str:
        return self.encoded.cid

    def _to_block(self, blocks: dict[str, bytes]) -> dict[str, Any]:
        raise NotImplementedError

    def _detail(self) -> bytes:
        return digest_of(self.encoded.cid)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens were drawn. ``top_p`` 1 and ``top_k`` 0 switch those filters off."""

    temperature: float
    top_p: float
    top_k: int
    max_tokens: int


@dataclass(frozen=True)
class ModelCallStep(_Base):
    """A generation: what is needed to replay it, token by token.

    ``asset_id`` and ``content`` name the adapter that was declared (or the base model, if none);
    ``logprobs`` are in 10^-4 nat; ``seed`` has 32 bytes (hexadecimal text is taken too); ``finish`` is
    ``stop`` or ``length``; ``node`` names the graph node.
    """

    asset_id: int
    content: str
    base_asset_id: int
    base: str
    prompt_tokens: Sequence[int]
    output_tokens: Sequence[int]
    logprobs: Sequence[int]
    sampling: Sampling
    seed: bytes
    engine_class: str
    finish: str
    node: str

    def __post_init__(self) -> None:
        if isinstance(self.seed, str):
            object.__setattr__(self, "seed", bytes.fromhex(self.seed.removeprefix("0x")))
        if self.finish not in _FINISH:
            raise UserError(f"A generation ends by 'stop' or 'length', not {self.finish!r}")

    @cached_property
    def generation(self) -> Generation:
        """The committed token leaves and their tree."""
        return Generation(
            self.prompt_tokens, self.output_tokens, self.logprobs, self.seed, _FINISH[self.finish]
        )

    def leaf(self, index: int) -> StepLeaf:
        """The leaf of this step at ``index`` of its action."""
        return StepLeaf(
            index=index,
            kind=StepKind.MODEL_CALL,
            asset_id=self.asset_id,
            content_digest=digest_of(self.content),
            prompt_hash=self.generation.prefixes[0],
            generation_root=self.generation.root,
            count=self.generation.count,
            detail_digest=self._detail(),
        )

    def _to_block(self, blocks: dict[str, bytes]) -> dict[str, Any]:
        if len(self.output_tokens) != len(self.logprobs) or len(self.seed) != 32:
            raise UserError("A model call needs a logprob for each output token and a seed of 32 bytes")
        sampling = self.sampling
        return {
            "kind": int(StepKind.MODEL_CALL),
            "asset_id": self.asset_id,
            "content": Link(self.content),
            "base_asset_id": self.base_asset_id,
            "base": Link(self.base),
            "prompt_tokens": pack_bytes(pack_uint32(self.prompt_tokens), blocks),
            "output_tokens": pack_bytes(pack_uint32(self.output_tokens), blocks),
            "logprobs": pack_bytes(pack_int32(self.logprobs), blocks),
            "sampling": {
                "temperature": float(sampling.temperature),
                "top_p": float(sampling.top_p),
                "top_k": int(sampling.top_k),
                "max_tokens": int(sampling.max_tokens),
            },
            "seed": self.seed,
            "engine_class": self.engine_class,
            "finish": self.finish,
            "node": self.node,
        }


@dataclass(frozen=True)
class ToolCallStep(_Base):
    """A tool call; ``tx_hash`` (0x…) if it moved value on-chain. ``arguments`` and ``result`` are dag-cbor values."""

    name: str
    arguments: Any
    result: Any
    tx_hash: str | None = None

    def leaf(self, index: int) -> StepLeaf:
        """The leaf of this step at ``index`` of its action."""
        return StepLeaf(index=index, kind=StepKind.TOOL_CALL, detail_digest=self._detail())

    def _to_block(self, blocks: dict[str, bytes]) -> dict[str, Any]:
        tx_hash = None if self.tx_hash is None else bytes.fromhex(self.tx_hash.removeprefix("0x"))
        if tx_hash is not None and len(tx_hash) != 32:
            raise UserError(f"{self.tx_hash!r} is not a transaction hash")
        return {
            "kind": int(StepKind.TOOL_CALL),
            "name": self.name,
            "arguments": pack_value(self.arguments, blocks),
            "result": pack_value(self.result, blocks),
            "tx_hash": tx_hash,
        }


@dataclass(frozen=True)
class RetrievalStep(_Base):
    """Documents put into the context from a datanet; ``content`` is the datanet version they came from."""

    asset_id: int
    documents: Any
    content: str | None = None

    def leaf(self, index: int) -> StepLeaf:
        """The leaf of this step at ``index`` of its action."""
        digest = digest_of(self.content) if self.content else bytes(32)
        return StepLeaf(
            index=index,
            kind=StepKind.RETRIEVAL,
            asset_id=self.asset_id,
            content_digest=digest,
            detail_digest=self._detail(),
        )

    def _to_block(self, blocks: dict[str, bytes]) -> dict[str, Any]:
        return {
            "kind": int(StepKind.RETRIEVAL),
            "asset_id": self.asset_id,
            "content": Link(self.content) if self.content else None,
            "documents": pack_value(self.documents, blocks),
        }


@dataclass(frozen=True)
class SubActionStep(_Base):
    """Another agent's action, by the CID of its receipt (:class:`SignedRecord`)."""

    receipt: str

    def leaf(self, index: int) -> StepLeaf:
        """The leaf of this step at ``index`` of its action."""
        return StepLeaf(index=index, kind=StepKind.SUB_ACTION, detail_digest=self._detail())

    def _to_block(self, blocks: dict[str, bytes]) -> dict[str, Any]:
        return {"kind": int(StepKind.SUB_ACTION), "receipt": Link(self.receipt)}


@dataclass(frozen=True)
class TrainingStep(_Base):
    """A training run that anybody with the same kind of machine can repeat: from what it began, and what came out.

    ``recipe`` is a dag-cbor value that names everything the run depends on besides base and datanets; ``adapter`` is
    the CID of the directory that came out; ``trainer_class`` says which builds give the same bits.
    """

    base_asset_id: int
    base: str
    datanets: Sequence[AssetRef]
    recipe: Any
    adapter: str
    trainer_class: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "datanets", tuple(AssetRef(*ref) for ref in self.datanets))

    @property
    def inputs_hash(self) -> bytes:
        """sha2-256 of everything the run began from."""
        nets = [[ref.asset_id, Link(ref.cid)] for ref in self.datanets]
        return sha2(encode({"base": Link(self.base), "datanets": nets, "recipe": self.recipe}))

    def leaf(self, index: int) -> StepLeaf:
        """The leaf of this step at ``index`` of its action; its root is the adapter's digest."""
        return StepLeaf(
            index=index,
            kind=StepKind.TRAINING,
            asset_id=self.base_asset_id,
            content_digest=digest_of(self.base),
            prompt_hash=self.inputs_hash,
            generation_root=digest_of(self.adapter),
            detail_digest=self._detail(),
        )

    def _to_block(self, blocks: dict[str, bytes]) -> dict[str, Any]:
        return {
            "kind": int(StepKind.TRAINING),
            "base_asset_id": self.base_asset_id,
            "base": Link(self.base),
            "datanets": [[ref.asset_id, Link(ref.cid)] for ref in self.datanets],
            "recipe": pack_value(self.recipe, blocks),
            "adapter": Link(self.adapter),
            "trainer_class": self.trainer_class,
        }


Step = ModelCallStep | ToolCallStep | RetrievalStep | SubActionStep | TrainingStep

_MODEL_KEYS = {"kind", "asset_id", "content", "base_asset_id", "base", "prompt_tokens", "output_tokens", "logprobs",
               "sampling", "seed", "engine_class", "finish", "node"}  # fmt: skip


def decode_step(cid: str, get: Getter) -> Step:
    """Read the step stored at ``cid``. Raises ``ContentError`` for anything malformed."""
    block = decode(get(cid), cid)
    kind = block.get("kind") if isinstance(block, dict) else None
    if kind == StepKind.MODEL_CALL:
        step: Step = _model_call(Reader(block, "a model call", cid, _MODEL_KEYS), get)
    elif kind == StepKind.TOOL_CALL:
        read = Reader(block, "a tool call", cid, {"kind", "name", "arguments", "result", "tx_hash"})
        tx_hash = None if read.raw("tx_hash") is None else "0x" + read.octets("tx_hash", 32).hex()
        arguments = unpack_value(read.raw("arguments"), get, cid)
        step = ToolCallStep(read.text("name"), arguments, unpack_value(read.raw("result"), get, cid), tx_hash)
    elif kind == StepKind.RETRIEVAL:
        read = Reader(block, "a retrieval", cid, {"kind", "asset_id", "content", "documents"})
        documents = unpack_value(read.raw("documents"), get, cid)
        step = RetrievalStep(read.integer("asset_id"), documents, read.link_or_none("content"))
    elif kind == StepKind.SUB_ACTION:
        step = SubActionStep(Reader(block, "a sub-action", cid, {"kind", "receipt"}).link("receipt"))
    elif kind == StepKind.TRAINING:
        step = _training(Reader(block, "a training run", cid, _TRAINING_KEYS), get)
    else:
        raise ContentError(f"Block {cid} is not a step", why=f"its kind is {kind!r}", cid=cid)
    if step.cid != cid:  # e.g. chunks of another size: the same step, but not the block its leaf commits to
        raise ContentError(f"Step {cid} is not in canonical form", cid=cid)
    return step


_TRAINING_KEYS = {"kind", "base_asset_id", "base", "datanets", "recipe", "adapter", "trainer_class"}


def _training(read: Reader, get: Getter) -> TrainingStep:
    nets = read.raw("datanets")
    if not isinstance(nets, list) or any(
        not isinstance(net, list) or len(net) != 2 or type(net[0]) is not int or type(net[1]) is not Link
        for net in nets
    ):
        raise read.fail("datanets")
    return TrainingStep(
        base_asset_id=read.integer("base_asset_id"),
        base=read.link("base"),
        datanets=[AssetRef(asset_id, str(link)) for asset_id, link in nets],
        recipe=unpack_value(read.raw("recipe"), get, read.cid),
        adapter=read.link("adapter"),
        trainer_class=read.text("trainer_class"),
    )


def _model_call(read: Reader, get: Getter) -> ModelCallStep:
    def packed(key: str) -> bytes:
        data = unpack_bytes(read.raw(key), get, read.cid)
        if len(data) % 4:
            raise read.fail(key)
        return data

    drawn = Reader(
        read.raw("sampling"), "sampling", read.cid, {"temperature", "top_p", "top_k", "max_tokens"}
    )
    output, logprobs = unpack_uint32(packed("output_tokens")), unpack_int32(packed("logprobs"))
    if len(output) != len(logprobs):
        raise read.fail("logprobs")
    if read.text("finish") not in _FINISH:
        raise read.fail("finish")
    return ModelCallStep(
        asset_id=read.integer("asset_id"),
        content=read.link("content"),
        base_asset_id=read.integer("base_asset_id"),
        base=read.link("base"),
        prompt_tokens=unpack_uint32(packed("prompt_tokens")),
        output_tokens=output,
        logprobs=logprobs,
        sampling=Sampling(
            drawn.number("temperature"),
            drawn.number("top_p"),
            drawn.integer("top_k", -1),
            drawn.integer("max_tokens"),
        ),
        seed=read.octets("seed", 32),
        engine_class=read.text("engine_class"),
        finish=read.text("finish"),
        node=read.text("node"),
    )
