"""Rendering of a report as text and as HTML.

Input: the figures of a report, rows (group, model), columns by metric and k.
Output: the same frame, which prints as a table and displays as HTML in a notebook.
"""

from html import escape

import pandas as pd

from ._hits import ERRORS_IN_INTERVAL

# Columns that are shown, by name and with their titles. BEST: higher is better.
WITH_INTERVAL = ["recall", "ndcg"]
PLAIN = {"mrr": "mrr", "hit_rate": "hit", "coverage": "cov.", "novelty": "nov."}
BEST = ["recall", "ndcg", "mrr", "hit_rate", "coverage"]
# Only the page's own colours, so that it reads on white and on black.
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


class Report(pd.DataFrame):
    """A DataFrame that shows one table per k; parts of it are plain DataFrames."""

    def __repr__(self):
        if not self._is_whole():
            return super().__repr__()
        return "\n\n".join([*(_text(self, k) for k in self.attrs["k"]), _notes(self)])

    def _repr_html_(self):
        if not self._is_whole():
            return super()._repr_html_()
        tables = "".join(_html(self, k) for k in self.attrs["k"])
        return f"{STYLE}{tables}<p>{escape(_notes(self)).replace(chr(10), '<br>')}</p>"

    def _is_whole(self):
        """Return whether all shown columns exist: the frame may have changed."""
        return bool(self.attrs.get("k")) and all(
            column in self.columns
            for k in self.attrs["k"]
            for column in [*_columns(k), "users", "events"]
        )


def _columns(k):
    """Return the columns that are shown, and the columns of their errors."""
    errors = [f"{name}@{k}{end}" for name in WITH_INTERVAL for end in (" se", " diff")]
    return [f"{name}@{k}" for name in [*WITH_INTERVAL, *PLAIN]] + errors


def _titles(k):
    with_interval = [
        title for name in WITH_INTERVAL for title in (f"{name}@{k}", "difference")
    ]
    return [*with_interval, *PLAIN.values()]


def _cells(row, k, first):
    """Return the shown cells of a row, in the order of the titles."""
    cells = []
    for name in WITH_INTERVAL:
        name = f"{name}@{k}"
        difference = row[f"{name} diff"], row[f"{name} diff se"]
        cells.append(_number(row[name]) + _margin(row[f"{name} se"]))
        cells.append(
            "" if first else _number(difference[0], "+") + _margin(difference[1])
        )
    cells += [
        _number(row[f"{name}@{k}"], digits=2 if name == "novelty" else 3)
        for name in PLAIN
    ]
    return cells


def _number(value, sign="", digits=4):
    """Return a number without the zero before its point: .123, -.123, 1.234."""
    return f"{value:{sign}.{digits}f}".replace("0.", ".", int(abs(value) < 1))


def _margin(error):
    """Return half of a 95 % interval; empty without one, as for a single user."""
    return "" if pd.isna(error) else f"±{_number(ERRORS_IN_INTERVAL * error)}"


def _groups(frame):
    """Yield the name of each group, its size in words, and its rows by model."""
    for group in dict.fromkeys(frame.index.get_level_values("group")):
        rows = pd.DataFrame(frame).loc[group]
        users, events = rows[["users", "events"]].iloc[0].astype(int)
        yield group, f"{users:,} users, {events:,} events", rows


def _text(frame, k):
    """Return the table of one k, in at most 100 columns for names of usual length."""
    width = max(map(len, frame.index.get_level_values("model"))) + 1
    widths = [13, 13] * len(WITH_INTERVAL) + [6] * len(PLAIN)

    def line(name, cells):
        padded = (f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True))
        return f" {name:<{width - 1}}{''.join(padded)}".rstrip()

    lines = [line("", _titles(k))]
    for group, size, rows in _groups(frame):
        lines.append(f"{group}: {size}")
        for place, (name, row) in enumerate(rows.iterrows()):
            lines.append(line(name, _cells(row, k, first=place == 0)))
    return "\n".join(lines)


def _html(frame, k):
    """Return the table of one k, the best figure of each group and column in bold."""
    titles = "".join(f"<th>{escape(title)}</th>" for title in _titles(k))
    lines = [f"<thead><tr><th></th>{titles}</tr></thead>"]
    for group, size, rows in _groups(frame):
        head = f"<b>{escape(group)}</b> <small>{size}</small>"
        lines.append(
            f"<tr class='group'><th colspan='{len(_titles(k)) + 1}'>{head}</th></tr>"
        )
        best = rows[[f"{name}@{k}" for name in BEST]].max()
        for place, (name, row) in enumerate(rows.iterrows()):
            cells = _cells(row, k, first=place == 0)
            shown = "".join(
                f"<td><b>{cell}</b></td>" if is_best else f"<td>{cell}</td>"
                for cell, is_best in zip(cells, _is_best(row, best, k), strict=True)
            )
            lines.append(f"<tr><th>{escape(str(name))}</th>{shown}</tr>")
    caption = f"<caption>First {k} places</caption>"
    return f"<table class='sktwotower-report'>{caption}{''.join(lines)}</table>"


def _is_best(row, best, k):
    """Return which shown cells hold the best figure of their group."""
    marks = []
    for name in [*WITH_INTERVAL, *PLAIN]:
        column = f"{name}@{k}"
        marks.append(name in BEST and row[column] == best[column])
        if name in WITH_INTERVAL:
            marks.append(False)
    return marks


def _notes(frame):
    """Return notes on the intervals, and on the events that do not count."""
    first = frame.index.get_level_values("model")[0]
    lines = [
        f"± 95 % interval over users; difference from {first}, user by user.",
        "hit: share of users with a hit; cov.: coverage; nov.: novelty in bits.",
    ]
    left_out = frame.attrs.get("left_out", {})
    reasons = [f"{n:,} {reason}" for reason, n in left_out.items() if n]
    lines.append(f"Left out: {', '.join(reasons) or 'nothing'}.")
    lost = frame.attrs.get("events_not_in_catalog", 0)
    if lost:
        lines.append(f"Misses: {lost:,} events with an item not in the catalog.")
    return "\n".join(lines)
