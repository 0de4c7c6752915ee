"""How does each system rank, and how long does it learn? One picture of all results.

Call: ``python benchmarks/chart.py`` draws ``docs/_static/results_light.svg``,
``results_dark.svg`` and, for narrow pages, ``narrow/results.svg``, which is light or
dark as the page is. They show ``results/*.jsonl`` and ``results/per_user``; ``--check``
only compares the pictures with these files, and fails if anything differs. The curves
of `_limits_chart` are drawn, too: ``limits.svg``.

Each row is a data set and a way to hold events out, those in the order of time first. A
mark stands at a system's NDCG divided by that of the best other system, which is chosen
by the very figure that is drawn: this favors the others. A bar is the 95 % interval of
the difference from that system, as in the claims of texts (`_claims`). A hollow mark is
of a system for which fewer than 20 settings were tried, or whose best setting was at an
edge of what was tried. The second panel has the processor time of the fit on one core.

A picture holds the figures that it shows (``Description`` of its metadata, as JSON).
"""

import argparse
import json
import textwrap
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from _claims import CHEAPEST, NAMES, half_interval
from _limits import NAME as LIMITS
from _limits_chart import pictures
from _queries import RESULTS, read
from _search import is_settled

FOLDER = Path(__file__).parents[1] / "docs" / "_static"
DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"
OURS, IN_TIME = "TwoTowerRecommender", "TwoTowerRecommender(time)"


class Row(NamedTuple):
    """A row of the picture: a data set, a split, and the result files that have it."""

    name: str
    data: str
    figure: str
    files: tuple


def next_item(name, data, *more):
    return Row(name, data, "ndcg@10", ("next", *more))


def of_quality(name, data, figure="ndcg@20"):
    return Row(name, data, figure, (f"quality_{data}",))


GROUPS = {
    "Next item: the last event of each user is hidden": [
        next_item("Amazon Beauty", "beauty-last"),
        next_item("Amazon Sports", "sports-last"),
        next_item("MovieLens 1M", "ml-1m-last"),
        next_item("MovieLens 100K", "ml-100k-last", "quality_ml-100k-last"),
        next_item("MovieLens latest", "ml-latest-last"),
    ],
    "Later events: the last tenth or fifth of all events is hidden": [
        next_item("Online Retail", "online-retail", "quality_online-retail"),
        next_item("MovieLens 100K", "ml-100k-time"),
        next_item("MovieLens latest", "ml-latest-time"),
    ],
    "The test part that comes with the data": [of_quality("Gowalla", "gowalla")],
    "A random part is hidden: the future helps to guess the past": [
        of_quality("Gowalla", "gowalla-random"),
        of_quality("MovieLens 1M", "ml-1m"),
        of_quality("MovieLens 100K", "ml-100k", "ndcg@10"),
        of_quality("Last.FM", "lastfm"),
        of_quality("CiteULike", "citeulike-random"),
        of_quality("Amazon Sports", "sports-random"),
    ],
}

COUNTING = ["item-kNN", "item-kNN (decay)", "RP3beta", "SLIM", "LightFM", "Mult-VAE"]
COUNTING += ["XSimGCL", "iALS", f"iALS{CHEAPEST}", "GF-CF", f"GF-CF{CHEAPEST}"]
COUNTING += ["GF-CF (defaults)", "ChebyCF (defaults)"]


class Family(NamedTuple):
    """Systems that share a mark: its shape, its size, its colors on light and dark."""

    marker: str
    size: float
    light: str
    dark: str
    systems: list


FAMILIES = {
    "best sellers": Family(
        "s", 4, "#8c959f", "#7d8590", ["popularity", "recent popularity"]
    ),
    "EASE": Family("D", 4.5, "#0969da", "#79c0ff", ["EASE"]),
    "item-kNN, RP3beta, SLIM, iALS, GF-CF and others": Family(
        "o", 4.5, "#54aeff", "#388bfd", COUNTING
    ),
    "ridge, Markov chain (last items)": Family(
        "v", 5, "#bf8700", "#d29922", ["ridge", "Markov chain"]
    ),
    "SASRec, eSASRec, HSTU": Family(
        "^", 5, "#8250df", "#bc8cff", ["SASRec", "eSASRec", "HSTU", "HSTU(time)"]
    ),
    "sktwotower": Family("o", 6.5, "#ee7b5b", "#c2604f", [OURS]),
    "sktwotower with time=": Family("o", 8, "#cf222e", "#ff8f87", [IN_TIME]),
}
NEVER_TUNED = ("popularity", OURS, IN_TIME, "GF-CF (defaults)", "ChebyCF (defaults)")


def figures(results=RESULTS):
    """Return what is drawn: a dict of systems for each row, by group and data.

    Of a system: its NDCG, the share of that of the best other, half the interval of
    this share, the seconds of its fit (None: not recorded), and whether it is hollow.
    """
    return {
        f"{group}: {row.name}": figures_of(row, results)
        for group, rows in GROUPS.items()
        for row in rows
    }


def figures_of(row, results):
    found = {}
    for file in row.files:
        for system in (s for family in FAMILIES.values() for s in family.systems):
            rows = [
                each
                for each in read(file, results)
                if (each.get("data"), each.get("system")) == (row.data, system)
                and row.figure in each
            ]
            if rows and system not in found:
                found[system] = file, rows
    means = {name: _mean(rows, row.figure) for name, (_, rows) in found.items()}
    best = max((n for n in means if n not in (OURS, IN_TIME)), key=means.get)
    return {
        name: {
            "ndcg": round(means[name], 3),
            "share": round(means[name] / means[best], 3),
            "half": _half(row, found, means, name, best, results),
            "fit_s": _seconds(rows),
            "hollow": _is_hollow(name, rows),
            "best": name == best,
        }
        for name, (_, rows) in found.items()
    }


def _half(row, found, means, name, best, results):
    """Return half the interval of the difference from the best, as a share of it."""
    if name == best:
        return 0
    specs = [
        {"file": found[each][0], "data": row.data, "show": row.figure, "system": each}
        for each in (name, best)
    ]
    return round(half_interval(*specs, results=results) / means[best], 3)


def _seconds(rows):
    known = [row["fit_cpu_s"] for row in rows if row.get("fit_cpu_s")]
    return float(f"{sum(known) / len(known):.2g}") if known else None


def _is_hollow(name, rows):
    if name in NEVER_TUNED:
        return False
    return not all("trials" in row and is_settled(row) for row in rows)


def _mean(rows, figure):
    return sum(row[figure] for row in rows) / len(rows)


def drawn(path):
    """Return the figures that a picture shows."""
    text = ElementTree.parse(path).find(f".//{DESCRIPTION}").text
    return json.loads(text)


class Ink(NamedTuple):
    """Colors of text and lines."""

    text: str
    quiet: str
    faint: str


LIGHT, DARK = Ink("#1f2328", "#59636e", "#d1d9e0"), Ink("#e6edf3", "#9198a1", "#3d444d")
TITLE = "NDCG and seconds of fit of each system and data set"
GROUNDS = "#ffffff", "#0d1117"


class Layout(NamedTuple):
    """The size of a picture in inches, of words in points, and places of its parts."""

    width: float
    row: float  # the height of a row
    more: float  # the height of what is not rows
    words: float
    small: float
    sides: tuple  # left, bottom, right, top of the panels, as parts of the picture
    left: float  # where names begin
    shift: float  # how far below its name a row has its marks
    n_letters: int  # of a line of a heading
    n_legend: int  # columns of the legend
    labels: tuple  # of the panels
    seconds: tuple  # ticks
    note: str  # what the small words are
    below: float  # how far below the panel the note is

    @property
    def is_narrow(self):
        return self.shift > 0


WIDE = Layout(
    8.5, 0.33, 1.1, 8.5, 7, (0.17, 0.07, 0.995, 0.93), -0.43, 0, 80, 4,
    ("NDCG, divided by that of the best other system", "time of the fit, on one core"),
    (0.01, 0.1, 1, 10, 100), "small: the best\nother system, its NDCG", 0.25,
)  # fmt: skip
NARROW = Layout(
    4.4, 0.53, 2.6, 9.8, 9.5, (0.03, 0.07, 0.97, 0.86), 0, 0.4, 44, 1,
    ("NDCG / best other system's", "time of the fit"),
    (0.01, 1, 100), "small: the best other system, its NDCG", 1.3,
)  # fmt: skip
PICTURES = {
    "results_light": (WIDE, False),
    "results_dark": (WIDE, True),
    "narrow/results": (NARROW, False),
}


def draw(found, path, layout, is_dark):
    """Write the picture of figures."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    ink = DARK if is_dark else LIGHT
    n_lines = sum(map(len, GROUPS.values())) + len(GROUPS)
    style = {"svg.fonttype": "none", "svg.hashsalt": "results"}
    style |= {"font.size": layout.words, "axes.facecolor": "none"}
    style |= {"text.color": ink.text, "xtick.color": ink.quiet}
    size = layout.width, layout.row * n_lines + layout.more
    with plt.rc_context(style):
        figure, panels = plt.subplots(ncols=2, figsize=size, width_ratios=(2.1, 1))
        figure.subplots_adjust(*layout.sides, wspace=0.04)
        places = _names(found, panels[0], layout, ink)
        _panels(panels, places, layout, ink)
        marks = [_marks(found, places, panels, name, is_dark) for name in FAMILIES]
        figure.legend(
            handles=[*marks, _hollow_mark(ink)], loc="upper left",
            ncols=layout.n_legend, frameon=False, fontsize=layout.small + 0.5,
            handletextpad=0.1, columnspacing=0.8, borderpad=0, borderaxespad=0.2,
        )  # fmt: skip
        metadata = {
            "Date": None,
            "Description": json.dumps(found, separators=(",", ":")),
            "Title": TITLE,
        }
        # where only the light one is shown, it can be read on any background
        ground = "none" if is_dark else GROUNDS[0]
        figure.savefig(path, facecolor=ground, metadata=metadata)
        plt.close(figure)
    if layout.is_narrow:
        _add_dark(path)


def _add_dark(path):
    """Let a light picture have the colors of the dark where the page is dark."""
    pairs = [*zip(LIGHT, DARK, strict=True), GROUNDS]
    pairs += [(family.light, family.dark) for family in FAMILIES.values()]
    rules = [
        f'[style*="{what}: {light}"] {{ {what}: {dark} !important }}'
        for light, dark in pairs
        for what in ("fill", "stroke")
    ]
    dark = "\n".join(["@media (prefers-color-scheme: dark) {", *rules, "}"])
    text = path.read_text(encoding="utf-8")
    text = text.replace("</metadata>", f"</metadata>\n<style>{dark}</style>", 1)
    path.write_text(text, encoding="utf-8")


def _names(found, panel, layout, ink):
    """Write the names of rows, and return the height of each."""
    places, at = {}, 0
    for group, rows in GROUPS.items():
        title = textwrap.fill(group, layout.n_letters)
        panel.text(layout.left, at, title, weight="bold", va="center")
        for row in rows:
            at += 1
            places[f"{group}: {row.name}"] = at + layout.shift
            systems = found[f"{group}: {row.name}"]
            best = next(name for name, each in systems.items() if each["best"])
            named = NAMES.get(best, best).removesuffix(CHEAPEST)
            said = f"{named} {_short(systems[best]['ndcg'])}"
            panel.text(layout.left, at - 0.14, row.name, va="center")
            small = {"va": "center", "color": ink.quiet, "size": layout.small}
            if layout.is_narrow:  # both in one line
                panel.text(2.5, at - 0.14, said, ha="right", **small)
            else:
                panel.text(layout.left, at + 0.26, said, **small)
        at += 1
    return places


def _panels(panels, places, layout, ink):
    (ndcg, seconds), bottom = panels, max(places.values()) + 0.6
    ndcg.axvline(1, color=ink.quiet, linewidth=1, zorder=0)
    ticks = {0: "0", 0.25: ".25", 0.5: ".5", 0.75: ".75", 1: "1", 1.25: "1.25"}
    ndcg.set(xlim=(0, 1.65))
    ndcg.set_xticks([*ticks, 1.5], [*ticks.values(), "1.5"])
    note = {"size": layout.small, "va": "top", "color": ink.quiet}
    ndcg.text(layout.left, bottom + layout.below, layout.note, **note)
    seconds.set(xscale="log", xlim=(0.006, 900))
    seconds.set_xticks(layout.seconds, [f"{each:g} s" for each in layout.seconds])
    seconds.minorticks_off()
    for axes, label in zip(panels, layout.labels, strict=True):
        axes.set_xlabel(label, color=ink.quiet)
        axes.set(yticks=(), ylim=(bottom, -0.6))
        axes.hlines(
            places.values(), *axes.get_xlim(), ink.faint, linewidth=0.6, zorder=0
        )
        axes.tick_params(length=0, labelsize=layout.small + 0.5)
        axes.spines[:].set_visible(False)


def _marks(found, places, panels, name, is_dark):
    """Draw the marks of a family, and return one for the legend."""
    family = FAMILIES[name]
    color, is_ours = family.dark if is_dark else family.light, OURS in family.systems
    is_ours |= IN_TIME in family.systems
    shape = {"marker": family.marker, "markersize": family.size, "color": color}
    shape |= {"linestyle": "none", "markeredgewidth": 1.1}
    for hollow in (False, True):
        each = [
            (places[row] + (-0.16 if is_ours else 0.16), systems[system])
            for row, systems in found.items()
            for system in family.systems
            if system in systems and systems[system]["hollow"] == hollow
        ]
        look = shape | {"markerfacecolor": "none"} if hollow else shape
        _points(panels, each, look | {"zorder": 3 + is_ours}, is_ours)
    if is_ours:
        _values(found, places, panels[0], family.systems[0])
    return panels[0].plot([], [], label=name, **shape)[0]


def _points(panels, each, look, is_ours):
    heights = [at for at, _ in each]
    shares, halves = ([one[key] for _, one in each] for key in ("share", "half"))
    ends = [
        (share - half, share + half, None)
        for share, half in zip(shares, halves, strict=True)
    ]
    bars = {"color": look["color"], "linewidth": 2 if is_ours else 0.7}
    bars |= {"alpha": 1 if is_ours else 0.8, "zorder": look["zorder"] - 0.1}
    along = [at for at in heights for _ in range(3)]
    panels[0].plot([end for three in ends for end in three], along, **bars)
    panels[0].plot(shares, heights, **look)
    timed = [(one["fit_s"], at) for at, one in each if one["fit_s"]]
    panels[1].plot(*(zip(*timed, strict=True) if timed else ((), ())), **look)


def _values(found, places, panel, system):
    """Write the NDCG of ours, with times where it has them."""
    for row, systems in found.items():
        if system not in systems or (system == OURS and IN_TIME in systems):
            continue
        ours = [systems[name] for name in (OURS, IN_TIME) if name in systems]
        end = max(one["share"] + max(one["half"], 0.03) for one in ours) + 0.02
        how = {"weight": "bold", "va": "center"}
        panel.text(end, places[row] - 0.16, _short(systems[system]["ndcg"]), **how)


def _hollow_mark(ink):
    from matplotlib.lines import Line2D

    look = {"marker": "o", "markersize": 4.5, "linestyle": "none"}
    look |= {"color": ink.text, "markerfacecolor": "none"}
    return Line2D([], [], label="hollow: fewer than 20 settings tried", **look)


def _short(value):
    return f"{value:.3f}".removeprefix("0")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", "--quick", action="store_true", help="write nothing")
    own = parser.parse_args()
    found = figures()
    for name, how in PICTURES.items():
        path = FOLDER / f"{name}.svg"
        if own.check:
            then = drawn(path)
            others = [row for row in found if found[row] != then.get(row)]
            assert then == found, f"{path.name} shows other figures: {others}"
        else:
            draw(found, path, *how)
    for name, text in pictures(read(LIMITS)).items():
        path = FOLDER / f"{name}.svg"
        if own.check:
            assert path.read_text("utf-8") == text, f"{path.name} shows other figures"
        else:
            path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
