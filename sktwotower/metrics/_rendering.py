"""Rendering of a report as text and as HTML.

Input: the figures of a report, rows (group, model), columns by metric and k.
Output: the same frame, which prints as a table and displays as HTML in a notebook.
"""

from html import escape
from typing import NamedTuple

import pandas as pd

from sktwotower._tables._frames import PANDAS
from sktwotower._tables._output import in_library

from ._groups import OF_ALL_LISTS, OF_LISTS
from ._hits import ERRORS_IN_INTERVAL
from ._verdict import Verdict, number, verdict_of

# Only the page's own colors, so that it reads on white and on black.
STYLE = (
    "<style>"
    ".sktwotower-report {border-collapse: collapse; margin-bottom: 1em;"
    " font-variant-numeric: tabular-nums;}"
    ".sktwotower-report :is(th, td) {background: none; border: none; color: inherit;"
    " padding: 0.15em 0.6em; text-align: right; white-space: nowrap;}"
    ".sktwotower-report :is(th:first-child, caption) {text-align: left;}"
    ".sktwotower-report tbody th {font-weight: normal;}"
    ".sktwotower-report caption {caption-side: top; color: inherit;}"
    ".sktwotower-report .group th {border-top: 1px solid currentColor;"
    " padding-top: 0.4em;}"
    ".sktwotower-report small {opacity: 0.75;}"
    "</style>"
)

# The columns that say how large a group is.
SIZES = "users", "requests", "lists", "events"
BOLD = "Bold: the highest mean of the group, even if the lead is within the noise."
GROUPS = {
    "known items": "without events of items that are not in the catalog",
    "head items": "the most popular ones, with half of the training events together",
    "tail items": "all others",
    "few events": "users with the median number of training events at most",
    "many events": "all other users",
    "cold items": "those without an event in training",
    "cold users": "those without an event in training",
}


class Layout(NamedTuple):
    """What one table of a report shows.

    Parameters
    ----------
    caption : str
    with_interval : list of str
        Columns that are shown with intervals, and with differences.
    plain : dict of str to str
        Further columns and their titles.
    of_hits : bool, default=True
        Whether they say what is found: they are shown for all groups, and higher is
        better. False: they say what the lists of all users are like.
    """

    caption: str
    with_interval: list
    plain: dict
    of_hits: bool = True

    def titles(self):
        """Return the titles of the cells."""
        first = [t for name in self.with_interval for t in (name, "difference")]
        return [*first, *self.plain.values()]


def _layouts(frame):
    """Return the ``Layout`` of each table of a report, some for each k."""
    layouts_of = _layouts_of_lists if "lists" in frame.attrs else _layouts_of_catalog
    return [layout for k in frame.attrs.get("k", ()) for layout in layouts_of(k)]


def _layouts_of_catalog(k):
    """Return two: what is found by group, and what the lists of all users are like."""
    hits = {f"mrr@{k}": "mrr", f"hit_rate@{k}": "hit"}
    found = Layout(f"First {k} places", [f"recall@{k}", f"ndcg@{k}"], hits)
    metrics = [*OF_ALL_LISTS, *OF_LISTS]
    titles = {f"{metric}@{k}": metric.replace("_", " ") for metric in metrics}
    return found, Layout(f"What is in the first {k} places", [], titles, of_hits=False)


def _layouts_of_lists(k):
    figures = ["roc_auc", f"ndcg@{k}", "mrr"]
    return [Layout(f"Within lists, first {k} places", figures, {})]


class Report(pd.DataFrame):
    """A DataFrame that shows one table per k; parts of it are plain DataFrames."""

    _metadata = ["_library"]  # pandas copies and pickles it
    _library = PANDAS

    def to_frame(self) -> pd.DataFrame:
        """Return the figures with the columns 'group' and 'model' in place of an index.

        Returns
        -------
        DataFrame
            A table of the library of X (pandas, polars, pyarrow), of pandas for arrays.
        """
        return in_library(pd.DataFrame(self).reset_index(), self._library)

    def verdict(self) -> Verdict | None:
        """Return whether the first model is ahead of the others, by its NDCG.

        Returns
        -------
        Verdict
            A named tuple of 'word' ("ahead", "level" or "behind"), 'model', 'other',
            'metric', 'difference', 'lower' and 'upper'; ``str()`` makes it a sentence.
            None if there is no other model, or a single user.
        """
        return verdict_of(self)

    def __repr__(self):
        tables, notes = self._drawn(_text)
        return "\n\n".join([*tables, notes]) if tables else super().__repr__()

    def _repr_html_(self):
        tables, notes = self._drawn(_html)
        if not tables:
            return super()._repr_html_()
        notes = escape(f"{notes}\n{BOLD}{_groups_explained(self)}")
        return f"{STYLE}{''.join(tables)}<p>{notes.replace(chr(10), '<br>')}</p>"

    def _drawn(self, draw):
        """Return what ``draw`` makes of each table, none if the frame has changed.

        The second value are the notes below them.
        """
        try:
            return [draw(self, layout) for layout in _layouts(self)], _notes(self)
        except KeyError:  # of a column or of an index
            return [], ""


def _cells(row, layout, first):
    """Yield column and text of the cells of a row, in the order of the titles."""
    for name in layout.with_interval:
        less = f"{name} diff"
        difference = number(row[less], "+") + _margin(row[f"{less} se"])
        yield name, number(row[name]) + _margin(row[f"{name} se"])
        yield less, "" if first else difference
    for name in layout.plain:
        yield name, number(row[name], digits=2 if name.startswith("novelty") else 3)


def _margin(error):
    """Return half of a 95 % interval; empty without one, as for a single user."""
    return "" if pd.isna(error) else f"±{number(ERRORS_IN_INTERVAL * error)}"


def _groups(frame, layout):
    """Yield the name of each group, its size in words, and its rows by model."""
    sizes = [name for name in SIZES if name in frame.columns]
    for group in frame.index.unique("group")[: None if layout.of_hits else 1]:
        rows = pd.DataFrame(frame).loc[group]
        numbers = rows[sizes].iloc[0].astype(int)
        yield group, ", ".join(f"{numbers[name]:,} {name}" for name in sizes), rows


def _text(frame, layout):
    """Return one table, in at most 100 columns for names of usual length."""
    width = max(map(len, frame.index.get_level_values("model"))) + 1
    widths = [13, 13] * len(layout.with_interval)
    widths += [max(len(title) + 2, 6) for title in layout.plain.values()]

    def line(name, cells):
        padded = (f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True))
        return f" {name:<{width - 1}}{''.join(padded)}".rstrip()

    lines = [line("", layout.titles())]
    for group, size, rows in _groups(frame, layout):
        lines.append(f"{group}: {size}")
        for place, (name, row) in enumerate(rows.iterrows()):
            cells = [text for _, text in _cells(row, layout, first=place == 0)]
            lines.append(line(name, cells))
    return "\n".join(lines)


def _html(frame, layout):
    """Return one table, the best figure of each group and column in bold."""
    titles = layout.titles()
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    lines = [f"<thead><tr><th></th>{head}</tr></thead>"]
    for group, size, rows in _groups(frame, layout):
        head = f"<b>{escape(group)}</b> <small>{size}</small>"
        span = len(titles) + 1
        lines.append(f"<tr class='group'><th colspan='{span}'>{head}</th></tr>")
        best = rows[[*layout.with_interval, *layout.plain]].max()
        for place, (name, row) in enumerate(rows.iterrows()):
            cells = []
            for column, text in _cells(row, layout, first=place == 0):
                if layout.of_hits and row[column] == best.get(column):
                    text = f"<b>{text}</b>"
                cells.append(f"<td>{text}</td>")
            lines.append(f"<tr><th>{escape(str(name))}</th>{''.join(cells)}</tr>")
    caption = f"<caption>{layout.caption}</caption>"
    return f"<table class='sktwotower-report'>{caption}{''.join(lines)}</table>"


def _groups_explained(frame):
    """Return what the groups are, in a line; empty for groups of lists."""
    groups = [] if "lists" in frame.attrs else frame.index.unique("group")
    text = "; ".join(f"{group}: {GROUPS[group]}" for group in groups if group in GROUPS)
    return f"\n{text}." if text else ""


def _notes(frame):
    """Return notes on the intervals, and on what does not count."""
    first = frame.index.get_level_values("model")[0]
    row = "list" if "lists" in frame.attrs else "user"
    row = "request" if "requests" in frame.columns else row
    lines = [f"± 95 % interval over users; difference from {first}, user by user."]
    if row != "user":
        lines = [f"± 95 % interval; difference from {first}, {row} by {row}."]
        lines.append(f"The mean over {row}s; those of one user count as one cluster.")
    if row == "list":
        errors = frame.loc["all", "expected_calibration_error"].dropna()
        named = ", ".join(f"{name} {number(error)}" for name, error in errors.items())
        lines += [f"Expected calibration error: {named}."] if named else []
    else:
        lines.append(
            f"mrr: mean of 1 / rank of the first hit; hit: {row}s with one. gini: 0 if "
            "all items are\nrecommended equally often, 1 if one item is; novelty: in "
            "bits; long tail: all items except the\nmost popular ones with 80 % of the "
            "events; diversity: mean of 1 - cosine of two items of a list."
        )
        lines += _cold_items(frame, first)
        lines += [frame.attrs["best_sellers"]] if frame.attrs["best_sellers"] else []
    left_out = frame.attrs.get("left_out", {})
    reasons = [f"{n:,} {reason}" for reason, n in left_out.items() if n]
    lines.append(f"Left out: {', '.join(reasons) or 'nothing'}.")
    lost = frame.attrs.get("events_not_in_catalog", 0)
    if lost:
        lines.append(f"Misses: {lost:,} events with an item not in the catalog.")
    return "\n".join(lines)


def _cold_items(frame, name):
    """Yield a line on the places that cold items take in the lists of a model."""
    row = frame.loc["all"].iloc[0]
    for k in frame.attrs["k"]:
        if row[f"cold_share@{k}"] > 0:
            right = "no held-out event is of such an item."
            if "cold items" in frame.index:
                right = (
                    f"of these places {row[f'cold_precision@{k}']:.1%} are right, of "
                    f"all {k} on average {row[f'precision@{k}']:.1%}."
                )
            yield (
                f"Items without an event in training take {row[f'cold_share@{k}']:.1%} "
                f"of the first {k} places of {name};\n{right}"
            )
