"""Draws the picture of each display, for its page and for the reference's index.

Input: `PICTURES`, a call for each display, with names of display_example.py; for some
the figures of a larger fit, stored by docs/landing.py.
Output: in the folder ``_generated``, two PNG files of each (on a light and on a dark
background), and reStructuredText that shows them.
"""

import importlib
import json
from pathlib import Path
from textwrap import indent

import pandas as pd

import sktwotower

DOCS = Path(__file__).parents[1]
FOLDER = DOCS / "_generated"
STORED = DOCS / "landing.json"
PICTURES = {
    "RecallCurveDisplay": "from_estimator(model, test, baselines=baselines)",
    "RecallByPopularityDisplay": "from_estimator(model, test, baselines=baselines)",
    "RecallDiversityDisplay": "from_estimator(model, test)",
    "FeatureImportanceDisplay": "from_estimator(model, test, random_state=0)",
    "EmbeddingMapDisplay": (
        "from_estimator(\n"
        '    model, color=kind, color_name="word", max_items=600, random_state=0\n'
        ")"
    ),
    "ReliabilityDisplay": "from_estimator(ranker, later, clicked)",
    "TrainingCurveDisplay": "from_estimator(model)",
    "PrequentialDisplay": (
        'from_estimator(\n    ItemKNNRecommender(), X, time="time", n_slices=6,\n'
        '    strategies=["frozen", "history", "refit", "popularity"],\n)'
    ),
}
THEMES = {"light": "default", "dark": "dark_background"}
IMAGE = """
.. image:: /_generated/{name}_light.png
   :class: only-light
   :width: {width}
   :alt: An example of {name}

.. image:: /_generated/{name}_dark.png
   :class: only-dark dark-light
   :width: {width}
   :alt: An example of {name}
"""
PAGE = """
{image}
.. code-block:: python

{code}

.. dropdown:: How ``model``, ``test`` and the others were made

   .. literalinclude:: /{source}
"""
SMALL = "_ext/display_example.py\n      :lines: 3-"
LARGE = "landing.py\n      :pyobject: reported"
CARD = """
   .. grid-item-card:: {name}
      :link: sktwotower.plots.{name}
      :link-type: doc
      :class-title: display-name
{image}
"""


def call(name):
    """Return the code that draws a display."""
    return f"{name}.{PICTURES[name]}"


def stored():
    """Return the tables of displays that are drawn from stored figures, by name."""
    return json.loads(STORED.read_text(encoding="utf-8"))["displays"]


def display_of(name):
    """Return a display, from stored figures or from the model of the example."""
    display_class = getattr(importlib.import_module("sktwotower.plots"), name)
    if name in stored():
        parameters = {
            key: pd.DataFrame(**value) if isinstance(value, dict) else value
            for key, value in stored()[name].items()
        }
        return display_class(**parameters)
    example = vars(importlib.import_module("display_example"))
    return eval(call(name), {**example, name: display_class})


def draw(name):
    """Draw a display on both backgrounds, and write the pictures."""
    import matplotlib.pyplot as plt

    display = display_of(name)
    for theme, style in THEMES.items():
        with plt.style.context(style):
            figure = display.plot().figure_
            figure.savefig(FOLDER / f"{name}_{theme}.png", dpi=150, transparent=True)
        plt.close("all")


def is_up_to_date():
    """Return whether all pictures are newer than what they are made of."""
    pictures = [FOLDER / f"{n}_{theme}.png" for n in PICTURES for theme in THEMES]
    package = Path(sktwotower.__file__).parent
    sources = [*package.rglob("*.py"), *DOCS.glob("_ext/display_*.py"), STORED]
    newest = max(path.stat().st_mtime for path in sources)
    return all(p.exists() and p.stat().st_mtime > newest for p in pictures)


def write_pages():
    """Write the text that is included in pages of displays and in the index."""
    cards = ".. grid:: 1 1 2 2\n   :gutter: 2\n"
    for name in PICTURES:
        image = IMAGE.format(name=name, width="600px")
        source = LARGE if name in stored() else SMALL
        page = PAGE.format(image=image, code=indent(call(name), "   "), source=source)
        (FOLDER / f"{name}.rst.inc").write_text(page, encoding="utf-8")
        small = indent(IMAGE.format(name=name, width="100%"), 6 * " ")
        cards += CARD.format(name=name, image=small)
    (FOLDER / "displays.rst.inc").write_text(cards, encoding="utf-8")


def generate(app):
    """Draw what is out of date."""
    import matplotlib

    matplotlib.use("Agg")
    FOLDER.mkdir(exist_ok=True)
    write_pages()
    if not is_up_to_date():
        for name in PICTURES:
            draw(name)


def setup(app):
    """Draw before pages are read, and before stubs of the reference are written."""
    app.connect("builder-inited", generate, priority=100)
    return {"parallel_read_safe": True}
