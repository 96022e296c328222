"""A Ray of this process's own on a machine too busy to start it in the 30 s that Ray allows. Only that failure is made up: it
cannot be had on demand."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from openledger.errors import ExecutionError
from openledger.ray_cluster import connect
from openledger.settings import Settings

SLOW = "The current node timed out during startup. This could happen because some of the raylet failed to startup."


class Busy:
    """Ray as it starts while the machine is busy for so many attempts."""

    def __init__(self, attempts: int, why: str = SLOW) -> None:
        self.attempts, self.why, self.left = attempts, why, []  # type: ignore[var-annotated]

    def init(self, *_: Any, **__: Any) -> None:
        assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in self.left)
        if self.attempts:
            self.attempts -= 1
            self.left.append(psutil.Process(subprocess.Popen(["sleep", "60"]).pid))
            raise Exception(self.why)


def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, busy: Busy) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", busy.init)
    connect(Settings(home=tmp_path))


def test_it_is_tried_again_without_what_the_attempt_left_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    busy = Busy(2)
    start(monkeypatch, tmp_path, busy)
    assert busy.attempts == 0
    assert len(busy.left) == 2


def test_in_the_end_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    busy = Busy(99)
    with pytest.raises(ExecutionError, match="did not start within 3 times 30 s") as refused:
        start(monkeypatch, tmp_path, busy)
    assert "openledger cluster up" in str(refused.value.fix)
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in busy.left)


def test_whatever_else_goes_wrong_is_not_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    busy = Busy(1, "something else")
    with pytest.raises(Exception, match="something else"):
        start(monkeypatch, tmp_path, busy)
    for one in busy.left:
        one.kill()
