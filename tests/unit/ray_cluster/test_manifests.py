"""What is handed to Kubernetes, `ray up` and Grafana: whole, without secrets, and about metrics that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from openledger.errors import UserError
from openledger.ray_cluster import Group, grafana_dashboard, kuberay_manifest, ray_manifest
from openledger.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
SECRET = "0x" + "ab" * 32


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path,
        rpc_url="https://rpc.example.org",
        chain_id=1234,
        private_key=SECRET,  # type: ignore[arg-type]
        keystore_password="password",  # type: ignore[arg-type]
        database_url="postgresql://user:password@db/outbox",
        engine={"max_model_len": 4096},
        engine_gpus=1,
    )


def documents(settings: Settings, **changes: Any) -> dict[tuple[str, str], Any]:
    """By (kind, name)."""
    given: dict[str, Any] = {
        "name": "desk",
        "namespace": "agents",
        "image": "registry.example.org/openledger:1",
        "gpu_image": None,
        "cpu": Group(1, 4, "4", "16Gi"),
        "gpu": Group(0, 2, "8", "64Gi", 1),
        "deploy": ["/app/desk.py:desk", "--base", "1"],
    }
    text = kuberay_manifest(settings, **{**given, **changes})
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text)}


def test_kuberay_gets_a_cluster_that_scales_and_that_nobody_joins_without_the_token(
    settings: Settings,
) -> None:
    cluster = documents(settings)["RayCluster", "desk"]
    assert cluster["apiVersion"] == "ray.io/v1"
    spec = cluster["spec"]
    assert spec["authOptions"] == {"mode": "token", "secretName": "desk-ray-token"}
    assert spec["enableInTreeAutoscaling"] is True
    groups = {group["groupName"]: group for group in spec["workerGroupSpecs"]}
    assert {name: (group["minReplicas"], group["maxReplicas"]) for name, group in groups.items()} == {
        "cpu": (1, 4),
        "gpu": (0, 2),
    }
    gpu = groups["gpu"]["template"]["spec"]["containers"][0]["resources"]
    assert gpu["limits"] == {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "1"}
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_one_operator_runs_and_never_two(settings: Settings) -> None:
    spec = documents(settings)["Deployment", "desk-operator"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    (container,) = spec["template"]["spec"]["containers"]
    joins, _, deploys = container["args"][0].partition(" && ")
    assert joins.startswith("openledger cluster up --address desk-head-svc.agents.svc:6379")
    assert deploys == "exec openledger agent deploy /app/desk.py:desk --base 1"
    assert container["readinessProbe"]["exec"]["command"] == ["openledger", "agent", "health"]
    said = {one["name"]: one for one in container["env"]}
    assert said["OPENLEDGER_RPC_URL"]["value"] == "https://rpc.example.org"
    assert json.loads(said["OPENLEDGER_ENGINE"]["value"]) == {"max_model_len": 4096}
    assert json.loads(said["OPENLEDGER_ENGINE_GPUS"]["value"]) == 1


def test_secrets_are_referred_to_and_never_written(settings: Settings) -> None:
    found = documents(settings)
    text = json.dumps(list(found.values()))
    assert SECRET not in text
    assert "password" not in text
    env = found["Deployment", "desk-operator"]["spec"]["template"]["spec"]["containers"][0]["env"]
    sources = {one["name"]: one["valueFrom"] for one in env if "valueFrom" in one}
    referred = {name: one["secretKeyRef"]["key"] for name, one in sources.items() if "secretKeyRef" in one}
    assert referred == {
        "RAY_AUTH_TOKEN": "auth_token",
        "OPENLEDGER_PRIVATE_KEY": "private_key",
        "OPENLEDGER_DATABASE_URL": "database_url",
    }


def test_every_volume_that_is_mounted_is_there(settings: Settings) -> None:
    found = documents(settings)
    claims = {name for kind, name in found if kind == "PersistentVolumeClaim"}
    assert claims == {"desk-cache", "desk-home"}
    cluster = found["RayCluster", "desk"]["spec"]
    pods = [cluster["headGroupSpec"]["template"], *(g["template"] for g in cluster["workerGroupSpecs"])]
    pods.append(found["Deployment", "desk-operator"]["spec"]["template"])
    for pod in pods:
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        for container in pod["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)
        used = [
            v["persistentVolumeClaim"]["claimName"] for v in volumes.values() if "persistentVolumeClaim" in v
        ]
        assert set(used) <= claims


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Desk!"}, "Kubernetes"),
        ({"namespace": "a b"}, "Kubernetes"),
        ({"cache_size": "lots"}, "quantity"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused_first(
    settings: Settings, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        documents(settings, **changes)


def test_a_manifest_needs_a_chain_that_outlives_a_pod(settings: Settings) -> None:
    with pytest.raises(UserError, match="OPENLEDGER_RPC_URL"):
        documents(settings.model_copy(update={"rpc_url": None}))


@pytest.mark.parametrize("wrong", [(2, 1, "4", "16Gi"), (-1, 1, "4", "16Gi"), (0, 1, "many", "16Gi")])
def test_groups_that_make_no_sense_are_refused(wrong: tuple[int, int, str, str]) -> None:
    with pytest.raises(UserError):
        Group(*wrong)


def test_ray_up_gets_the_machines_and_the_token_s_place(settings: Settings) -> None:
    text = ray_manifest(
        settings,
        name="desk",
        head="10.0.0.1",
        workers=["10.0.0.2", "10.0.0.3"],
        user="ops",
        setup=["pip list"],
    )
    found = yaml.safe_load(text)
    assert found["provider"] == {
        "type": "local",
        "head_ip": "10.0.0.1",
        "worker_ips": ["10.0.0.2", "10.0.0.3"],
    }
    assert found["max_workers"] == 2
    assert found["file_mounts"] == {"~/.ray/auth_token": str(settings.home_dir / "cluster/token")}
    for commands in (found["head_start_ray_commands"], found["worker_start_ray_commands"]):
        assert "RAY_AUTH_MODE=token" in commands[-1]
        assert "$HOME" in commands[-1]
    with pytest.raises(UserError, match="no host"):
        ray_manifest(settings, name="desk", head="10.0.0.1; rm -rf /", workers=[], user="ops")


def test_grafana_shows_metrics_that_exist() -> None:
    sources = "".join((ROOT / path).read_text() for path in ("runtime/_metrics.py", "openlora/_metrics.py"))
    names = set(re.findall(r"made\(\s*\w+,\s*\"(\w+)\"", sources))
    assert {"actions_total", "queued", "workers", "waiting", "output_tokens_total"} <= names
    board = json.loads(grafana_dashboard())
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    asked = {
        name
        for panel in panels
        for target in panel["targets"]
        for name in re.findall(r"ray_openledger_(?:agent|engine)_(\w+)", target["expr"])
    }
    assert {name.removesuffix("_bucket") for name in asked} <= names
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
