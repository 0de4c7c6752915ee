"""The first page: a report that is drawn from stored figures, and scores as bars.

Input: ``landing.json``, which docs/landing.py has written; printed tables of the page,
rows of a number, a name and a score.
Output: HTML.
"""

import json
import re
from html import escape
from pathlib import Path

import pandas as pd
from docutils import nodes
from docutils.parsers.rst import Directive

from sktwotower.metrics._rendering import Report

PAGE = "index"
STORED = Path(__file__).parents[1] / "landing.json"
ROW = re.compile(r"\d+\s+(\S.*?)\s+(-?\d+\.\d+)")
CARDS = (
    "<h3>Three of these customers</h3><p>{said}</p>"
    "<div class='customers'>{cards}</div>"
    "<details><summary>The code</summary><pre>{code}</pre></details>"
)


def stored_report(path=STORED):
    """Return the report, and what else is stored with it."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    names = ["group", "model"]
    index = pd.MultiIndex.from_tuples(map(tuple, stored["index"]), names=names)
    report = Report(stored["figures"], index=index, columns=stored["columns"])
    report.attrs = stored["attrs"]
    return report, stored


class LiveReport(Directive):
    """The stored report, three customers, and the code that has made both."""

    def run(self):
        """Return them as HTML."""
        self.state.document.settings.env.note_dependency(str(STORED))
        report, stored = stored_report()
        said, code = escape(stored["said"]), escape(stored["code"])
        more = CARDS.format(cards=stored["cards"], said=said, code=code)
        return [nodes.raw("", report._repr_html_() + more, format="html")]


def rows_of(text):
    """Return names and scores of a printed table; none if it is something else."""
    found = [ROW.fullmatch(line.rstrip()) for line in text.splitlines()[1:]]
    return [(m[1], float(m[2])) for m in found] if found and all(found) else []


def bars_of(rows):
    """Return a list of names with bars, of which the longest is the highest score."""
    most = max(score for _, score in rows)
    lines = (
        f"<li><span>{escape(name)}</span><span class='bar' aria-hidden='true'>"
        f"<i style='width: {max(0, 100 * score / most):.0f}%'></i></span>"
        f"<span>{score:.3f}</span></li>"
        for name, score in rows
    )
    return f"<ol class='scores'>{''.join(lines)}</ol>"


def draw_scores(app, doctree):
    """Replace the printed tables of the first page by bars."""
    if app.env.docname == PAGE:
        for block in list(doctree.findall(nodes.literal_block)):
            rows = rows_of(block.astext()) if "output" in block["classes"] else []
            if rows:
                block.replace_self(nodes.raw("", bars_of(rows), format="html"))


def setup(app):
    """Add the directive, and connect after outputs are marked."""
    app.add_directive("live-report", LiveReport)
    app.connect("doctree-read", draw_scores, priority=600)
    return {"parallel_read_safe": True}
