"""The verdict of a report: whether its first model is ahead of the others.

Input: the figures of a report, rows (group, model), with paired differences.
Output: one of four words, with the difference and its 95 % interval.
"""

from typing import NamedTuple

import pandas as pd

from ._hits import ERRORS_IN_INTERVAL


class Verdict(NamedTuple):
    """How a model compares with the best of the others; ``str()`` says it in words.

    Parameters
    ----------
    word : {"ahead", "level", "unclear", "behind"}
        "level" if the interval of the difference covers zero, and "unclear" if it is
        also wider than a fifth of the figure of `model`.
    model, other : str
        Names of the model, and of the one that it is compared with.
    metric : str
        Such as 'ndcg@20'.
    difference, lower, upper : float
        Mean of the differences, user by user, > 0 if `model` is better, with the ends
        of its 95 % interval.
    higher : tuple of str
        Names of all others with a higher figure, the highest first.
    n_users : int
        Number of users that count.
    """

    word: str
    model: str
    other: str
    metric: str
    difference: float
    lower: float
    upper: float
    higher: tuple[str, ...]
    n_users: int

    def __str__(self):
        model, other, metric = self.model, self.other, self.metric.upper()
        ends = f"95 % interval: {number(self.lower)} to {number(self.upper)}"
        if self.word in ("ahead", "behind"):
            than = "ahead of" if self.word == "ahead" else "behind"
            words = f"by {number(abs(self.difference))} {metric}, beyond noise ({ends})"
            return f"{model} is {than} {other} {words}."
        first = f"{model} is level with {other}"
        if self.word == "unclear":
            first = f"{self.n_users:,} users are too few to tell {model} from {other}"
        words = f"{number(self.difference, '+')} {metric} is within noise ({ends})."
        higher = f" {metric} is higher for {', '.join(self.higher)}."
        return f"{first}: {words}{higher if self.higher else ''}"


def verdict_of(report):
    """Return the ``Verdict`` on the first model of a report, by NDCG of most places.

    It is behind if any other model is better beyond noise, ahead if all are worse
    beyond noise, and level or unclear otherwise. Of the others that make it so, the
    highest mean is named. None without another model, or without intervals, as of a
    single user.
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
    ends = [float(of[other]) for of in (difference, lower, upper)]
    figure, n_users = rows[metric].iloc[0], int(rows["users"].iloc[0])
    if word == "level" and ends[2] - ends[1] > figure / 5:
        word = "unclear"
    higher = others.loc[others[metric] > figure, metric].sort_values(ascending=False)
    how = {"higher": tuple(higher.index), "n_users": n_users}
    return Verdict(word, model, other, metric, *ends, **how)


def number(value, sign="", digits=4):
    """Return a number without the zero before its point: .123, -.123, 1.234."""
    return f"{value:{sign}z.{digits}f}".replace("0.", ".", int(abs(value) < 1))
