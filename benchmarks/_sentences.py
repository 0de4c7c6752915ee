"""Sentences with figures: where they stand in a text, and where these come from.

Input: ``figures.toml``, which has for each text the sentences, with ``{}`` at the
places of figures and of words of claims, and what is asked for at each; a text.
Output: a `Place` for each figure, in the order of the text.
"""

import json
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

SOURCES = Path(__file__).with_name("figures.toml")
PLACE = "{}"
# A figure or a few words, which a line may end between.
FILLED = r"((?!\s)(?:(?!\n\s*\n).){1,60}?)(?<!\s)"
SPACE = r"(?:[ \t]+|[ \t]*\n[ \t]*)"
NOTEBOOK_SPACE = r'(?:\s|\\n",\n *")+'  # lines of a cell are strings of a list


class Place(NamedTuple):
    """Where a figure stands in a text, and what it is: a figure or a claim."""

    start: int
    end: int
    kind: str
    query: str


@cache
def all_sentences(path=SOURCES):
    """Return the entries of the file, by the name of the text."""
    return tomllib.loads(path.read_text("utf-8"))


def sentences_of(name):
    """Return the entries of a text, each with its sentence and its sources."""
    return [entry for entry in all_sentences().get(name, []) if "text" in entry]


def tables_of(name):
    """Return the entries of a text, each with the head of a table and its sources."""
    return [entry for entry in all_sentences().get(name, []) if "table" in entry]


def pattern_of(sentence, is_notebook=False):
    """Return what finds a sentence, with any white space between its words."""
    space = NOTEBOOK_SPACE if is_notebook else SPACE

    def part(text):
        if is_notebook:
            text = json.dumps(text, ensure_ascii=False)[1:-1]
        return space.join(re.escape(word) for word in re.split(r"\s+", text))

    words = FILLED.join(map(part, sentence.split(PLACE)))
    return re.compile(rf"(?<!\w){words}(?!\w)", re.DOTALL)


def places(name, text, sentences=None):
    """Return the Places of the figures in the sentences of a text."""
    sentences = sentences_of(name) if sentences is None else sentences
    found = [place for each in sentences for place in _places(name, text, each)]
    return sorted(found)


def _places(name, text, sentence):
    """Return the Places of one sentence."""
    wanted, sources = sentence["text"].strip(), sentence["from"]
    if wanted.count(PLACE) != len(sources):
        raise ValueError(
            f"{len(sources)} sources for {wanted.count(PLACE)} places: {wanted!r}"
        )
    if wanted.startswith(PLACE) or wanted.endswith(PLACE):
        raise ValueError(f"a sentence needs text around its places: {wanted!r}")
    if re.search(r"\{\}\s*\{\}", wanted):
        raise ValueError(f"two places need a word between them: {wanted!r}")
    matches = list(pattern_of(wanted, name.endswith(".ipynb")).finditer(text))
    if len(matches) != 1:
        remedy = "Change it" if not matches else "Take a longer part of it"
        raise ValueError(
            f"the text has this sentence {len(matches)} times instead of once: "
            f"{wanted!r}. {remedy} in {SOURCES.name}"
        )
    spans = [matches[0].span(i + 1) for i in range(len(sources))]
    kinds = [source.strip().partition(" ") for source in sources]
    if wrong := [kind for kind, *_ in kinds if kind not in ("figure", "claim")]:
        raise ValueError(f"a source is a 'figure' or a 'claim', got {wrong[0]!r}")
    return [
        Place(*span, kind, query)
        for span, (kind, _, query) in zip(spans, kinds, strict=True)
    ]
