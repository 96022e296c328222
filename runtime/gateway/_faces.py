"""Where an agent can be called, as others look it up: A2A's cards, and the ERC-8004 registration file that names them.

Sources: https://a2a-protocol.org/latest/specification and https://eips.ethereum.org/EIPS/eip-8004
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentExtension,
    AgentInterface,
    AgentSkill,
    HTTPAuthSecurityScheme,
    SecurityScheme,
)
from a2a.utils.constants import AGENT_CARD_WELL_KNOWN_PATH, PROTOCOL_VERSION_1_0, TransportProtocol
from fastapi import APIRouter, Request, Response
from mcp_types import LATEST_PROTOCOL_VERSION

from ...errors import UserError
from ...registry import Connection
from ._a2a_parts import X402
from ._agent_routes import AgentId
from ._agents import Agents, Served
from ._errors import Json
from ._mcp import tool_name
from ._schema import gives

__all__ = ["Faces"]


class Faces:
    """The addresses of a gateway's agents. ``url`` is the gateway's own as the world has it; without one it is taken from
    each request."""

    def __init__(self, agents: Agents, connection: Connection, *, url: str | None, keys: bool) -> None:
        self._agents, self._connection = agents, connection
        self._url, self._keys = None if url is None else _checked(url), keys

    def routes(self) -> APIRouter:
        """The cards and the registration files."""
        routes = APIRouter(tags=["discovery"])

        @routes.get(AGENT_CARD_WELL_KNOWN_PATH, responses=gives(None))
        async def gateway_card(request: Request) -> Response:
            """The A2A card of the agent; where several are served, of all of them with a skill for each."""
            return Json(agent_card_to_dict(self.gateway_card(self._base(request))))

        @routes.get("/a2a/{agent_id}" + AGENT_CARD_WELL_KNOWN_PATH, responses=gives(None, 404))
        async def card(agent_id: AgentId, request: Request) -> Response:
            """An agent's A2A card."""
            return Json(agent_card_to_dict(self.card(self._agents.get(agent_id), self._base(request))))

        @routes.get("/.well-known/agent-registration.json", responses=gives(None))
        async def domain() -> Response:
            """ERC-8004's proof that the agents' owners and this domain's are the same: which agents are here."""
            return Json({"registrations": [self._entry(served) for served in self._agents]})

        @routes.get("/agents/{agent_id}/registration.json", responses=gives(None, 404))
        async def registration(agent_id: AgentId, request: Request) -> Response:
            """An agent's ERC-8004 registration file, with the addresses it has here."""
            served, base = self._agents.get(agent_id), self._base(request)
            return Json(await asyncio.to_thread(self.registration, served, base))

        return routes

    def _base(self, request: Request) -> str:
        return self._url or str(request.base_url).rstrip("/")

    # -- A2A --------------------------------------------------------------------------------------

    def card(self, served: Served, base: str) -> AgentCard:
        """The card of one agent; its version is the number of its epoch, which fixes what it declares."""
        return self._card(
            served.agent.name,
            f"{served.agent.description} {served.costs}",
            f"{base}/a2a/{served.agent_id}",
            version=str(served.service.registered.epoch),
            skills=[self._skill(served)],
            inputs=_inputs(served),
        )

    def gateway_card(self, base: str) -> AgentCard:
        """Of the agent that is alone here, or of all of them."""
        served = list(self._agents)
        if len(served) == 1:
            return self.card(served[0], base)
        cards = f"{base}/a2a/<agent id>{AGENT_CARD_WELL_KNOWN_PATH}"
        return self._card(
            "OpenLedger gateway",
            f"Several agents, each with a card of its own at {cards}. Here the tenant of a message names its agent.",
            f"{base}/a2a",
            version="1",
            skills=[self._skill(one) for one in served],
            inputs=["application/json", "text/plain"],
        )

    def _card(
        self,
        name: str,
        description: str,
        url: str,
        *,
        version: str,
        skills: Sequence[AgentSkill],
        inputs: Sequence[str],
    ) -> AgentCard:
        interface = AgentInterface(
            url=url, protocol_binding=TransportProtocol.JSONRPC, protocol_version=PROTOCOL_VERSION_1_0
        )
        pays = AgentExtension(uri=X402, description="An action is paid by x402, or by a prepaid key.")
        bearer = HTTPAuthSecurityScheme(scheme="bearer", description="a prepaid key of this gateway")
        return AgentCard(
            name=name,
            description=description,
            version=version,
            supported_interfaces=[interface],
            capabilities=AgentCapabilities(streaming=True, push_notifications=False, extensions=[pays]),
            security_schemes=(
                {"key": SecurityScheme(http_auth_security_scheme=bearer)} if self._keys else None
            ),
            default_input_modes=inputs,
            default_output_modes=["text/plain", "application/json"],
            skills=skills,
        )

    def _skill(self, served: Served) -> AgentSkill:
        return AgentSkill(
            id=str(self._agents.described(served)["id"]),
            name=served.agent.name,
            description=f"{served.agent.description} {served.costs}",
            tags=["openledger", f"agent:{served.agent_id}"],
            input_modes=_inputs(served),
        )

    # -- ERC-8004 ---------------------------------------------------------------------------------

    def services(self, served: Served, base: str) -> list[dict[str, Any]]:
        """Where the agent is, as its registration file says it."""
        card = f"{base}/a2a/{served.agent_id}{AGENT_CARD_WELL_KNOWN_PATH}"
        tool = tool_name(served, self._agents)
        return [
            {"name": "web", "endpoint": f"{base}/agents/{served.agent_id}"},
            {
                "name": "MCP",
                "endpoint": f"{base}/mcp/",
                "version": LATEST_PROTOCOL_VERSION,
                "mcpTools": [tool],
            },
            {"name": "A2A", "endpoint": card, "version": PROTOCOL_VERSION_1_0},
        ]

    def registration(self, served: Served, base: str) -> dict[str, Any]:
        """The file on-chain with MCP and A2A as they are here; a web page of its owner's stays."""
        agents = self._connection.agents
        found = agents.get(served.agent_id).registration or {}
        listed = [one for one in found.get("services") or [] if isinstance(one, dict)]
        page = f"/agents/{served.agent_id}"  # of a gateway, here or where it was before
        ours = [one for one in listed if one.get("name") in ("MCP", "A2A") or _ends(one, page)]
        others = [one for one in listed if one not in ours]
        given = {one.get("name") for one in others}
        here = [one for one in self.services(served, base) if one["name"] not in given]
        made = agents.registration(
            str(found.get("name") or served.agent.name),
            str(found.get("description") or served.agent.description or served.agent.name),
            agent_id=served.agent_id,
            image=str(found.get("image") or ""),
            services=[*others, *here],
        )
        return {**found, **made}

    def announce(self, signer: Any) -> list[str]:
        """Have every agent's file on-chain name its addresses here, where it does not and ``signer`` owns the agent. A
        transaction for each that changes; returns what was done, in words. Does nothing without a ``url``."""
        return [] if self._url is None else [self._announce(signer, served) for served in self._agents]

    def _announce(self, signer: Any, served: Served) -> str:
        assert self._url is not None  # announce() has looked
        agents, agent_id = self._connection.agents, served.agent_id
        file, known = self.registration(served, self._url), agents.get(agent_id)
        if known.registration == file:
            return f"agent {agent_id} is registered at {self._url}"
        if known.owner != str(signer.address):
            return (
                f"agent {agent_id} is registered elsewhere: have {known.owner} publish "
                f"{self._url}/agents/{agent_id}/registration.json"
            )
        agents.publish(signer, agent_id, file)
        return f"agent {agent_id} is registered at {self._url} now"

    def _entry(self, served: Served) -> dict[str, Any]:
        return {"agentId": served.agent_id, "agentRegistry": self._connection.agents.registry}


def _ends(service: dict[str, Any], path: str) -> bool:
    return service.get("name") == "web" and str(service.get("endpoint")).endswith(path)


def _inputs(served: Served) -> list[str]:
    takes_text = served.agent.input_key is not None or "messages" in served.keys
    return ["text/plain", "application/json"] if takes_text else ["application/json"]


def _checked(url: str) -> str:
    if not url.startswith(("https://", "http://")) or "?" in url or "#" in url:
        raise UserError(f"{url!r} is no address of a gateway", fix="write e.g. https://agents.example")
    return url.rstrip("/")
