"""The gateway's description of itself, ``/openapi.json``: what its answers look like, and which it gives at all."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field

__all__ = ["PAID", "PAYING", "Action", "Actions", "Answer", "Chat", "Completion", "Health", "Model", "Models", "describe",
           "gives"]  # fmt: skip

PAID: dict[str, Any] = {"security": [{"key": []}, {"x402": []}]}
"""``openapi_extra`` of an address that is paid for."""

PAYING = (402, 404, 502, 504)
"""The errors of one, beside those of any."""

_WHEN = {
    400: "the request has to be mended; nothing was paid, or it is paid back",
    401: "there is no such key",
    402: "it has to be paid: PAYMENT-REQUIRED has the terms",
    404: "there is no such agent, model or action here",
    405: "the address takes another method",
    408: "the request came too slowly",
    413: "the request is too large",
    429: "too much at once: Retry-After has the seconds",
    502: "the agent failed and is paid back, or the chain refused",
    503: "a part is away and nothing is lost: Retry-After has the seconds",
    504: "the action took too long, and is paid back",
}
_EVENT = {
    "type": "object",
    "description": "each of the events; its data is JSON, or [DONE]",
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["data"],
}
_ANY = (400, 401, 408, 413, 429, 503)
_SCHEMES = {
    "key": {"type": "http", "scheme": "bearer", "description": "a prepaid key"},
    "x402": {
        "type": "apiKey",
        "in": "header",
        "name": "PAYMENT-SIGNATURE",
        "description": "x402 version 2, scheme exact, with a nonce that binds the request",
    },
}


class _Told(BaseModel):
    model_config = ConfigDict(extra="allow")


class _Problem(_Told):
    message: str
    type: str
    param: None
    code: str
    what: str
    why: str
    fix: str


class Error(_Told):
    """OpenAI's envelope; ``accepts`` is what x402 would pay with."""

    error: _Problem
    accepts: list[dict[str, Any]] | None = None


class Extension(_Told):
    """What is told of an action."""

    agent: int
    payment_id: str
    receipt: str
    status: Literal["ok", "failed", "interrupted"]
    charged: str = Field(description="wei")
    refund: str = Field(description="wei that go back to the payer before the action is anchored")
    nonce: int
    anchor_by: int = Field(description="unix seconds")
    thread: str
    seed_source: str
    verification: Literal["unverified"]


class _Tariff(_Told):
    base: str = Field(description="wei an action")
    prompt_token: str = Field(description="wei a token that a model is given")
    output_token: str = Field(description="wei a token that a model makes")


class _Terms(_Told):
    agent: int
    description: str
    price: str = Field(description="wei that an action costs; where there is a tariff, at most")
    tariff: _Tariff | None
    escrow: str
    epoch: int
    manifest: str
    adapters: list[int]


class Model(_Told):
    """An agent, as OpenAI describes a model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    openledger: _Terms


class Models(_Told):
    """All of them."""

    object: Literal["list"]
    data: list[Model]


class _Usage(_Told):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class _Completed(_Told):
    id: str
    created: int
    model: str
    usage: _Usage
    openledger: Extension


class _Message(_Told):
    role: Literal["assistant"]
    content: str
    refusal: None


class _ChatChoice(_Told):
    index: Literal[0]
    message: _Message
    logprobs: None
    finish_reason: Literal["stop", "length"]


class Chat(_Completed):
    """A ``chat.completion``."""

    object: Literal["chat.completion"]
    choices: list[_ChatChoice]


class _Choice(_Told):
    index: Literal[0]
    text: str
    logprobs: None
    finish_reason: Literal["stop", "length"]


class Completion(_Completed):
    """A ``text_completion``."""

    object: Literal["text_completion"]
    choices: list[_Choice]


class Answer(_Told):
    """What an agent answered."""

    status: Literal["ok", "interrupted"]
    output: Any
    openledger: Extension


class _Listed(_Told):
    object: Literal["action"]
    receipt: str
    agent: int
    nonce: int
    status: Literal["ok", "failed", "interrupted"]
    state: str
    payment_id: str
    charged: str
    seed_source: str
    anchor_by: int


class Actions(_Told):
    """An agent's actions, latest first."""

    object: Literal["list"]
    data: list[_Listed]
    has_more: bool


class _Check(_Told):
    name: str
    verdict: str
    found: str


class Action(_Listed):
    """An action, and what was found of it."""

    record: dict[str, Any] | None
    anchor: dict[str, Any] | None
    verification: str
    summary: str
    checks: list[_Check]


class Health(_Told):
    """Whether calls can be taken."""

    status: Literal["ok", "unavailable"]
    chain: bool


def gives(ok: type[BaseModel] | None, *errors: int, streams: bool = False) -> dict[int | str, dict[str, Any]]:
    """``responses`` of a route that answers 200 as ``ok``, as server-sent events or both, and else with one of ``errors``
    or of those that any address gives."""
    good: dict[str, Any] = {"description": "the answer"}
    if ok is not None:
        good["model"] = ok
    if streams:
        good["content"] = {"text/event-stream": {"schema": _EVENT}}
    bad: dict[int | str, dict[str, Any]] = {
        status: {"model": Error, "description": _WHEN[status]} for status in sorted({*_ANY, *errors})
    }
    return {200: good, **bad}


def describe(app: FastAPI) -> None:
    """Have ``app`` tell of payments, and of no status that it never gives."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            for path in made["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)  # FastAPI's, where ours is 400
            parts = made["components"]
            for name in ("HTTPValidationError", "ValidationError"):
                parts["schemas"].pop(name, None)
            parts["securitySchemes"] = _SCHEMES
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
