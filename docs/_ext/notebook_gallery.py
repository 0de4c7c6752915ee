"""Copies the notebooks, with their outputs, and writes the cards of their gallery.

Input: ``notebooks/*.ipynb``, which open with **Question.** and **Answer.**
Output: ``docs/examples/*.ipynb``; in ``docs/_generated`` the first picture of each and
reStructuredText of the cards.
"""

import base64
import json
import re
from pathlib import Path

DOCS = Path(__file__).parents[1]
NOTEBOOKS, EXAMPLES = DOCS.parent / "notebooks", DOCS / "examples"
GENERATED = DOCS / "_generated"
CARD = """
   .. grid-item-card:: {title}
      :link: {stem}
      :link-type: doc
      :img-top: /_generated/{stem}.png
      :img-alt: The first picture of the notebook

      *{question}*

      {answer}
"""


def first_picture(notebook):
    """Return the bytes of the first PNG among the outputs."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                return base64.b64decode("".join(output["data"]["image/png"]))
    raise ValueError("A notebook has no picture.")


def opening(notebook):
    """Return the title, the question, and the first sentence of the answer."""
    text = "".join(notebook["cells"][0]["source"])
    title = re.match(r"# (.+)", text)[1]
    question = re.search(r"\*\*Question\.\*\* (.+)", text)[1]
    answer = re.search(r"\*\*Answer\.\*\* (.+)", text)[1]
    answer = re.split(r"(?<=[.?!])\s+(?=[A-Z`])", answer)[0]
    return title, question, answer


def as_rst(text):
    """Return a sentence without what points to the page, and with code marked."""
    text = re.sub(
        r" \((first|last) (picture|table)\)| \((picture|table) below\)", "", text
    )
    text = re.sub(r"[,;] (first|last) (picture|table)(?=\))", "", text)
    return re.sub(r"`+([^`]+)`+", r"``\1``", text)


def write(path, content):
    """Write bytes, if they are new: Sphinx reads again what has changed."""
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)


def generate(app):
    """Copy all notebooks, and write the cards."""
    GENERATED.mkdir(exist_ok=True)
    sources = {path.name: path for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
    for path in EXAMPLES.glob("*.ipynb"):
        if path.name not in sources:
            path.unlink()
    cards = ".. grid:: 1 1 2 2\n   :gutter: 3\n"
    for name, path in sources.items():
        write(EXAMPLES / name, path.read_bytes())
        notebook = json.loads(path.read_text(encoding="utf-8"))
        write(GENERATED / f"{path.stem}.png", first_picture(notebook))
        title, question, answer = map(as_rst, opening(notebook))
        cards += CARD.format(
            title=title, stem=path.stem, question=question, answer=answer
        )
    write(GENERATED / "notebooks.rst.inc", cards.encode())


def setup(app):
    """Copy before Sphinx looks for pages."""
    app.connect("builder-inited", generate, priority=100)
    return {"parallel_read_safe": True}
