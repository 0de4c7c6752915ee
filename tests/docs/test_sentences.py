"""What users read has sentences that can be read at once."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import sktwotower
from sktwotower._command_line._options import make_parser
from tests.docs.prose import (
    LONGEST,
    n_words,
    sentences,
    summary,
    text_of,
    too_long,
    visible,
)

ROOT = Path(__file__).parents[2]
GUIDE = {path.stem: path for path in sorted(ROOT.glob("docs/guide/*.md"))}
OTHERS = ["cluster", "exports", "larger_than_memory", "mlflow", "results"]
OTHERS += ["protocols", "reproduce", "security"]
PAGES = {name: ROOT / "docs" / f"{name}.md" for name in OTHERS}
PAGES |= {name: ROOT / f"{name}.md" for name in ("CONTRIBUTING", "README")} | GUIDE
# Pages that look something up, or list what there is.
LISTS = {"glossary", "index", "coming_from", "faq", "formulas", "sizing"}
MAX_VISIBLE = 1200


def faults(name):
    """Return what is wrong with a page: sentences, its length, its opening."""
    text = PAGES[name].read_text("utf-8")
    found = too_long(sentences(text))
    if name in LISTS or name not in GUIDE:
        return found
    if (n := n_words(text_of(visible(text)))) > MAX_VISIBLE:
        found.append(f"{n} words that are not folded")
    opening = text.partition("\n## ")[0]
    if not re.search(r"!\[|<picture>", opening):
        found.append("no picture comes before the first heading")
    if "```" not in opening:
        found.append("no code comes before the first heading")
    return found


def public_classes():
    """Return the public classes, by name."""
    return {
        name: getattr(sktwotower, name)
        for name in sktwotower.__all__
        if inspect.isclass(getattr(sktwotower, name))
    }


@pytest.mark.parametrize("name", PAGES)
def test_a_page_answers_one_question_in_short_sentences(name):
    assert faults(name) == []


@pytest.mark.parametrize("name", public_classes())
def test_sentences_of_a_class_are_short(name):
    assert too_long(sentences(summary(public_classes()[name]))) == []


def test_sentences_of_the_command_line_are_short():
    parser = make_parser()
    helps = [action.help for action in parser._actions if action.help]
    epilog = re.sub(r"^ .*$", "", parser.epilog or "", flags=re.MULTILINE)  # code
    texts = [parser.description or "", epilog, *helps]
    assert len(helps) > 10
    assert too_long(s for text in texts for s in sentences(text)) == []


def messages(code):
    """Return the texts in errors and warnings; a part that is computed is one word."""
    for node in ast.walk(ast.parse(code)):
        warns = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "warn"
        if warns or isinstance(node, ast.Raise):
            yield "".join(map(words_in, ast.walk(node)))


def words_in(node):
    """Return the text of a node, without those in it."""
    if isinstance(node, ast.FormattedValue):
        return "Code"
    return node.value if isinstance(getattr(node, "value", None), str) else ""


@pytest.mark.slow
def test_sentences_of_messages_are_short():
    paths = sorted((ROOT / "sktwotower").rglob("*.py"))
    found = [m for path in paths for m in messages(path.read_text("utf-8"))]
    assert len(found) > 300
    long = [m for m in found if n_words(m) > LONGEST]  # the others have no long one
    assert too_long(s for message in long for s in sentences(message)) == []


LONG = " ".join(["word"] * 31)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"It is {LONG}.", 1),
        (f"It is so. {LONG}. It ends.", 1),
        (f"- {LONG[:80]}\n- {LONG[:80]}", 0),
        (f"| {LONG[:100]} | {LONG[:100]} |", 0),
        (f"# Title\nA {LONG[:140]}.\nA {LONG[:60]}.", 0),
        (f"```python\n{LONG}\n```", 0),
        (f"![{LONG}](a.svg)\n\n<!-- {LONG} -->", 0),
        (f"It is `{LONG}` and [a link]({LONG}).", 0),
        (f"<details><summary>A</summary>\n\n{LONG}\n\n</details>", 1),
    ],
)
def test_long_sentences_are_found(text, found):
    assert len(too_long(sentences(text))) == found


def test_folded_text_is_not_counted():
    text = "One two.\n\n<details><summary>Three</summary>\n\nfour five\n\n</details>\n"
    assert n_words(text_of(visible(text))) == 3
    assert n_words(text_of(text)) == 5
