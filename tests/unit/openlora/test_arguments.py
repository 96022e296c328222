"""Engine arguments that are refused before vLLM is even imported."""

import pytest

from openledger.errors import UserError
from openledger.openlora import TOLERANCES, Engine, tolerance_for


@pytest.mark.parametrize(
    "name",
    [
        "model",
        "enable_lora",
        "logits_processors",
        "logprobs_mode",
        "max_logprobs",
        "skip_tokenizer_init",
        "speculative_config",
    ],
)
def test_what_would_break_replay_cannot_be_set(name: str) -> None:
    with pytest.raises(UserError, match=name) as caught:
        Engine("nowhere", engine={name: None})
    assert caught.value.why


@pytest.mark.parametrize("modules", [["lm_head"], ["q_proj", "model.embed_tokens"], [], None])
def test_no_adapter_may_sit_on_the_head_or_the_embeddings(modules: list[str] | None) -> None:
    with pytest.raises(UserError, match="lora_target_modules"):
        Engine("nowhere", engine={"lora_target_modules": modules})


def test_a_tolerance_never_reaches_what_convicts_on_its_own() -> None:
    from openledger.openlora import GROSS_DELTA

    for tolerance in TOLERANCES.values():
        assert 0 < tolerance.logprob < GROSS_DELTA
        assert tolerance.choice < GROSS_DELTA / 1e4
    assert tolerance_for("vllm/0.32.0/float16/any", "vllm/0.32.0/float16/any") is None
