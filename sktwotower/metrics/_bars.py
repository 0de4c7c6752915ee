"""Bars of one figure by group and model, as HTML.

Input: the rows of each group of a report, and the name of a figure.
Output: lists that read as text without their style: a name, a bar, a number.
"""

from html import escape

from ._hits import ERRORS_IN_INTERVAL
from ._verdict import number


def bars(groups, metric):
    """Return a list of bars for each group, with 95 % intervals, on one scale.

    ``groups``: name, size in words and rows by model of each group.
    """
    groups = list(groups)
    most = max(_ends(rows, metric)[1].max() for _, _, rows in groups) or 1
    lists = []
    for group, size, rows in groups:
        scaled = (100 / most * of for of in (rows[metric], *_ends(rows, metric)))
        lines = map(_bar, rows.index, rows[metric], *scaled)
        label = f"{escape(group)} <small>{metric}, {size}</small>"
        lists.append(f"<div>{label}<ul class='bars'>{''.join(lines)}</ul></div>")
    return "".join(lists)


def _ends(rows, metric):
    """Return both ends of the intervals, of no width where there is none."""
    half = ERRORS_IN_INTERVAL * rows[f"{metric} se"].fillna(0)
    return (rows[metric] - half).clip(lower=0), rows[metric] + half


def _bar(name, mean, width, lower, upper):
    interval = f"left: {lower:.1f}%; width: {upper - lower:.1f}%"
    return (
        f"<li><span>{escape(str(name))}</span><span class='bar' aria-hidden='true'>"
        f"<i style='width: {width:.1f}%'></i><s style='{interval}'></s></span>"
        f"<span>{number(mean)}</span></li>"
    )
