"""The sampler as a vLLM V1 logits processor. Imported only where an engine runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from ._sampler import choose
from ._types import Sampling

if TYPE_CHECKING:
    from vllm.config import VllmConfig

__all__ = ["KEY", "SeededSampler", "extra_args"]

KEY = "openledger"
"""The entry of ``SamplingParams.extra_args`` this processor reads."""


def extra_args(sampling: Sampling, seed: bytes, position: int = 0) -> dict[str, Any]:
    """``SamplingParams.extra_args`` for a request whose first output token has index ``position``."""
    if sampling.temperature == 0:
        return {}
    return {KEY: (sampling.temperature, sampling.top_p, sampling.top_k, seed.hex(), position)}


class SeededSampler(LogitsProcessor):  # type: ignore[misc]
    """Turns each seeded row into one whose argmax is the seeded choice.

    vLLM then decodes greedily. Raw logprobs are taken before this runs and stay unmodified. vLLM's own
    seeded sampling is not used: with chunked prefill it raises and leaves the engine dead (0.32).
    """

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        self._rows: dict[int, tuple[Sampling, bytes, int, list[int]]] = {}

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        process_dict_updates(self._rows, batch_update, self._state)

    @staticmethod
    def _state(
        params: SamplingParams, prompt: list[int] | None, output: list[int]
    ) -> tuple[Sampling, bytes, int, list[int]] | None:
        if not params.extra_args or KEY not in params.extra_args:
            return None
        temperature, top_p, top_k, seed, position = params.extra_args[KEY]
        # `output` is vLLM's running list: its length is the index of the token about to be chosen.
        return Sampling(temperature, top_p, top_k), bytes.fromhex(seed), position, output

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        if not self._rows:
            return logits
        rows = list(self._rows)
        # The same normalisation as the reported raw logprobs, so a replay from those sees the same numbers.
        logprobs = logits[rows].log_softmax(dim=-1, dtype=torch.float32).cpu().numpy()
        for row, values in zip(rows, logprobs, strict=True):
            sampling, seed, position, output = self._rows[row]
            token = choose(np.asarray(values), seed, position + len(output), sampling)
            logits[row] = -torch.inf
            logits[row, token] = 0.0
        return logits
