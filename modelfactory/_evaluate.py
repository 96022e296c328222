"""Exact match before and after training: the whole answer, word for word, or it does not count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ._corpus import prompt_of
from ._loop import usable_threads
from ._models import load_base, load_tokenizer
from ._progress import quiet_loading

__all__ = ["Evaluation", "answer", "evaluate"]


@dataclass(frozen=True)
class Evaluation:
    """How many questions were answered exactly, and what was said instead where not."""

    total: int
    correct: int
    wrong: tuple[tuple[str, str, str], ...] = field(default=(), repr=False)
    """(question, expected, given) of each miss."""

    @property
    def exact(self) -> float:
        """Share answered exactly, 0 to 1."""
        return self.correct / self.total if self.total else 0.0

    def __str__(self) -> str:
        return f"{self.correct}/{self.total} exact ({100 * self.exact:.0f} %)"


def evaluate(
    base_dir: Path | str,
    adapter_dir: Path | str | None,
    questions: Sequence[tuple[str, str]],
    *,
    batch: int = 64,
    max_new_tokens: int = 64,
) -> Evaluation:
    """Greedy answers of the base, or of the base with an adapter, to (question, expected answer) pairs."""
    given = answer(
        base_dir, adapter_dir, [q for q, _ in questions], batch=batch, max_new_tokens=max_new_tokens
    )
    wrong = tuple(
        (question, expected, said)
        for (question, expected), said in zip(questions, given, strict=True)
        if " ".join(said.split()) != " ".join(expected.split())
    )
    return Evaluation(len(questions), len(questions) - len(wrong), wrong)


def answer(
    base_dir: Path | str,
    adapter_dir: Path | str | None,
    questions: Sequence[str],
    *,
    batch: int = 64,
    max_new_tokens: int = 64,
) -> list[str]:
    """Greedy answers, in the order of ``questions``. Raises ``UserError`` when a directory cannot be loaded."""
    import torch

    tokenizer = load_tokenizer(base_dir)
    with quiet_loading():
        model = load_base(base_dir)
    if adapter_dir is not None:
        from peft import PeftModel

        if not (Path(adapter_dir) / "adapter_model.safetensors").is_file():
            raise UserError(f"{adapter_dir} holds no adapter", fix="give a directory made by train_adapter")
        model = PeftModel.from_pretrained(model, str(Path(adapter_dir).absolute())).eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(usable_threads())
    given: list[str] = []
    try:
        for start in range(0, len(questions), batch):
            prompts = [prompt_of(question) for question in questions[start : start + batch]]
            inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
            with torch.inference_mode():
                output = model.generate(
                    input_ids=inputs["input_ids"],
                    attention_mask=inputs["attention_mask"],
                    max_new_tokens=max_new_tokens,
                    do_sample=False,
                    pad_token_id=tokenizer.pad_token_id,
                )
            replies = output[:, inputs["input_ids"].shape[1] :]
            given.extend(text.strip() for text in tokenizer.batch_decode(replies, skip_special_tokens=True))
    finally:
        torch.set_num_threads(threads)
    return given
