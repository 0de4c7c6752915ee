"""Rendering of a report as text and as HTML.

Input: the figures of a report, rows (group, model), columns by metric and k.
Output: the same frame, which prints as a table and displays as HTML in a notebook.
"""

import textwrap
from contextlib import suppress
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

import pandas as pd

from sktwotower._tables._frames import PANDAS
from sktwotower._tables._output import in_library

from ._groups import OF_ALL_LISTS, OF_LISTS
from ._hits import ERRORS_IN_INTERVAL
from ._verdict import (
    Verdict,
    models_without_scores,
    number,
    said_of_models_without_scores,
    verdict_of,
)

# The columns that say how large a group is.
SIZES = "users", "requests", "lists", "events"
SHORT = {"long_tail_share": "long tail", "intra_list_diversity": "diversity"}
WIDTH = 80  # columns of a terminal


class Layout(NamedTuple):
    """What one table of a report shows.

    Parameters
    ----------
    caption : str
    with_interval : list of str
        Columns that are shown with intervals and differences: what is found, in all
        groups; higher is better. None: `plain` is what the lists of all users are like.
    plain : dict of str to str
        Further columns and their titles.
    """

    caption: str
    with_interval: list
    plain: dict

    def titles(self):
        """Return the titles of the cells."""
        titles = []
        for name in self.with_interval:
            titles += [name, "difference"]
        return [*titles, *self.plain.values()]


def _layouts(frame):
    """Yield the ``Layout`` of each table of a report, some for each k."""
    for k in frame.attrs["k"]:
        if "lists" in frame.attrs:
            figures = ["roc_auc", f"ndcg@{k}"]
            yield Layout(f"Within lists, first {k} places", figures, {"mrr": "mrr"})
            continue
        hits = {f"mrr@{k}": "mrr", f"hit_rate@{k}": "hit"}
        yield Layout(f"First {k} places", [f"recall@{k}", f"ndcg@{k}"], hits)
        titles = {}
        for metric in (*OF_ALL_LISTS, *OF_LISTS):
            titles[f"{metric}@{k}"] = SHORT.get(metric, metric)
        yield Layout(f"What is in the first {k} places", [], titles)


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
            A named tuple of 'word' ("ahead", "tied", "unclear" or "behind"), 'model',
            'other', 'metric', 'difference', 'lower', 'upper', 'higher' and 'n_users';
            ``str()`` makes it text. It is "unclear" if the users are too few to tell:
            the interval covers zero and is wider than a fifth of the figure. 'higher'
            are the names of all models with a higher figure. It is also "unclear" with
            fewer than 30 users. None if there is no other model that can score what is
            to be found: popularity cannot, where all of it is new.

        Raises
        ------
        ValueError
            If the report was changed in place, and lacks what a verdict needs.
        """
        try:
            return verdict_of(self)
        except KeyError as error:
            raise ValueError(
                f"The report was changed in place. It lacks {error}, which a verdict "
                "needs. Change a copy: report.copy()."
            ) from None

    def __repr__(self):
        with suppress(LookupError):  # of a column or row: the frame has changed
            # the verdict, all tables and the notes, for a terminal
            said = [str(verdict_of(self) or ""), said_of_models_without_scores(self)]
            verdict = textwrap.fill(" ".join(filter(None, said)), WIDTH)
            tables = [_text(self, layout) for layout in _layouts(self)]
            notes = "\n".join(textwrap.fill(note, WIDTH) for note in _notes(self))
            return "\n\n".join([verdict, *tables, notes]).lstrip("\n")
        return super().__repr__()

    def _repr_html_(self):
        with suppress(LookupError):
            # the verdict and bars of its figure; below them all else, folded
            layouts = [*_layouts(self)]
            verdict = verdict_of(self)
            word = ""
            if verdict is not None:
                word = verdict.word
            lost = said_of_models_without_scores(self)
            said = " ".join(filter(None, [str(verdict or ""), lost]))
            drawn = [layout for layout in layouts if layout.with_interval][-1]
            path = Path(__file__).with_name("report.html")
            template = Template(path.read_text(encoding="utf-8"))
            return template.substitute(
                word=word,
                verdict=escape(said),
                bars=_bars(_groups(self, drawn), drawn.with_interval[1]),
                tables="".join(_html(self, layout) for layout in layouts),
                notes="".join(f"<li>{escape(note)}</li>" for note in _notes(self)),
            )
        return super()._repr_html_()


def _cells(row, layout, first, is_lost):
    """Yield column and text of the cells of a row, in the order of the titles.

    ``is_lost``: whether the model can score nothing of what is to be found.
    """
    for name in layout.with_interval:
        less = f"{name} diff"
        difference = number(row[less], "+") + _margin(row[f"{less} se"])
        yield name, number(row[name]) + _margin(row[f"{name} se"])
        if first:
            difference = ""
        elif is_lost:
            difference = "n/a"
        yield less, difference
    for name in layout.plain:
        digits = 3
        if name.startswith("novelty"):
            digits = 2
        yield name, number(row[name], digits=digits)


def _margin(error):
    """Return half of a 95 % interval; empty without one, as for a single user."""
    if pd.isna(error):
        return ""
    return f"±{number(ERRORS_IN_INTERVAL * error)}"


def _groups(frame, layout):
    """Yield the name of each group, its size in words, and its rows by model."""
    sizes = [name for name in SIZES if name in frame.columns]
    groups = frame.index.unique("group")
    if not layout.with_interval:
        groups = groups[:1]
    for group in groups:
        rows = pd.DataFrame(frame).loc[group]
        numbers = rows[sizes].iloc[0].astype(int)
        yield group, ", ".join(f"{numbers[name]:,} {name}" for name in sizes), rows


def _text(frame, layout):
    """Return one table, in at most 80 columns for names of usual length."""
    width = max(map(len, frame.index.get_level_values("model"))) + 1
    widths = [12, 13] * len(layout.with_interval)
    widths += [max(len(title) + 2, 5) for title in layout.plain.values()]

    def line(name, cells):
        padded = (f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True))
        return f" {name:<{width - 1}}{''.join(padded)}".rstrip()

    lines = [line("", layout.titles())]
    for group, size, rows in _groups(frame, layout):
        lines.append(f"{group}: {size}")
        lost = models_without_scores(frame, group)
        for place, (name, row) in enumerate(rows.iterrows()):
            shown = _cells(row, layout, place == 0, name in lost)
            cells = [text for _, text in shown]
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
        lost = models_without_scores(frame, group)
        best = rows[[*layout.with_interval, *layout.plain]].max()
        for place, (name, row) in enumerate(rows.iterrows()):
            cells = ""
            for column, text in _cells(row, layout, place == 0, name in lost):
                is_best = layout.with_interval and row[column] == best.get(column)
                text = text.replace("±", "<wbr>±")  # on a phone in two lines
                if is_best:
                    text = f"<b>{text}</b>"
                cells += f"<td>{text}</td>"
            lines.append(f"<tr><th>{escape(str(name))}</th>{cells}</tr>")
    return f"<table><caption>{layout.caption}</caption>{''.join(lines)}</table>"


def _bars(groups, metric):
    """Return a list of bars for each group, with 95 % intervals, on one scale.

    ``groups``: name, size in words and rows by model of each group.
    """
    groups = list(groups)
    most = max(_ends(rows, metric)[1].max() for _, _, rows in groups) or 1
    lists = []
    for group, size, rows in groups:
        widths = 100 / most * rows[metric]
        lowers, uppers = _ends(rows, metric)
        lowers = 100 / most * lowers
        uppers = 100 / most * uppers
        lines = []
        for name, mean, width, lower, upper in zip(
            rows.index, rows[metric], widths, lowers, uppers, strict=True
        ):
            interval = f"left: {lower:.1f}%; width: {upper - lower:.1f}%"
            lines.append(
                f"<li><span>{escape(str(name))}</span>"
                "<span class='bar' aria-hidden='true'>"
                f"<i style='width: {width:.1f}%'></i><s style='{interval}'></s></span>"
                f"<span>{number(mean)}</span></li>"
            )
        label = f"{escape(group)} <small>{metric}, {size}</small>"
        lists.append(f"<div>{label}<ul class='bars'>{''.join(lines)}</ul></div>")
    return "".join(lists)


def _ends(rows, metric):
    """Return both ends of the intervals, of no width where there is none."""
    half = ERRORS_IN_INTERVAL * rows[f"{metric} se"].fillna(0)
    return (rows[metric] - half).clip(lower=0), rows[metric] + half


def _notes(frame):
    """Return sentences on the split, the figures, and on what does not count."""
    first = frame.index.get_level_values("model")[0]
    row = "list" if "lists" in frame.attrs else "user"
    if "requests" in frame.columns:
        row = "request"
    split = frame.attrs.get("split")
    notes = [split, f"± 95 % interval; difference from {first}, {row} by {row}."]
    if frame.attrs.get("cannot_score"):
        notes.append(
            "n/a: a model that can score none of what is to be found in the group."
        )
    if row != "user":
        notes.append(f"The mean over {row}s; those of one user count as one cluster.")
    if row == "list":
        errors = frame.loc["all", "expected_calibration_error"].dropna()
        named = ", ".join(f"{name} {number(error)}" for name, error in errors.items())
        if named:
            notes.append(f"Expected calibration error: {named}.")
    else:
        notes.append(
            f"mrr: mean of 1 / rank of the first hit; hit: share of {row}s with one. "
            "gini: 0 if all items are recommended equally often, 1 if one item is; "
            "novelty: in bits; long tail: all items except the most popular ones with "
            "80 % of the events; diversity: mean of 1 - cosine of two items of a list."
        )
        notes += _cold_items(frame, first)
        notes.append(frame.attrs["best_sellers"])
    left_out = frame.attrs.get("left_out", {})
    reasons = [f"{n:,} {reason}" for reason, n in left_out.items() if n]
    what = "Left out"
    if split:
        what = "Also left out"
    notes.append(f"{what}: {', '.join(reasons) or 'nothing'}.")
    lost = frame.attrs.get("events_not_in_catalog", 0)
    if lost:
        notes.append(f"Misses: {lost:,} events with an item not in the catalog.")
    return [note for note in notes if note]


def _cold_items(frame, name):
    """Yield a sentence on the places that cold items take in the lists of a model."""
    row = frame.loc["all"].iloc[0]
    for k in frame.attrs["k"]:
        cold = row[f"cold_precision@{k}"]
        all_items = row[f"precision@{k}"]
        right = f"of these places {cold:.1%} are right, of all {k} {all_items:.1%}."
        if "cold items" not in frame.index:
            right = "no held-out event is of such an item."
        if row[f"cold_share@{k}"] > 0:
            yield (
                f"Items without an event in training take {row[f'cold_share@{k}']:.1%} "
                f"of the first {k} places of {name}; {right}"
            )
