"""Figures of pages come from the result files: none is typed by hand.

What looks like a measured figure in a sentence is filled by `benchmarks/fill.py`, or is
one of ``GIVEN``: a setting, a limit, or a round figure of no benchmark.
"""

import re

import pytest

from tests.benchmarks.test_comparisons import CODE, MARKS, ROOT, fill, paragraphs
from tests.benchmarks.texts import without

# The page of all benchmarks has a test of its own (test_fill.py); notebooks print.
PAGES = [n for n in fill.TEXTS if n.endswith(".md") and n != "docs/reproduce.md"]
FIGURE = re.compile(
    r"(?<![\w.])\.\d{3,4}\b|(?<![\w.,-])\d[\d,]*\.\d+ (?:%|times)|"
    r"(?<![\w.,-])\d[\d,]*(?:\.\d+)? (?:ms|s|seconds|min|minutes|GiB|MB)(?!\w)"
)
GIVEN = {
    "docs/cluster.md": ["warns of the size of the graph from 10 MB on"],
    "docs/guide/faq.md": ["a rise of buyers from 4.0 % to 4.4 %"],
    "docs/guide/formulas.md": [
        "probability 0.8 times `id_dropout`",
        "columns are 0.03 times as long",
        "is constant: 0, 0.1, 0.2 or 0.5 times `lr`",
    ],
    "docs/guide/troubleshooting.md": ["first compiles code, for about 30 seconds"],
    "docs/larger_than_memory.md": [
        "sampled every 0.02 s",
        "0.1 ms on an SSD",
        "Ten million users cost 17 minutes per epoch",
    ],
    "docs/protocols.md": [
        "20 fits of EASE take 50 minutes",
        "begin with steps of .003",
        "The authors of eSASRec take .001",
        "The authors take .001",
    ],
}
# Numbers that are the same in all texts, and round ones.
KNOWN = {
    r"([\d,]*\d) products\b": {"3,603", "3,665", "3,000", "20"},
    r"[Vv]ectors? (?:of|have|has) ([\d,]+) numbers": {"64", "256", "384"},
}


def typed(name, text, known=None):
    """Return the sentences with figures that nothing fills."""
    text = without(text, {"figure", "claim"}, name, known)
    text = CODE.sub("", MARKS.sub("", fill.TABLE.sub("", text)))
    lines = [line for paragraph in paragraphs(text) for line in paragraph]
    return [line for line in lines if FIGURE.search(line)]


@pytest.mark.parametrize("name", PAGES)
def test_no_figure_is_typed_by_hand(name):
    found, given = typed(name, (ROOT / name).read_text("utf-8")), GIVEN.get(name, [])
    new = [line for line in found if not any(part in line for part in given)]
    assert not new, "give it a source in figures.toml"
    gone = [part for part in given if not any(part in line for line in found)]
    assert not gone, f"take these out of GIVEN: {gone}"


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("pattern", KNOWN)
def test_numbers_of_the_shop_are_those_of_all_texts(name, pattern):
    text = CODE.sub("", (ROOT / name).read_text("utf-8"))
    assert set(re.findall(pattern, text)) <= KNOWN[pattern]


@pytest.mark.parametrize(
    "sentence",
    [
        "In the gift shop, a fit with `time=` takes 45 s.",
        "Lists of 20 contain 11.9 % of the later purchases.",
        "With `time=`, its NDCG@10 is .131.",
        "A request takes 0.51 ms.",
        "It takes 2.5 times as long.",
        "A file has 12 MB.",
    ],
)
def test_what_is_typed_is_found(sentence):
    assert typed("a.md", f"First.\n\n{sentence} More.", []) == [sentence]
    assert not typed("a.md", f"```text\n{sentence}\n```\n\n20 items, 95 %, .05.", [])
