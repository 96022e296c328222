"""What is asked of vLLM: requests and their sampling parameters. vLLM 0.32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ._types import Sampling

__all__ = [
    "choice_params",
    "distribution_params",
    "first_of_each",
    "generate_params",
    "lora_request",
    "prefill_params",
]


def lora_request(cid: str, number: int, directory: Path | None = None) -> Any:
    """vLLM keys its prefix cache on name and path (vllm-project/vllm#30931), not on content: the name is the CID."""
    from vllm.lora.request import LoRARequest

    return LoRARequest(lora_name=cid, lora_int_id=number, lora_path=str(directory or cid))


def _params(*, stream: bool = False, **changes: Any) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    # `seed` is never set: with chunked prefill vLLM 0.32's own seeded sampling kills the engine.
    # CUMULATIVE hands over the same growing lists at every step, nothing is copied.
    return SamplingParams(
        temperature=0.0,
        detokenize=False,
        flat_logprobs=True,
        ignore_eos=True,
        output_kind=RequestOutputKind.CUMULATIVE if stream else RequestOutputKind.FINAL_ONLY,
        **changes,
    )


def generate_params(sampling: Sampling, seed: bytes, *, done: int = 0, stream: bool = False) -> Any:
    """A generation from output token ``done`` on, with the raw logprob of each token; ``stream`` asks for the output
    so far after every step."""
    from ._processor import extra_args

    return _params(
        stream=stream,
        max_tokens=sampling.max_tokens - done,
        logprobs=0,
        stop_token_ids=list(sampling.stop_token_ids or ()),
        extra_args=extra_args(sampling, seed, done),
    )


def choice_params(sampling: Sampling, seed: bytes, position: int) -> Any:
    """The one token the seeded sampler takes at ``position``."""
    from ._processor import extra_args

    return _params(max_tokens=1, logprobs=0, extra_args=extra_args(sampling, seed, position))


def prefill_params(best: int) -> Any:
    """The logprobs of the prompt's own tokens and of the ``best`` most likely ones at each place."""
    return _params(max_tokens=1, prompt_logprobs=best)


def distribution_params() -> Any:
    """One step with the logprobs of the whole vocabulary."""
    return _params(max_tokens=1, logprobs=-1)


def first_of_each(flat: Any, start: int = 0) -> list[float]:
    """From flat logprobs, each position's first, that of the token taken, from position ``start`` on."""
    return [flat.logprobs[at] for at in flat.start_indices[start:]]
