"""One Ray for all of them: the end-to-end tests' where they ran before in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray


@pytest.fixture(scope="session")
def running_ray() -> Iterator[None]:
    mine = not ray.is_initialized()
    if mine:
        ray.init(
            "local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20
        )
    yield
    if mine:
        ray.shutdown()
