"""Gradients of an adapter's weights, one for each example, many examples in one pass.

A LoRA weight is a linear layer, so an example's gradient is the product of what went into the layer and of what the
loss sends back to its output, summed over tokens (Goodfellow, 2015, https://arxiv.org/abs/1510.01799). One forward
pass and one backward pass to the layers' outputs serve a whole batch; weights' own gradients are never formed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

__all__ = ["NO_GRADIENTS", "AdapterGradients", "Batch", "Block", "Example", "batches"]

NO_GRADIENTS = "gradients"
"""Code of the error that an adapter has no gradients, wherever they are taken."""

BATCH_TOKENS = 2048
"""Tokens of a batch, padding included: bounds memory, and does not change what comes out but for rounding."""


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids, of which those from ``first`` on are learnt; the ones before are the prompt."""

    tokens: tuple[int, ...]
    first: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.first < len(self.tokens):
            raise UserError(
                f"An example of {len(self.tokens)} tokens whose first learnt one is {self.first} teaches nothing",
                fix="give at least one token to learn after at least one token before it",
            )


@dataclass(frozen=True, slots=True)
class Block:
    """One weight of the adapter: where its gradient stands in a row of gradients."""

    name: str
    start: int
    stop: int

    @property
    def columns(self) -> slice:
        return slice(self.start, self.stop)


class AdapterGradients:
    """A base model with one adapter, and the gradients of the adapter's weights.

    Raises ``UserError`` for a directory that is no adapter of this base, and for gradients that are not finite.
    """

    def __init__(self, base: Path | str, adapter: Path | str) -> None:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        try:
            model: Any = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
            self._model = PeftModel.from_pretrained(model, str(adapter), is_trainable=True).eval()
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(
                f"Cannot load the adapter {adapter} over {base}",
                why=str(error).splitlines()[0],
                fix="give a PEFT directory and the base model it was trained on",
                code="gradients",
            ) from error
        self._inputs: dict[str, torch.Tensor] = {}
        self._outputs: dict[str, torch.Tensor] = {}
        blocks, place = [], 0
        for name, layer in self._model.named_modules():
            if isinstance(layer, torch.nn.Linear) and (".lora_A." in name or ".lora_B." in name):
                layer.register_forward_hook(self._keep(name))
                blocks.append(Block(name, place, place + layer.weight.numel()))
                place += layer.weight.numel()
        if not blocks:
            raise UserError(
                f"{adapter} has no LoRA weights of linear layers",
                fix="give a LoRA adapter",
                code="gradients",
            )
        self.blocks = tuple(blocks)
        """The adapter's weights in the order of the model's layers."""
        self.size = place
        """Numbers in one gradient."""

    def _keep(self, name: str) -> Any:
        def hook(_layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            self._inputs[name], self._outputs[name] = inputs[0].detach(), output

        return hook

    def logprobs(self, examples: Sequence[Example], *, adapted: bool = True) -> list[NDArray[np.float32]]:
        """Of each example, the log-probability of each learnt token in nats; without ``adapted``, by the base alone."""
        import torch

        found: list[Any] = [None] * len(examples)
        with torch.no_grad(), nullcontext() if adapted else self._model.disable_adapter():
            for batch in batches(examples):
                chosen = self._logprobs(batch)[1]
                for place, row, learnt in zip(batch.places, chosen, batch.learnt, strict=True):
                    found[place] = row[learnt > 0].numpy()
        return found

    def of(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """Gradient of each example's summed loss: (examples, ``size``)."""
        import numpy as np

        found = np.empty((len(examples), self.size), np.float32)
        for batch in batches(examples):
            found[batch.places] = self.of_batch(batch)
        return found

    def of_batch(self, batch: Batch) -> NDArray[np.float32]:
        """As :meth:`of`, for one batch in its own order."""
        return self._each(-(self._logprobs(batch)[1] * batch.learnt).sum(), retain=False)

    def sampled(self, batch: Batch, labels: int, seed: int = 0) -> Iterator[NDArray[np.float32]]:
        """Gradients with next tokens drawn from the model itself, ``labels`` times: each (examples of the batch,
        ``size``).

        Their second moment is the true Fisher information, which the data's own next tokens do not give (Kunstner et
        al., 2019, https://arxiv.org/abs/1905.12558). What is drawn depends on ``seed`` and the example's place alone.
        """
        import torch

        logprobs = self._logprobs(batch)[0]
        draws = [torch.Generator().manual_seed(seed * 1_000_003 + place) for place in batch.places]
        for label in range(labels):
            drawn = torch.zeros_like(batch.ids[:, 1:, None])
            for row, (size, draw) in enumerate(zip(batch.sizes, draws, strict=True)):
                own = logprobs[row, : size - 1].detach().exp()
                drawn[row, : len(own)] = torch.multinomial(own, 1, generator=draw)
            loss = -(logprobs.gather(2, drawn)[..., 0] * batch.learnt).sum()
            yield self._each(loss, retain=label + 1 < labels)

    def _logprobs(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities of what may follow each token, (examples, tokens - 1, vocabulary), and of what does."""
        logits: torch.Tensor = self._model(input_ids=batch.ids).logits
        every = logits[:, :-1].log_softmax(-1)
        return every, every.gather(2, batch.ids[:, 1:, None])[..., 0]

    def _each(self, loss: torch.Tensor, *, retain: bool) -> NDArray[np.float32]:
        import torch

        names = [block.name for block in self.blocks]
        back = torch.autograd.grad(loss, [self._outputs[name] for name in names], retain_graph=retain)
        found = torch.empty(len(back[0]), self.size)
        for block, sent in zip(self.blocks, back, strict=True):
            found[:, block.columns] = torch.einsum("eto,eti->eoi", sent, self._inputs[block.name]).flatten(1)
        if not found.isfinite().all():
            raise UserError(
                "A gradient is not finite",
                why="the adapter's weights or an example make the model's loss infinite or undefined",
                fix="leave the adapter out: its influence cannot be computed",
                code="gradients",
            )
        array: NDArray[np.float32] = found.numpy()
        return array


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples of like length, padded on the right, where causal attention keeps the padding from touching what is
    counted."""

    places: list[int]
    """Of each example among all."""
    ids: torch.Tensor
    """(examples, tokens)"""
    learnt: torch.Tensor
    """(examples, tokens - 1): 1 where the next token is learnt."""
    sizes: list[int]
    """Tokens of each example."""


def batches(examples: Sequence[Example]) -> Iterator[Batch]:
    """All examples, the shortest first: the same batches for the same examples."""
    import torch

    order = sorted(range(len(examples)), key=lambda place: (len(examples[place].tokens), place))
    while order:
        places = [order.pop(0)]
        while order and len(examples[order[0]].tokens) * (len(places) + 1) <= BATCH_TOKENS:
            places.append(order.pop(0))
        sizes = [len(examples[place].tokens) for place in places]
        ids = torch.zeros((len(places), max(sizes)), dtype=torch.long)
        learnt = torch.zeros((len(places), max(sizes) - 1))
        for row, (place, size) in enumerate(zip(places, sizes, strict=True)):
            ids[row, :size] = torch.tensor(examples[place].tokens)
            learnt[row, examples[place].first - 1 : size - 1] = 1.0
        yield Batch(places, ids, learnt, sizes)
