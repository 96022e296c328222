"""Real engine, real Ray: what is generated, and that neighbours in a batch do not change it."""

from __future__ import annotations

import gc
from dataclasses import replace

import pytest
import ray

from openledger.errors import EngineError, UserError
from openledger.openlora import LENGTH, STOP, AdapterRef, EnginePool, Generation, GenerationRequest, Sampling

from .conftest import EOS, VOCAB, Tiny

PROMPT = (5, 7, 9, 11)
SEED = b"\1" * 32


def ask(
    adapter: AdapterRef | None,
    sampling: Sampling | None = None,
    prompt: tuple[int, ...] = PROMPT,
    seed: bytes = SEED,
) -> GenerationRequest:
    return GenerationRequest(prompt, adapter, sampling or Sampling(max_tokens=24), seed)


def same(left: Generation, right: Generation) -> bool:
    """Equal but for timings and for logprobs within what a batch's shape may change."""
    near = all(abs(a - b) <= 2 for a, b in zip(left.logprobs, right.logprobs, strict=True))
    return near and replace(left, logprobs=(), timings=right.timings) == replace(right, logprobs=())


def test_a_generation_names_everything_needed_to_replay_it(pool: EnginePool, tiny: Tiny) -> None:
    made = pool.generate(ask(tiny.adapters["a"]))
    assert made.prompt == PROMPT
    assert len(made.tokens) == len(made.logprobs) == 24
    assert made.finish == LENGTH
    assert made.adapter == tiny.adapters["a"]
    assert made.sampling.stop_token_ids == (EOS,)
    assert made.engine_class.startswith("vllm")
    assert made.engine_class.endswith("/float32/cpu")
    assert all(-1_000_000 <= value <= 0 for value in made.logprobs)


def test_an_engine_that_has_started_collects_garbage_again(pool: EnginePool) -> None:
    assert ray.get(pool._replicas[0].__ray_call__.remote(lambda _: gc.isenabled()), timeout=600)


@pytest.mark.parametrize(
    "sampling", [Sampling(max_tokens=24), Sampling(1.0, 0.9, 200, 24)], ids=["greedy", "sampled"]
)
def test_a_mixed_batch_gives_what_each_request_gives_alone(
    pool: EnginePool, tiny: Tiny, sampling: Sampling
) -> None:
    # Base rows beside adapter rows: vLLM 0.32's own CPU operator gives them the last slot's adapter. Three
    # adapters over two slots: slots change hands between the steps of one batch.
    who = [None, *tiny.adapters.values()]
    requests = [ask(adapter, sampling, (start, *PROMPT)) for start in (3, 4) for adapter in who]
    alone = [pool.generate(request) for request in requests]
    for _ in range(3):
        together = pool.generate_many(requests)
        assert [same(a, b) for a, b in zip(alone, together, strict=True)] == [True] * len(requests)
    assert len({made.tokens for made in alone}) == len(requests)


def test_tokens_and_logprobs_agree_with_peft(pool: EnginePool, tiny: Tiny) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    for adapter in (None, "a", "b", "c"):
        made = pool.generate(ask(tiny.adapters[adapter] if adapter else None))
        model = AutoModelForCausalLM.from_pretrained(tiny.base, dtype=torch.float32)
        if adapter:
            model = PeftModel.from_pretrained(model, tiny.directories[adapter])
        with torch.no_grad():
            output = model.generate(
                torch.tensor([PROMPT]),
                attention_mask=torch.ones(1, len(PROMPT)),
                max_new_tokens=24,
                do_sample=False,
                eos_token_id=EOS,
            )
            tokens = output[0, len(PROMPT) :].tolist()
            logprobs = model(output).logits[0].log_softmax(-1)
        assert list(made.tokens) == tokens
        expected = [float(logprobs[len(PROMPT) - 1 + at, token]) * 1e4 for at, token in enumerate(tokens)]
        assert list(made.logprobs) == pytest.approx(expected, abs=2)


def test_the_seed_and_nothing_else_fixes_a_sampled_output(pool: EnginePool, tiny: Tiny) -> None:
    sampling = Sampling(1.0, max_tokens=24)
    first = pool.generate(ask(tiny.adapters["a"], sampling))
    assert same(first, pool.generate(ask(tiny.adapters["a"], sampling)))
    assert first.tokens != pool.generate(ask(tiny.adapters["a"], sampling, seed=b"\2" * 32)).tokens


def test_raw_logprobs_are_reported_whatever_is_sampled(pool: EnginePool, tiny: Tiny) -> None:
    made = pool.generate(ask(tiny.adapters["a"], Sampling(3.0, 0.9, 50, 24)))
    scored = pool.score(list(made.prompt), list(made.tokens), made.adapter)
    assert list(made.logprobs) == pytest.approx(scored, abs=2)


def test_a_stop_token_ends_the_output_and_is_part_of_it(pool: EnginePool) -> None:
    free = pool.generate(ask(None))
    stop = free.tokens[5]
    made = pool.generate(ask(None, Sampling(max_tokens=24, stop_token_ids=(stop,))))
    assert made.tokens == free.tokens[: free.tokens.index(stop) + 1]
    assert made.finish == STOP


def test_an_adapters_prompt_is_scored_and_the_engine_lives(pool: EnginePool, tiny: Tiny) -> None:
    # prompt_logprobs with an adapter kills vLLM 0.32 on CPU when lm_head may carry LoRA.
    for adapter in tiny.adapters.values():
        made = pool.generate(ask(adapter))
        assert pool.score(list(PROMPT), list(made.tokens), adapter) == pytest.approx(
            list(made.logprobs), abs=2
        )


def test_sampling_while_long_prompts_are_prefilled_in_chunks(pool: EnginePool, tiny: Tiny) -> None:
    # vLLM's own seeded sampling raises here and leaves the engine dead; ours must not care.
    long = tuple(3 + (at * 37) % 1000 for at in range(200))
    requests = [ask(tiny.adapters["a"], Sampling(1.0, max_tokens=20), (at + 3, *long)) for at in range(16)]
    alone = [pool.generate(request) for request in requests[:2]]
    together = pool.generate_many(requests)
    assert [same(a, b) for a, b in zip(alone, together, strict=False)] == [True, True]


def test_a_step_gives_the_logprobs_of_any_token(pool: EnginePool, tiny: Tiny) -> None:
    import math

    adapter = tiny.adapters["b"]
    made = pool.generate(ask(adapter))
    for at in (0, 7):
        prefix = [*PROMPT, *made.tokens[:at]]
        assert pool.step(prefix, adapter, [made.tokens[at]]) == pytest.approx([made.logprobs[at]], abs=2)
    everything = pool.step(list(PROMPT), adapter, list(range(VOCAB)))
    assert math.fsum(math.exp(value / 1e4) for value in everything) == pytest.approx(1, abs=0.01)


def test_a_full_context_can_be_generated_and_scored(pool: EnginePool, tiny: Tiny) -> None:
    prompt = tuple(3 + (at * 31) % 1000 for at in range(pool.max_model_len - 8))
    made = pool.generate(ask(tiny.adapters["a"], Sampling(1.0, max_tokens=8, stop_token_ids=()), prompt))
    assert len(made.tokens) == 8
    assert pool.score(list(prompt), list(made.tokens), made.adapter) == pytest.approx(
        list(made.logprobs), abs=2
    )
    assert len(pool.step([*prompt, *made.tokens], made.adapter, [1, 2])) == 2


REFUSED = {
    "an empty prompt": (lambda pool: ask(None, prompt=()), "empty"),
    "a prompt as long as the context": (
        lambda pool: ask(None, prompt=(5,) * pool.max_model_len),
        "shorten the prompt",
    ),
    "no room for the output": (
        lambda pool: ask(None, prompt=(5,) * (pool.max_model_len - 3)),
        "at most 3 tokens",
    ),
    "more output than any context holds": (
        lambda pool: ask(None, Sampling(max_tokens=100_000)),
        "at most 2[0-9]+ tokens",
    ),
    "a token beyond the vocabulary": (lambda pool: ask(None, prompt=(5, VOCAB)), "tokenizer"),
    "a negative token": (lambda pool: ask(None, prompt=(-1,)), "tokenizer"),
    "a token that is no integer": (lambda pool: ask(None, prompt=("x",)), "tokenizer"),
    "no output": (lambda pool: ask(None, Sampling(max_tokens=0)), "max_tokens"),
    "a negative temperature": (lambda pool: ask(None, Sampling(-1.0)), "temperature"),
    "a temperature that is no number": (lambda pool: ask(None, Sampling(float("nan"))), "temperature"),
    "top_p above one": (lambda pool: ask(None, Sampling(1.0, top_p=2)), "top_p"),
    "a short seed": (lambda pool: ask(None, seed=b"short"), "32 bytes"),
    "a stop token beyond the vocabulary": (
        lambda pool: ask(None, Sampling(stop_token_ids=(VOCAB,))),
        "stop token",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_reaches_the_caller_as_a_user_error(pool: EnginePool, name: str) -> None:
    make, said = REFUSED[name]
    with pytest.raises(UserError, match=said) as caught:
        pool.generate(make(pool))
    assert type(caught.value) is UserError
    assert caught.value.why
    assert pool.generate(ask(None)).finish == LENGTH


def test_logprobs_are_given_only_of_what_may_be_asked(pool: EnginePool, tiny: Tiny) -> None:
    # There is no knob for vLLM's own logprobs, which kill the engine when an adapter's prompt is asked for them.
    with pytest.raises(TypeError):
        Sampling(prompt_logprobs=5)  # type: ignore[call-arg]
    revoked = tiny.register(90, tiny.adapters["a"].cid, revoked=True)
    for adapter, token, said in (
        (None, VOCAB, "tokenizer"),
        (None, -1, "tokenizer"),
        (revoked, 3, "revoked"),
        (AdapterRef(999, tiny.adapters["a"].cid), 3, "not registered"),
    ):
        with pytest.raises(UserError, match=said):
            pool.step(list(PROMPT), adapter, [token])
        with pytest.raises(UserError, match=said):
            pool.score(list(PROMPT), [token], adapter)
    assert pool.generate(ask(None)).finish == LENGTH


def test_a_refused_request_leaves_its_neighbours_alone(pool: EnginePool, tiny: Tiny) -> None:
    good = [ask(adapter) for adapter in tiny.adapters.values()]
    alone = [pool.generate(request) for request in good]
    sent = [pool.submit(r) for r in (good[0], ask(None, prompt=(VOCAB,)), *good[1:])]
    with pytest.raises(UserError):
        sent.pop(1).result(600)
    made = [future.result(600) for future in sent]
    assert [same(a, b) for a, b in zip(alone, made, strict=True)] == [True] * 3


async def test_calls_can_be_awaited(pool: EnginePool, tiny: Tiny) -> None:
    import asyncio

    made = await asyncio.gather(*(pool.agenerate(ask(adapter)) for adapter in tiny.adapters.values()))
    assert len({one.tokens for one in made}) == 3
    assert await pool.ascore(list(PROMPT), list(made[0].tokens), made[0].adapter) == pytest.approx(
        list(made[0].logprobs), abs=2
    )
    assert len(await pool.astep(list(PROMPT), None, [1, 2])) == 2
    with pytest.raises(UserError, match="empty"):
        await pool.agenerate(ask(None, prompt=()))


def test_a_pool_counts_what_it_did(pool: EnginePool) -> None:
    before = pool.stats()[0]
    pool.generate(ask(None))
    after = pool.stats()[0]
    assert after.requests == before.requests + 1
    assert after.output_tokens == before.output_tokens + 24
    assert after.prompt_tokens == before.prompt_tokens + len(PROMPT)
    assert after.busy_seconds > before.busy_seconds
    assert after.rss_bytes > 10**8


def test_a_call_that_takes_too_long_says_so(pool: EnginePool) -> None:
    hasty = EnginePool(replace(pool._config, timeout=0.001), pool._replicas, pool._info, pool._name)
    with pytest.raises(EngineError, match=r"no answer in 0\.001 seconds"):
        hasty.generate(ask(None, Sampling(max_tokens=200, stop_token_ids=())))
