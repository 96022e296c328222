"""A LangChain chat model bound to the pool: ``chat("findings")`` inside any node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables.config import ensure_config
from langchain_core.runnables.config import run_in_executor as run_in_thread

from ..openlora import Sampling, load_tokenizer
from ._trace import current_trace

__all__ = ["HFCodec", "PoolChat", "chat"]

_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}


class PoolChat(BaseChatModel):
    """Chat with one adapter of the running action's agent; every call becomes a step of its record.

    ``alias`` names the adapter in ``@agent(adapters=…)``; ``None`` is the base model. The reply's
    ``usage_metadata`` counts prompt and output tokens.
    """

    alias: str | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 64

    @property
    def _llm_type(self) -> str:
        return "openledger-pool"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        trace = current_trace()
        _, codec = trace.models.pool()
        prompt = codec.encode_chat(
            [{"role": _ROLES.get(m.type, m.type), "content": str(m.text)} for m in messages]
        )
        sampling = Sampling(
            temperature=kwargs.get("temperature", self.temperature),
            top_p=kwargs.get("top_p", self.top_p),
            top_k=kwargs.get("top_k", self.top_k),
            max_tokens=kwargs.get("max_tokens", self.max_tokens),
        )
        node = str((ensure_config().get("metadata") or {}).get("langgraph_node", ""))
        made = trace.generate(self.alias, prompt, sampling, node)
        text = codec.decode(made.tokens).strip()
        usage = {
            "input_tokens": len(prompt),
            "output_tokens": len(made.tokens),
            "total_tokens": len(prompt) + len(made.tokens),
        }
        message = AIMessage(
            content=text,
            usage_metadata=usage,
            response_metadata={
                "adapter": made.adapter.cid if made.adapter else None,
                "root": made.root.hex(),
            },
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        # run_in_executor copies the context, so the thread still finds its action's trace.
        return await run_in_thread(None, self._generate, messages, stop, None, **kwargs)


def chat(alias: str | None = None, **sampling: Any) -> PoolChat:
    """The chat model behind ``alias``; sampling: temperature, top_p, top_k, max_tokens."""
    return PoolChat(alias=alias, **sampling)


class HFCodec:
    """Text ↔ tokens by a Hugging Face tokenizer directory or name.

    Uses the tokenizer's own chat template; a model without one gets the messages' text, one a line.
    """

    def __init__(self, base: str, tokenizer: Any = None) -> None:
        """``tokenizer`` is that of ``base``, where it is loaded already."""
        self._base = base
        self._tokenizer = tokenizer or load_tokenizer(base)

    def __reduce__(self) -> tuple[Any, ...]:
        return HFCodec, (self._base,)

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        if self._tokenizer.chat_template is None:
            return self.encode("\n".join(m["content"] for m in messages) + "\n")
        text = self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return [int(t) for t in self._tokenizer.encode(text, add_special_tokens=False)]

    def encode(self, text: str) -> list[int]:
        return [int(t) for t in self._tokenizer.encode(text)]

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))
