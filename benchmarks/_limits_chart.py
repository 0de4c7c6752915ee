"""A drawing of quality against one setting at a time (`bench_limits`).

Input: rows of ``results/limits.jsonl``.
Output: the text of two SVG files, for wide and for narrow pages; both are dark where
the page is.
"""

import math
from html import escape
from typing import NamedTuple

from _limits import CANDIDATES, EPOCHS, PAST, WIDTH, changes

NAMES = {
    "ml-100k": ("MovieLens 100K", "#54aeff"),
    "lastfm": ("Last.FM", "#2da44e"),
    "online-retail": ("gift shop", "#bf8700"),
    "gowalla": ("Gowalla", "#8250df"),
    "ml-100k-last": ("MovieLens 100K, next", "#ff8f87"),
    "ml-1m-last": ("MovieLens 1M, next", "#cf222e"),
    "ml-latest-last": ("MovieLens latest, next", "#6e7781"),
    "beauty-last": ("Beauty, next", "#1b7c83"),
    "sports-last": ("Sports, next", "#bf3989"),
    "online-retail-time": ("gift shop, later", "#9a6700"),
}
TITLES = {
    EPOCHS: "epochs",
    WIDTH: "numbers of a vector",
    CANDIDATES: "drawn candidates",
    PAST: "last items",
}
TICKS = {-2: "1/4", -1: "1/2", 0: "1", 1: "2", 2: "4"}
LEVELS = {-16: "-16 %", -8: "-8 %", 0: "0", 8: "+8 %"}
STYLE = """
    text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1f2328; }
    .quiet { fill: #59636e; } .strong { font-weight: 600; }
    .grid { stroke: #8a8f98; stroke-opacity: .35; fill: none; } .zero { stroke-opacity: 1; }
    .curve { fill: none; stroke-width: 2; }
    @media (prefers-color-scheme: dark) { text { fill: #e6edf3; } .quiet { fill: #9198a1; } }
"""  # noqa: E501
TITLE = "Quality with other values of one setting"
SAID = "Up: the change of NDCG. Right: the value, divided by the default."


class Layout(NamedTuple):
    """The size of a drawing in its units, and of its panels and words."""

    width: int
    height: int
    columns: int
    panel: tuple  # width and height
    left: int
    top: int
    step: tuple  # from a panel to the next
    n_legend: int  # columns of the legend
    words: float


LAYOUTS = {
    "limits": Layout(780, 386, 4, (142, 190), 52, 154, (182, 0), 3, 13),
    "narrow/limits": Layout(400, 732, 2, (140, 160), 52, 300, (186, 230), 1, 13),
}
LOWEST, HIGHEST = -16, 8
MANY = 4.5  # doublings, from which on every other one has a tick


def drawing(found, layout):
    """Return the text of an SVG file."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {layout.width} '
        f'{layout.height}" font-size="{layout.words}" role="img" '
        'aria-labelledby="title desc">',
        f'  <title id="title">{TITLE}</title>',
        f'  <desc id="desc">{SAID}</desc>',
        f"  <style>{STYLE}  </style>",
        *_legend(layout),
    ]
    for i, (curve, title) in enumerate(TITLES.items()):
        parts += _panel(found.get(curve, {}), title, i, layout)
    return "\n".join([*parts, "</svg>", ""])


def _text(x, y, words, kind="", anchor="start"):
    kind = f'class="{kind}" ' if kind else ""
    place = f'x="{x:g}" y="{y:g}" text-anchor="{anchor}"'
    return f"  <text {kind}{place}>{escape(words)}</text>"


def _line(places, kind, color=""):
    path = "M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in places)
    color = f' stroke="{color}"' if color else ""
    return f'  <path class="{kind}"{color} d="{path}"/>'


def _legend(layout):
    parts = []
    for i, (name, color) in enumerate(NAMES.values()):
        row, column = divmod(i, layout.n_legend)
        x, y = 20 + column * 230, 22 + 22 * row
        parts.append(_line([(x, y - 4), (x + 24, y - 4)], "curve", color))
        parts.append(_text(x + 32, y, name))
    y = 22 + 22 * math.ceil(len(NAMES) / layout.n_legend)
    lines = [SAID] if layout.columns == 4 else SAID.split(". ")
    for i, line in enumerate(lines):
        parts.append(_text(20, y + 18 * i + 4, line.removesuffix(".") + ".", "quiet"))
    return parts


def _panel(curves, title, i, layout):
    row, column = divmod(i, layout.columns)
    left = layout.left + column * layout.step[0]
    top, (width, height) = layout.top + row * layout.step[1], layout.panel
    ends = [x for points in curves.values() for x, _ in points] or [0]
    low, high = min(ends) - 0.15, max(ends) + 0.15

    def place(x, percent):
        percent = min(max(percent, LOWEST), HIGHEST)
        part = (HIGHEST - percent) / (HIGHEST - LOWEST)
        return left + width * (x - low) / (high - low), top + height * part

    parts = [_text(left, top - 10, title, "strong")]
    for percent, said in LEVELS.items():
        y = place(low, percent)[1]
        kind = "grid" if percent else "grid zero"
        parts.append(_line([(left, y), (left + width, y)], kind))
        if i % 2 == 0:  # in each layout, so that both have the same words
            parts.append(_text(left - 6, y + 4, said, "quiet", "end"))
    for x, said in TICKS.items():
        if low <= x <= high and (x % 2 == 0 or high - low < MANY):
            at, bottom = place(x, LOWEST)
            parts.append(_line([(at, top), (at, bottom)], "grid"))
            parts.append(_text(at, bottom + 18, said, "quiet", "middle"))
    for data, points in curves.items():
        places, color = [place(*point) for point in points], NAMES[data][1]
        parts.append(_line(places, "curve", color))
        parts += [
            f'  <circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{color}"/>'
            for x, y in places
        ]
    return parts


def pictures(rows):
    """Return the texts of both drawings by name."""
    found = changes(rows)
    return {name: drawing(found, layout) for name, layout in LAYOUTS.items()}
