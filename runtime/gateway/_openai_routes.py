"""``/v1``: what OpenAI's clients call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response

from ...errors import EngineError
from ...registry import Status
from ._agents import Agents, Served
from ._answers import Sse, begun, ended, failed, headers_of, payer_of
from ._calls import Call, Calls
from ._errors import Json, body_of, failure, status_of
from ._openai import (
    ChatRequest,
    Chunks,
    CompletionRequest,
    chat_input,
    chat_response,
    completion_input,
    completion_response,
    pieces,
    text_of,
)
from ._schema import PAID, PAYING, Chat, Completion, Model, Models, gives

__all__ = ["openai_routes"]


def openai_routes(agents: Agents, calls: Calls) -> APIRouter:
    """The routes, over what is served."""
    routes = APIRouter(prefix="/v1", tags=["OpenAI"])

    @routes.get("/models", responses=gives(Models))
    async def list_models() -> Response:
        """Every agent, by the name that calls it; its price in wei under ``openledger``."""
        return Json({"object": "list", "data": agents.listed()})

    @routes.get("/models/{model}", responses=gives(Model, 404))
    async def get_model(model: str) -> Response:
        """One agent."""
        return Json(agents.described(agents.named(model)))

    @routes.post("/chat/completions", responses=gives(Chat, *PAYING, streams=True), openapi_extra=PAID)
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        """Call an agent with a conversation. Paid by an API key or by x402."""
        served = agents.named(body.model)
        value, ignored = chat_input(served, body)
        return await answer(served, body, value, ignored, request)

    @routes.post("/completions", responses=gives(Completion, *PAYING, streams=True), openapi_extra=PAID)
    async def completions(body: CompletionRequest, request: Request) -> Response:
        """Call an agent with a text. Paid by an API key or by x402."""
        served = agents.named(body.model)
        value, ignored = completion_input(served, body)
        return await answer(served, body, value, ignored, request)

    async def answer(
        served: Served,
        body: ChatRequest | CompletionRequest,
        value: Any,
        ignored: list[str],
        request: Request,
    ) -> Response:
        call = calls.begin(served, value, payer_of(request), stream=bool(body.stream))
        opening = await begun(call)
        notes = {"ignored": sorted(ignored)} if ignored else {}
        if body.stream:
            sse = Sse(call)
            return sse.respond(stream(call, sse, body, opening, notes))
        receipt, extension = await ended(call)
        extension |= notes
        wrong = failed(call, receipt, extension)
        if wrong is not None:
            return wrong
        used = await calls.used(receipt)
        make = chat_response if isinstance(body, ChatRequest) else completion_response
        text = text_of(receipt.output)
        told = make(opening["payment_id"], body.model, text, used.finish, used.to_json(), extension)
        return Json(told, headers=headers_of(call, receipt))

    async def stream(
        call: Call,
        sse: Sse,
        body: ChatRequest | CompletionRequest,
        opening: dict[str, Any],
        notes: dict[str, Any],
    ) -> AsyncIterator[str]:
        chunks = Chunks(isinstance(body, ChatRequest), opening["payment_id"], body.model)
        yield sse.event(chunks.first(opening | notes))
        said = ""
        async for piece in sse.text(stripped=isinstance(body, ChatRequest)):
            yield sse.event(chunks.text(piece)) if piece else sse.comment
            said += piece
        receipt, extension = await ended(call)
        if receipt.record.status is Status.FAILED:
            error = failure(receipt.output)
            yield sse.event(body_of(error, status_of(error), openledger=extension))
            return
        text = text_of(receipt.output)
        if not text.startswith(said):
            raise EngineError("what was streamed is not the answer", fix="take the answer from the receipt")
        for piece in pieces(text[len(said) :]):
            yield sse.event(chunks.text(piece))
        used = await calls.used(receipt)
        yield sse.event(chunks.last(used.finish, extension))
        if body.usage_wanted:
            yield sse.event(chunks.usage(used.to_json()))
        yield sse.event("[DONE]")

    return routes
