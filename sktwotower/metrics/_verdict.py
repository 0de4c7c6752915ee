"""The verdict of a report: whether its first model is ahead of the others.

Input: the figures of a report, rows (group, model), with paired differences.
Output: one of three words, with the difference and its 95 % interval.
"""

from typing import NamedTuple

import pandas as pd

from ._hits import ERRORS_IN_INTERVAL


class Verdict(NamedTuple):
    """How a model compares with the best of the others; ``str()`` says it in words.

    Parameters
    ----------
    word : {"ahead", "level", "behind"}
        "level" if the interval of the difference covers zero.
    model, other : str
        Names of the model, and of the one that it is compared with.
    metric : str
        Such as 'ndcg@20'.
    difference, lower, upper : float
        Mean of the differences, user by user, > 0 if `model` is better, with the ends
        of its 95 % interval.
    """

    word: str
    model: str
    other: str
    metric: str
    difference: float
    lower: float
    upper: float

    def __str__(self):
        metric, difference = self.metric.upper(), self.difference
        ends = f"95 % interval: {number(self.lower)} to {number(self.upper)}"
        if self.word == "level":
            words = f"{number(difference, '+')} {metric} is within noise ({ends})"
            return f"{self.model} is level with {self.other}: {words}."
        than = "ahead of" if self.word == "ahead" else "behind"
        words = f"by {number(abs(difference))} {metric}, beyond noise ({ends})"
        return f"{self.model} is {than} {self.other} {words}."


def verdict_of(report):
    """Return the ``Verdict`` on the first model of a report, by NDCG of most places.

    It is behind if any other model is better beyond noise, ahead if all are worse
    beyond noise, and level otherwise. Of the others that make it so, the highest mean
    is named. None without another model, or without intervals, as of a single user.
    """
    metric = f"ndcg@{max(report.attrs['k'])}"
    rows = pd.DataFrame(report).loc["all"]
    model, others = rows.index[0], rows.iloc[1:]
    if rows[f"{metric} diff"].iloc[0]:  # of another model than all differ from
        raise KeyError("its model in the first row")
    difference = -others[f"{metric} diff"]
    half = ERRORS_IN_INTERVAL * others[f"{metric} diff se"]
    lower, upper = difference - half, difference + half
    if others.empty or half.isna().any():
        return None
    found = {"behind": upper < 0, "level": lower <= 0, "ahead": lower > 0}
    word = next(word for word, models in found.items() if models.any())
    other = others.loc[found[word], metric].idxmax()
    ends = (float(of[other]) for of in (difference, lower, upper))
    return Verdict(word, model, other, metric, *ends)


def number(value, sign="", digits=4):
    """Return a number without the zero before its point: .123, -.123, 1.234."""
    return f"{value:{sign}z.{digits}f}".replace("0.", ".", int(abs(value) < 1))
