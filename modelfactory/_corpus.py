"""The generic text the small base model learns from: format and language, none of the datanets' facts.

Every passage is about a made-up thing (a name drawn from syllables), and every detail is drawn at random, so
nothing a shipped datanet states can be learnt here. What does carry over is English as the datanets use it,
and the question format of :func:`prompt_of`, each kind of question in several wordings.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator
from typing import NamedTuple

from ._grammar import ASPECTS, KINDS, WORDS

__all__ = ["END", "PAD", "corpus_digest", "documents", "generic_questions", "prompt_of"]

END = "<|end|>"
PAD = "<|pad|>"

_WORLD = 80
"""Things met again and again, always with the same facts: they teach that a name decides the answer and the
wording does not, which is what makes an adapter's facts answer to questions it was not trained on."""

_SLOT = re.compile(r"\{(\w+)\}")
_SYLLABLE_LIST = (
    "al an ar bel bor cal cor dal den dor el en er fal fen gar gil hal har il in is jor kel ken lan lin lor mar "
    "mel min mor nal nor ol or pel per qua ral ren ros sal sel sor tal tam tor ul un val ven vor wen wil yar zan"
)
_SYLLABLES = _SYLLABLE_LIST.split()


def prompt_of(question: str) -> str:
    """The one prompt format: what a client sends to a model of this project to have ``question`` answered."""
    return f"Question: {question.strip()}\nAnswer:"


def documents(count: int, seed: int) -> Iterator[str]:
    """``count`` training documents, the same ones for the same ``seed`` on every machine."""
    draw = _Draw(seed)
    world = _world(draw)
    for _ in range(count):
        yield _document(draw, world[draw.below(_WORLD)] if draw.below(10) else _thing(draw, set()))


def generic_questions(seed: int) -> Iterator[tuple[str, str]]:
    """Every question about the recurring things in every wording, with its answer."""
    for thing in _world(_Draw(seed)):
        for aspect, answer in thing.facts.items():
            for wording in ASPECTS[aspect].questions:
                yield wording.replace("<thing>", thing.name), answer


def corpus_digest(count: int, seed: int) -> str:
    """sha2-256 (hex) over the documents: names the training data in cache keys and attestations."""
    digest = hashlib.sha256()
    for document in documents(count, seed):
        digest.update(json.dumps(document).encode())
    return digest.hexdigest()


class _Draw:
    """Random draws built on ``random()`` alone, the only method whose sequence Python guarantees for good."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def below(self, bound: int) -> int:
        return int(self._random() * bound)

    def one(self, options: list[str] | tuple[str, ...]) -> str:
        return options[self.below(len(options))]

    def name(self) -> str:
        word = "".join(self.one(_SYLLABLES) for _ in range(1 + self.below(3))).capitalize()
        return word + self.one(_SYLLABLES) if len(word) < 3 else word

    def fill(self, template: str) -> str:
        """Replaces ``{slot}`` by a draw from ``WORDS[slot]`` until none is left."""
        while True:
            found = _SLOT.search(template)
            if found is None:
                return template
            slot = found.group(1)
            if slot == "number":
                word = str(2 + self.below(98))
            elif slot == "person":
                word = self.name()
            else:
                word = self.one(WORDS[slot])
            template = template[: found.start()] + word + template[found.end() :]


class _Thing(NamedTuple):
    name: str
    facts: dict[str, str]
    """Aspect to answer."""


def _thing(draw: _Draw, taken: set[str]) -> _Thing:
    kind = KINDS[draw.below(len(KINDS))]
    name = f"{draw.name()} {draw.one(kind.nouns)}"
    while name in taken:
        name = f"{draw.name()} {draw.one(kind.nouns)}"
    taken.add(name)
    return _Thing(name, {aspect: draw.fill(draw.one(ASPECTS[aspect].answers)) for aspect in kind.aspects})


def _world(draw: _Draw) -> list[_Thing]:
    taken: set[str] = set()
    return [_thing(draw, taken) for _ in range(_WORLD)]


def _document(draw: _Draw, thing: _Thing) -> str:
    aspects = list(thing.facts)
    chosen = [aspects.pop(draw.below(len(aspects))) for _ in range(min(3, len(aspects)))]
    sentences, pairs = [], []
    for aspect in chosen:
        answer = thing.facts[aspect]
        frame = draw.fill(draw.one(ASPECTS[aspect].frames).replace("<thing>", thing.name))
        sentence = frame.replace("<answer>", answer)
        sentences.append(sentence[0].upper() + sentence[1:])
        question = draw.one(ASPECTS[aspect].questions).replace("<thing>", thing.name)
        pairs.append(f"{prompt_of(question)} {answer}{END}")
    shape = draw.below(4)
    if shape == 0:
        return " ".join(sentences) + END
    if shape == 1:
        return " ".join(sentences) + "\n" + pairs[draw.below(len(pairs))]
    return "".join(pairs)
