"""Sentences and words of Markdown and of docstrings, as a reader sees them."""

import inspect
import re

LONGEST = 30

CODE_BLOCK = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)
SUMMARY = re.compile(r"<summary>(.*?)</summary>", re.DOTALL)
HTML = re.compile(r"<[^>]*>")
PICTURE = re.compile(r"!\[[^]]*\]\([^)]*\)")
LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")
CODE = re.compile(r"(`+).+?\1|\$[^$\n]+\$", re.DOTALL)
FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
HEADING = re.compile(r"^(#+ .*)$", re.MULTILINE)
RULE = re.compile(r"^\|[-:| ]+\|$", re.MULTILINE)
# Parts that end without a stop: paragraphs, items of a list, headings, cells.
PARTS = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )|(?<!\\)\|")
ENDS = re.compile(r"(?<=[.!?])[)\"*_]*\s+(?=[A-Z(\"*_\d`$])")
WORD = re.compile(r"\w[\w.,'’@%+-]*")
SECTION = re.compile(r"\n[A-Z][\w ]+\n-{3,}\n")
# Of docstrings: examples, directives and tables.
BLOCK = re.compile(r"^(?:>>> .*\n(?:.+\n)*|\.\. .*$|=+ .*\n(?:.+\n)*)", re.MULTILINE)


def text_of(markdown):
    """Return the text of a page: code in a line is one word, blocks are none."""
    for pattern in (FRONT, CODE_BLOCK, COMMENT, PICTURE, RULE):
        markdown = pattern.sub("\n\n", markdown)
    markdown = CODE.sub("Code", HEADING.sub(r"\n\1\n", markdown))
    return HTML.sub("\n\n", LINK.sub(r"\1", markdown))


def sentences(markdown):
    """Return the sentences of a page, each in one line."""
    parts = [" ".join(part.split()) for part in PARTS.split(text_of(markdown))]
    return [s for part in parts for s in ENDS.split(part) if WORD.search(s)]


def n_words(text):
    """Return the number of words of a sentence or of a text."""
    return len(WORD.findall(text))


def visible(markdown):
    """Return a page without what is folded; titles of folded parts stay."""
    return FOLDED.sub(lambda match: "\n\n".join(SUMMARY.findall(match[0])), markdown)


def too_long(sentences, longest=LONGEST):
    """Return the sentences with more words, each with their number."""
    return [f"{n_words(s)} words: {s}" for s in sentences if n_words(s) > longest]


def summary(thing):
    """Return the first paragraphs of a docstring, up to its first section."""
    text = SECTION.split(inspect.getdoc(thing))[0]
    return BLOCK.sub("", f"{text}\n").replace("``", "`")
