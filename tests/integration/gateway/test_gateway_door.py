"""The gateway answers from its first moment on: come again until it is ready, and what runs is finished at the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from openledger.runtime.gateway._listen import Door


class Life:
    """An application that notes when its lifespan begins and ends."""

    def __init__(self, broken: bool = False) -> None:
        self.told: list[str] = []
        self.asked, self.go = threading.Event(), threading.Event()

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            self.told.append("begun")
            if broken:
                raise RuntimeError("no keys")
            yield
            self.told.append("ended")

        self.app = FastAPI(lifespan=lifespan)

        @self.app.get("/v1/models")
        async def models() -> list[str]:
            return ["desk"]

        @self.app.post("/v1/models")
        async def ask() -> str:
            self.asked.set()
            await asyncio.to_thread(self.go.wait, 600)
            self.told.append("answered")
            return "done"


@pytest.fixture
def door() -> Iterator[Door]:
    with Door(host="127.0.0.1", port=0) as door:
        yield door


@pytest.fixture
def http(door: Door) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{door.port}", timeout=600) as http:
        yield http


def early(answer: httpx.Response) -> Any:
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    return answer.json()


def test_who_comes_too_early_is_told_to_come_again(http: httpx.Client) -> None:
    error = early(http.post("/v1/chat/completions", json={"model": "desk"}))["error"]
    assert error["code"] == "gateway.starting"
    assert {"message", "type", "param", "what", "why", "fix"} < set(error)
    assert early(http.get("/healthz")) == {"status": "starting"}
    early(http.get("/v1/models"))


def test_models_are_listed_before_they_can_be_called(door: Door, http: httpx.Client) -> None:
    life = Life()
    door.show(life.app)
    assert http.get("/v1/models").json() == ["desk"]
    early(http.post("/v1/models"))
    early(http.get("/healthz"))
    assert life.told == []


def test_what_runs_is_finished_before_the_application_ends(door: Door, http: httpx.Client) -> None:
    life = Life()
    door.open(life.app)
    assert life.told == ["begun"]
    answers: list[str] = []
    client = threading.Thread(target=lambda: answers.append(http.post("/v1/models").json()))
    client.start()
    assert life.asked.wait(600)
    closing = threading.Thread(target=door.close)
    closing.start()
    closing.join(0.5)
    assert closing.is_alive()
    life.go.set()
    client.join(600)
    closing.join(600)
    assert answers == ["done"]
    assert life.told == ["begun", "answered", "ended"]


def test_an_application_that_cannot_begin_says_why(door: Door, http: httpx.Client) -> None:
    with pytest.raises(RuntimeError, match="no keys"):
        door.open(Life(broken=True).app)
    early(http.get("/v1/models"))
