"""Requests that nobody would write, made by schemathesis from the description that the gateway gives of itself: every answer
is one that the description has. Seconds here, minutes by ``make fuzz``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

OPEN = 10**18
SECONDS, SEED = map(int, os.environ.get("OPENLEDGER_FUZZ", "10,1").split(","))

HOOKS = """
import json, random
from pathlib import Path
import schemathesis

agents, models = json.loads(Path("served.json").read_text())
draw = random.Random(1)

@schemathesis.hook
def map_path_parameters(context, parameters):
    # What is valid and names an agent here: else hardly any request would find one.
    found = (parameters or {}).get("agent_id")
    if type(found) is int and found > 0 and draw.random() < 0.8:
        parameters["agent_id"] = draw.choice(agents)
    return parameters

@schemathesis.hook
def map_body(context, body):
    if not isinstance(body, dict):
        return body
    if body.get("model") and isinstance(body["model"], str) and draw.random() < 0.8:
        body["model"] = draw.choice(models)
    if "input" in body and draw.random() < 0.5:
        body["input"] = {"question": body["input"]}
    return body
"""


def test_no_request_gets_an_answer_that_is_not_described(house: Any, tmp_path: Path) -> None:
    key, _ = house.key(cap=10**6 * OPEN, funds=1000 * OPEN)
    with house.serving(rate=10**6, burst=10**6) as site:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{site.url}/openapi.json"]
        command += ["--header", f"Authorization:{key['Authorization']}"]
        command += ["--phases", "examples,coverage,fuzzing,stateful"]
        command += ["--exclude-checks", "positive_data_acceptance,ignored_auth"]  # without a key: 402
        command += ["--max-time", str(SECONDS), "--seed", str(SEED), "--continue-on-failure", "--no-color"]
        command += ["--request-timeout", "600"]
        served = [one.operator.agent_id for one in (house.echo, house.talk)]
        (tmp_path / "served.json").write_text(json.dumps([served, ["echo", "talk"]]))
        (tmp_path / "hooks.py").write_text(HOOKS)
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=SECONDS + 1200,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(tmp_path)},
        )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
