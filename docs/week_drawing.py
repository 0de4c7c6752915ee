"""Draw what ``examples/week_of_a_shop.py`` has printed, as the guide shows it.

Call: ``python docs/week_drawing.py`` reads the output in ``docs/guide/versions.md`` and
writes ``docs/_static/week.svg`` and ``docs/_static/narrow/week.svg``.
"""

import re
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parent
PAGE = DOCS / "guide" / "versions.md"
WIDE = DOCS / "_static" / "week.svg"
NARROW = DOCS / "_static" / "narrow" / "week.svg"
DAY = re.compile(r"^(\w+day): (\d+) customers\n((?:  .*\n)+)", re.MULTILINE)
UNKNOWN = re.compile(r"(\d+)% of them are unknown")
MOVED = re.compile(r"night: learnt; (\d+) of (\d+) vectors moved")
ALIGNED = re.compile(r"lists of old vectors (without|with) alignment: (\d+)%")
JUDGED = re.compile(r"at (\S+) times the temperature.*\n.*\n((?:.*\d\n){3})")
VALUE = re.compile(r"^(.+?) +(\S+) +(\S+) +(\S+)$", re.MULTILINE)
# Width and height of a panel, and of the words above it
PANEL = 340, 118
HEAD = 34
GAP = 32
STYLE = """
    text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1f2328; }
    .quiet { fill: #59636e; } .strong { font-weight: 600; }
    .bar { fill: #2f6f9f; } .alarm { fill: #cf222e; }
    .grid { stroke: #8a8f98; stroke-opacity: .6; fill: none; }
    .limit { stroke: #cf222e; stroke-dasharray: 4 3; fill: none; }
    .interval { stroke: #2f6f9f; stroke-width: 2; fill: none; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; } .quiet { fill: #9198a1; }
      .bar { fill: #54a0d6; } .alarm { fill: #ff7b72; } .interval { stroke: #54a0d6; }
    }
"""  # noqa: E501
TITLE = "A week of a shop"
SAID = (
    "Unknown customers by day, with an alarm on Thursday; vectors that moved since the "
    "index was built; what stored vectors of users find after a new fit; what other "
    "lists would have earned."
)


class Week(NamedTuple):
    """What the example has printed.

    Parameters
    ----------
    unknown, moved : dict of str to float
        By day: the share of unknown customers, and of vectors that have moved. A day
        on which nobody came has no share.
    found : dict of str to float
        What stored vectors of users find, "without" and "with" alignment.
    values : dict of str to tuple
        By the name of an estimate: value, lower and upper end.
    """

    unknown: dict
    moved: dict
    found: dict
    values: dict


def read(text):
    """Return the ``Week`` that a page shows."""
    unknown, moved = {}, {}
    for day, _, lines in DAY.findall(text):
        share = UNKNOWN.search(lines)
        if share:
            unknown[day[:3]] = int(share[1]) / 100
        n_moved, n_all = map(int, MOVED.search(lines).groups())
        moved[day[:3]] = n_moved / n_all
    found = {name: int(share) / 100 for name, share in ALIGNED.findall(text)}
    values = {}
    for times, lines in JUDGED.findall(text):
        for name, *numbers in VALUE.findall(lines):
            label = "as logged"
            if name != "logged":
                label = f"{name}, {times.lstrip('0')} of T"
            values[label] = tuple(map(float, numbers))
    return Week(unknown, moved, found, values)


def words(x, y, text, kind="", anchor="start"):
    """Return a text of the drawing."""
    return (
        f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{text}</text>'
    )


def upright_bars(shares, limit=None):
    """Return a panel of a bar for each day; those above the limit are alarms."""
    width, height = PANEL
    days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    step = width / len(days)
    bottom = height - 20
    highest = bottom - 16  # room for a figure above the bar
    shapes = [f'<path class="grid" d="M0,{bottom} H{width}"/>']
    for place, day in enumerate(days):
        middle = (place + 0.5) * step
        shapes.append(words(middle, height - 4, day, "quiet", "middle"))
        if day not in shares:
            continue
        share = shares[day]
        kind = "bar"
        if limit is not None and share > limit:
            kind = "alarm"
        top = bottom - highest * share
        shapes.append(
            f'<rect class="{kind}" x="{middle - 14:g}" y="{top:g}" width="28" '
            f'height="{bottom - top:g}"/>'
        )
        shapes.append(words(middle, top - 4, f"{share:.0%}", "", "middle"))
    if limit is not None:
        height_of_limit = bottom - highest * limit
        shapes.append(f'<path class="limit" d="M0,{height_of_limit:g} H{width}"/>')
    return shapes


def lying_bars(shares):
    """Return a panel of a bar for each name."""
    width, height = PANEL
    start = 130
    longest = width - start - 40  # room for a figure behind the bar
    step = height / (len(shares) + 1)
    shapes = []
    for place, (name, share) in enumerate(shares.items(), start=1):
        y = place * step
        end = start + longest * share
        shapes.append(words(start - 8, y + 4, f"{name} alignment", "", "end"))
        shapes.append(
            f'<rect class="bar" x="{start}" y="{y - 11:g}" width="{end - start:g}" '
            'height="22"/>'
        )
        shapes.append(words(end + 6, y + 4, f"{share:.0%}"))
    return shapes


def intervals(values):
    """Return a panel of an interval for each name."""
    width, height = PANEL
    start = 190
    lowest = min(lower for _, lower, _ in values.values())
    highest = max(upper for _, _, upper in values.values())
    scale = (width - start - 44) / (highest - lowest)
    step = height / len(values)
    shapes = []
    for place, (name, (value, lower, upper)) in enumerate(values.items()):
        y = (place + 0.5) * step
        x, left, right = (
            start + scale * (end - lowest) for end in (value, lower, upper)
        )
        shapes.append(words(start - 10, y + 4, name, "", "end"))
        shapes.append(f'<path class="interval" d="M{left:g},{y:g} H{right:g}"/>')
        shapes.append(f'<circle class="bar" cx="{x:g}" cy="{y:g}" r="4.5"/>')
        figure = f"{value:.3f}".lstrip("0")
        shapes.append(words(right + 6, y + 4, figure))
    return shapes


def drawing(week, n_columns):
    """Return the text of an SVG file with panels in some columns."""
    panels = {
        "customers that the model does not know": upright_bars(week.unknown, 0.5),
        "vectors moved since the index was built": upright_bars(week.moved),
        "after a new fit: what old vectors still find": lying_bars(week.found),
        "purchases per list, with 95 % intervals": intervals(week.values),
    }
    width, height = PANEL
    n_rows = len(panels) // n_columns
    full_width = n_columns * (width + GAP)
    full_height = n_rows * (HEAD + height + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {full_width:g} '
        f'{full_height:g}" font-size="13" role="img" aria-labelledby="title desc">',
        f'  <title id="title">{TITLE}</title>',
        f'  <desc id="desc">{SAID}</desc>',
        f"  <style>{STYLE}  </style>",
    ]
    for place, (title, shapes) in enumerate(panels.items()):
        row, column = divmod(place, n_columns)
        x = GAP / 2 + column * (width + GAP)
        y = row * (HEAD + height + GAP)
        lines.append(words(x, y + 20, title, "strong"))
        lines.append(f'<g transform="translate({x:g},{y + HEAD:g})">')
        lines += shapes
        lines.append("</g>")
    return "\n".join([*lines, "</svg>"]) + "\n"


if __name__ == "__main__":
    printed = read(PAGE.read_text("utf-8"))
    WIDE.write_text(drawing(printed, 2), "utf-8")
    NARROW.write_text(drawing(printed, 1), "utf-8")
