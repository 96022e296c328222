"""EK-FAC influence by kronfluence, in its own environment: JSON on stdin, scores as JSON on stdout."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from typing import Any


def main() -> None:
    import torch
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments
    from kronfluence.task import Task
    from peft import PeftModel
    from torch.nn.functional import cross_entropy
    from transformers import AutoModelForCausalLM

    asked = json.loads(sys.stdin.read())
    torch.set_num_threads(1)
    torch.manual_seed(0)
    base: Any = AutoModelForCausalLM.from_pretrained(asked["base"], dtype=torch.float32)
    model: Any = PeftModel.from_pretrained(base, asked["adapter"], is_trainable=True).eval()
    tracked = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and (".lora_A." in name or ".lora_B." in name)
    ]

    class Language(Task):  # type: ignore[misc]  # kronfluence is not installed where types are checked
        def compute_train_loss(self, batch: Any, model: Any, sample: bool = False) -> Any:
            logits = model(input_ids=batch["ids"]).logits[:, :-1].flatten(0, 1)
            labels = batch["labels"][:, 1:].flatten()
            if sample:
                with torch.no_grad():
                    drawn = torch.multinomial(logits.softmax(-1), 1).flatten()
                labels = torch.where(labels == -100, labels, drawn)
            return cross_entropy(logits, labels, reduction="sum", ignore_index=-100)

        def compute_measurement(self, batch: Any, model: Any) -> Any:
            return self.compute_train_loss(batch, model)

        def get_influence_tracked_modules(self) -> list[str]:
            return tracked

    def dataset(examples: list[tuple[list[int], int]]) -> list[dict[str, Any]]:
        return [
            {"ids": torch.tensor(ids), "labels": torch.tensor([-100] * first + ids[first:])}
            for ids, first in examples
        ]

    task = Language()
    model = prepare_model(model, task)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        analyzer = Analyzer("lds", model, task, cpu=True, output_dir=folder, disable_tqdm=True)
        train, queries = dataset(asked["examples"]), dataset(asked["queries"])
        analyzer.fit_all_factors(
            "ekfac", train, per_device_batch_size=16, factor_args=FactorArguments(strategy="ekfac")
        )
        analyzer.compute_pairwise_scores(
            "scores",
            "ekfac",
            queries,
            train,
            per_device_query_batch_size=16,
            per_device_train_batch_size=16,
        )
        scores = analyzer.load_pairwise_scores("scores")["all_modules"]
    print(json.dumps({"scores": scores.float().tolist(), "cpu": time.process_time() - began}))


if __name__ == "__main__":
    main()
