"""The sampling decision as a pure function of (distribution, seed, position, sampling).

Sampling from softmax(x/T) is taking the argmax of x/T + g with independent standard Gumbel noise g
(Gumbel 1954; Maddison, Tarlow, Minka, "A* Sampling", 2014). The noise comes from a counter-based
generator, Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), keyed by
the seed and counted by the position of the output token, so a choice depends on nothing else: not on the
batch, not on earlier draws. The engine and every verifier run this same code.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from ._types import Sampling

__all__ = ["choose", "deficit", "gumbel", "scores"]

Floats = NDArray[np.float64]

_DOMAIN = b"openledger/sampler/1"


def gumbel(seed: bytes, position: int, count: int) -> Floats:
    """``count`` standard Gumbel numbers for the output token at ``position`` under ``seed`` (32 bytes).

    The Philox key is the first 16 bytes of sha256(domain ‖ seed), the top counter word the position;
    each 64-bit output keeps its upper 53 bits u and gives −ln(−ln((u + ½)·2⁻⁵³)).
    """
    key = np.frombuffer(hashlib.sha256(_DOMAIN + seed).digest()[:16], dtype="<u8")
    bits = np.random.Philox(key=key, counter=[0, 0, 0, position]).random_raw(count)
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return np.asarray(-np.log(-np.log(uniform)))


def _kept(scaled: Floats, sampling: Sampling) -> NDArray[np.bool_]:
    """Which tokens top-k and then top-p leave, given logits already divided by the temperature.

    Ties at an edge are kept for top-k; for top-p the lower token id comes first.
    """
    keep = np.ones(scaled.shape, dtype=np.bool_)
    if 0 < sampling.top_k < scaled.size:
        keep = scaled >= np.partition(scaled, -sampling.top_k)[-sampling.top_k]
    if sampling.top_p < 1.0:
        order = np.argsort(np.where(keep, -scaled, np.inf), kind="stable")
        weights = np.where(keep, np.exp(scaled - scaled.max()), 0.0)[order]
        before = np.cumsum(weights) - weights
        inside = np.zeros_like(keep)
        inside[order] = before < sampling.top_p * weights.sum()
        keep &= inside
    return keep


def scores(logprobs: NDArray[np.floating], seed: bytes, position: int, sampling: Sampling) -> Floats:
    """What the argmax is taken of, in units of logprob/T; −∞ where a filter removed the token.

    ``logprobs`` is the whole raw distribution (nat; any constant may be added), shape (vocabulary,).
    """
    values = np.asarray(logprobs, dtype=np.float64)
    if sampling.temperature == 0:
        return values
    scaled = values / sampling.temperature
    noisy = scaled + gumbel(seed, position, values.size)
    return np.where(_kept(scaled, sampling), noisy, -np.inf)


def choose(logprobs: NDArray[np.floating], seed: bytes, position: int, sampling: Sampling) -> int:
    """The token taken at ``position``; on an exact tie the lowest id."""
    return int(np.argmax(scores(logprobs, seed, position, sampling)))


def deficit(
    logprobs: NDArray[np.floating],
    token: int,
    seed: bytes,
    position: int,
    sampling: Sampling,
    slack: float = 0.0,
) -> float:
    """How far ``token`` is from having been chosen, in nat (scores times T); 0 if it was.

    ``slack`` (nat) is by how much the prover's logprobs may differ from these: a token that top-k or top-p
    removed by less than that is treated as kept.
    """
    values = np.asarray(logprobs, dtype=np.float64)
    all_scores = scores(values, seed, position, sampling)
    mine = all_scores[token]
    if np.isneginf(mine):
        # Near the edge of a filter rounding decides; raise the token by the slack and see whether it stays.
        raised = values.copy()
        raised[token] += 2 * slack
        mine = scores(raised, seed, position, sampling)[token]
    if np.isneginf(mine):
        return float("inf")
    return max(0.0, float(all_scores.max() - mine)) * (sampling.temperature or 1.0)
