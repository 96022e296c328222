"""OpenAI's requests and responses: what of them an agent is given, and how its answer looks there.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import json
import math
import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ...errors import UserError
from ...openlora import Sampling
from ._agents import Served

__all__ = [
    "ChatRequest",
    "Chunks",
    "CompletionRequest",
    "chat_input",
    "chat_response",
    "completion_input",
    "completion_response",
    "pieces",
    "text_input",
    "text_of",
]

_Strict = ConfigDict(strict=True, extra="allow")


class Part(BaseModel):
    """A part of a message: only text is taken."""

    model_config = _Strict

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A message of a conversation."""

    model_config = _Strict

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """How to stream."""

    model_config = _Strict

    include_usage: bool = False


class _Request(BaseModel):
    model_config = _Strict

    model: Annotated[str, Field(min_length=1, description="an agent's name, or agent:<id>")]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None

    @property
    def usage_wanted(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def sampling(self) -> dict[str, Any]:
        """What it says of sampling. Raises ``UserError`` for a value outside its range."""
        said = {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens}
        given: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
        Sampling(**given).check()
        return given


class ChatRequest(_Request):
    """``POST /v1/chat/completions``."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: int | None = None

    def sampling(self) -> dict[str, Any]:
        if self.max_completion_tokens is not None:
            self.max_tokens = self.max_completion_tokens
        return super().sampling()


class CompletionRequest(_Request):
    """``POST /v1/completions``."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)]

    @property
    def text(self) -> str:
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]


# What would change an answer and cannot be had: the values that ask for nothing.
_NOTHING: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "best_of": (1,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False, 0),
    "modalities": (["text"],),
    "n": (1,),
    "prediction": (),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "seed": (),
    "stop": ([], ""),
    "suffix": ("",),
    "tools": ([],),
    "top_logprobs": (0,),
}
_WHY = {
    "seed": "the payment's signature fixes the seed, so that nobody chooses it",
    "logprobs": "they are in the action's record, where anybody can check them",
}


def _check_extra(body: _Request) -> list[str]:
    """The fields that are not looked at. Raises ``UserError`` for one that asks for what cannot be had."""
    extra = body.model_extra or {}
    for name, value in extra.items():
        if name in _NOTHING and value is not None and value not in _NOTHING[name]:
            raise UserError(
                f"{name} was refused",
                why=_WHY.get(name, "agents here have no such choice"),
                fix=f"leave {name} out",
            )
    return sorted(name[:40] for name in extra if name not in _NOTHING)[:16]


def _with_sampling(
    served: Served, body: _Request, value: dict[str, Any], ignored: list[str]
) -> dict[str, Any]:
    """``value`` with the sampling that the agent's state has room for; the rest goes to ``ignored``."""
    for name, given in body.sampling().items():
        if name in served.keys:
            value[name] = given
        else:
            ignored.append(name)  # the agent's graph decides
    return value


def chat_input(served: Served, body: ChatRequest) -> tuple[Any, list[str]]:
    """The agent's input for a conversation, and the names of what it does not look at. Raises ``UserError``.

    An agent whose state has ``messages`` is given all of them; one that takes a text, the one user's message.
    """
    ignored = _check_extra(body)
    if "messages" in served.keys:
        messages = [{"role": message.role, "content": message.text} for message in body.messages]
        return _with_sampling(served, body, {"messages": messages}, ignored), ignored
    key = _text_key(served)
    if len(body.messages) != 1 or body.messages[0].role != "user":
        raise UserError(
            f"{served.agent.name!r} takes one question and no conversation",
            why=f"its graph has no `messages`; {len(body.messages)} messages were sent",
            fix="send one message of role user",
        )
    return _alone(served, body, key, body.messages[0].text, ignored), ignored


def completion_input(served: Served, body: CompletionRequest) -> tuple[Any, list[str]]:
    """The agent's input for a prompt, as :func:`chat_input`. A state with ``prompt`` gets it as it is."""
    ignored = _check_extra(body)
    if "prompt" in served.keys:
        return _with_sampling(served, body, {"prompt": body.text}, ignored), ignored
    if "messages" in served.keys:
        messages = [{"role": "user", "content": body.text}]
        return _with_sampling(served, body, {"messages": messages}, ignored), ignored
    return _alone(served, body, _text_key(served), body.text, ignored), ignored


def text_input(served: Served, text: str) -> Any:
    """The agent's input for one text and nothing else. Raises ``UserError`` where it takes none."""
    if "messages" in served.keys:
        return {"messages": [{"role": "user", "content": text}]}
    _text_key(served)
    return text


def _text_key(served: Served) -> str:
    if served.agent.input_key is None:
        raise UserError(
            f"{served.agent.name!r} takes no text",
            why="its graph declares no input for one",
            fix=f"POST /agents/{served.agent_id}/invoke with the state it takes",
        )
    return served.agent.input_key


def _alone(served: Served, body: _Request, key: str, text: str, ignored: list[str]) -> Any:
    more = _with_sampling(served, body, {}, ignored)
    return {key: text} | more if more else text


def text_of(output: Any) -> str:
    """An agent's answer as text: itself, or as JSON."""
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False, default=str)


def pieces(text: str, most: int = 24) -> list[str]:
    """``text`` cut at its spaces, for a stream."""
    if not text:
        return []
    words = text.split(" ")
    step = max(1, math.ceil(len(words) / most))
    cut = [" ".join(words[at : at + step]) for at in range(0, len(words), step)]
    return [part + " " * (at < len(cut) - 1) for at, part in enumerate(cut)]


def chat_response(
    payment_id: str, model: str, text: str, finish: str, usage: dict[str, int], extension: dict[str, Any]
) -> dict[str, Any]:
    """A ``chat.completion``."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": None,
        "finish_reason": finish,
    }
    return _envelope("chatcmpl-", "chat.completion", payment_id, model, [choice]) | {
        "usage": usage,
        "openledger": extension,
    }


def completion_response(
    payment_id: str, model: str, text: str, finish: str, usage: dict[str, int], extension: dict[str, Any]
) -> dict[str, Any]:
    """A ``text_completion``."""
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    return _envelope("cmpl-", "text_completion", payment_id, model, [choice]) | {
        "usage": usage,
        "openledger": extension,
    }


class Chunks:
    """The chunks of one streamed answer, of a chat or of a completion."""

    def __init__(self, chat: bool, payment_id: str, model: str) -> None:
        self._chat = chat
        self._head = (
            _envelope("chatcmpl-", "chat.completion.chunk", payment_id, model, [])
            if chat
            else _envelope("cmpl-", "text_completion", payment_id, model, [])
        )

    def first(self, extension: dict[str, Any]) -> dict[str, Any]:
        """Before anything was answered."""
        return self._chunk({"role": "assistant", "content": ""}, "") | {"openledger": extension}

    def text(self, text: str) -> dict[str, Any]:
        return self._chunk({"content": text}, text)

    def last(self, finish: str, extension: dict[str, Any]) -> dict[str, Any]:
        return self._chunk({}, "", finish) | {"openledger": extension}

    def usage(self, usage: dict[str, int]) -> dict[str, Any]:
        return self._head | {"choices": [], "usage": usage}

    def _chunk(self, delta: dict[str, Any], text: str, finish: str | None = None) -> dict[str, Any]:
        said: dict[str, Any] = {"delta": delta} if self._chat else {"text": text}
        return self._head | {"choices": [{"index": 0, **said, "logprobs": None, "finish_reason": finish}]}


def _envelope(
    prefix: str, kind: str, payment_id: str, model: str, choices: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "id": prefix + payment_id.removeprefix("0x"),
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "choices": choices,
    }
