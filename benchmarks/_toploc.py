"""TOPLOC over the ladder's outputs, in its own environment: JSON on stdin, detections and times as JSON on stdout.

TOPLOC (arXiv 2501.16007) commits to the 128 largest values of the last hidden states of every 32 tokens, in bfloat16;
a verifier's prefill is compared by exponents and mantissas. Thresholds: the paper's (38 mismatches, mean 10, median 8).
Hidden states come from transformers with peft, the prover's and the verifier's alike by one prefill.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

TOPK, CHUNK = 128, 32
MISMATCHES, MEAN, MEDIAN = 38, 10, 8


def main() -> None:
    import torch
    from peft import PeftModel
    from toploc import build_proofs_bytes, verify_proofs_bytes
    from transformers import AutoModelForCausalLM

    asked = json.loads(sys.stdin.read())
    torch.set_num_threads(1)
    names = list(asked["adapters"])
    plain: Any = AutoModelForCausalLM.from_pretrained(asked["base"], dtype=torch.float32)
    model: Any = PeftModel.from_pretrained(plain, asked["adapters"][names[0]], adapter_name=names[0])
    for name in names[1:]:
        model.load_adapter(asked["adapters"][name], adapter_name=name)
    model.eval()

    def states(prompt: list[int], output: list[int], adapter: str | None) -> list[Any]:
        """The last hidden state of the prompt and of each output token, in bfloat16."""
        tokens = torch.tensor([[*prompt, *output]])
        with torch.no_grad():
            if adapter is None:
                with model.disable_adapter():
                    hidden = model.model.model(tokens).last_hidden_state[0]
            else:
                model.set_adapter(adapter)
                hidden = model.model.model(tokens).last_hidden_state[0]
        hidden = hidden.to(torch.bfloat16)
        return [hidden[: len(prompt)], *(one.unsqueeze(0) for one in hidden[len(prompt) :])]

    def accused(proofs: list[bytes], activations: list[Any]) -> bool:
        found = verify_proofs_bytes(activations, proofs, decode_batching_size=CHUNK, topk=TOPK)
        return any(
            one.exp_mismatches > MISMATCHES or one.mant_err_mean > MEAN or one.mant_err_median > MEDIAN
            for one in found
        )

    told: dict[str, list[bool]] = {}
    size, spent = 0, 0.0
    for rung, outputs in asked["rungs"].items():
        told[rung] = []
        for one in outputs:
            activations = states(one["ran_prompt"], one["ran_tokens"], one["ran"])
            proofs = build_proofs_bytes(activations, decode_batching_size=CHUNK, topk=TOPK)
            size = max(size, sum(map(len, proofs[1:])) * 8 // (8 * len(one["ran_tokens"])))
            began = time.process_time()
            seen = states(one["prompt"], one["tokens"], one["claimed"])
            told[rung].append(accused(proofs, seen))
            spent += time.process_time() - began
    print(json.dumps({"accused": told, "bytes_a_token": size, "verify_cpu_seconds": spent}))


if __name__ == "__main__":
    main()
