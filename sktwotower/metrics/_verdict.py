"""The verdict of a report: whether its first model is ahead of the others.

Input: the figures of a report, rows (group, model), with paired differences.
Output: one of four words, with the difference and its 95 % interval.
"""

from typing import NamedTuple

import pandas as pd

from ._hits import ERRORS_IN_INTERVAL

# With fewer users an interval of 1.96 standard errors says little.
MIN_USERS = 30


class Verdict(NamedTuple):
    """How a model compares with the best of the others; ``str()`` says it in words.

    Parameters
    ----------
    word : {"ahead", "tied", "unclear", "behind"}
        "tied" if the interval of the difference covers zero, and "unclear" if it is
        also wider than a fifth of the figure of `model`. "unclear" as well with fewer
        than 30 users.
    model, other : str
        Names of the model, and of the one that it is compared with.
    metric : str
        Such as 'ndcg@20'.
    difference, lower, upper : float
        Mean of the differences, user by user, > 0 if `model` is better, with the ends
        of its 95 % interval; nan for a single user.
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
        model = self.model
        other = self.other
        metric = self.metric.upper()
        ends = f"95 % interval: {number(self.lower)} to {number(self.upper)}"
        if self.word in ("ahead", "behind"):
            than = "ahead of" if self.word == "ahead" else "behind"
            words = f"by {number(abs(self.difference))} {metric}, beyond noise ({ends})"
            return f"{model} is {than} {other} {words}."
        first = f"{model} is tied with {other}"
        if self.word == "unclear":
            users = "1 user is"
            if self.n_users != 1:
                users = f"{self.n_users:,} users are"
            first = f"{users} too few to tell {model} from {other}"
        words = f"{number(self.difference, '+')} {metric} is within noise ({ends})."
        if self.n_users < MIN_USERS:
            words = f"a verdict needs {MIN_USERS}."
        higher = f" {metric} is higher for {', '.join(self.higher)}."
        return f"{first}: {words}{higher if self.higher else ''}"


def verdict_of(report):
    """Return the ``Verdict`` on the first model of a report, by NDCG of most places.

    It is behind if any other model is better beyond noise, ahead if all are worse
    beyond noise, and tied or unclear otherwise. Of the others that make it so, the
    highest mean is named. Models that cannot score what is to be found do not count.
    None if there are no others, or the first model is one of them, and if there are no
    intervals.
    """
    metric = f"ndcg@{max(report.attrs['k'])}"
    rows = pd.DataFrame(report).loc["all"]
    model = rows.index[0]
    others = rows.iloc[1:]
    if rows[f"{metric} diff"].iloc[0]:  # of another model than all differ from
        raise KeyError("its model in the first row")
    lost = models_without_scores(report)
    others = others.drop(index=[name for name in lost if name in others.index])
    difference = -others[f"{metric} diff"]
    half = ERRORS_IN_INTERVAL * others[f"{metric} diff se"]
    lower = difference - half
    upper = difference + half
    figure = rows[metric].iloc[0]
    n_users = int(rows["users"].iloc[0])
    if others.empty or model in lost or (half.isna().any() and n_users > 1):
        return None
    outcomes = {"behind": upper < 0, "tied": lower <= 0, "ahead": lower > 0}
    if n_users < MIN_USERS:
        outcomes = {"unclear": others[metric].notna()}
    word = next(word for word, models in outcomes.items() if models.any())
    other = others.loc[outcomes[word], metric].idxmax()
    if word == "tied" and upper[other] - lower[other] > figure / 5:
        word = "unclear"
    higher = others.loc[others[metric] > figure, metric].sort_values(ascending=False)
    return Verdict(
        word,
        model,
        other,
        metric,
        difference=float(difference[other]),
        lower=float(lower[other]),
        upper=float(upper[other]),
        higher=tuple(higher.index),
        n_users=n_users,
    )


def models_without_scores(report, group="all"):
    """Return the names of models that can score nothing of a group, a tuple."""
    return report.attrs.get("cannot_score", {}).get(group, ())


def said_of_models_without_scores(report):
    """Return a sentence on the models that cannot be compared with, or ""."""
    lost = models_without_scores(report)
    if not lost:
        return ""
    ending = "s" if len(lost) == 1 else ""
    why = f"which know{ending} none of the items to be found"
    if "lists" in report.attrs:
        why = f"which score{ending} all rows alike"
    names = lost[0]
    if len(lost) > 1:
        names = f"{', '.join(lost[:-1])} and {lost[-1]}"
    said = f"{names}, {why}."
    rows = pd.DataFrame(report).loc["all"]
    model = rows.index[0]
    others = rows.index[1:]
    if model in lost:
        return f"There is no verdict on {said}"
    if set(others) <= set(lost):
        return (
            f"There is nothing to compare with, except {said} Pass a baseline that "
            "reads features of items, such as a ContentRecommender."
        )
    return f"Not compared with {said}"


def number(value, sign="", digits=4):
    """Return a number without the zero before its point: .123, -.123, 1.234."""
    return f"{value:{sign}z.{digits}f}".replace("0.", ".", int(abs(value) < 1))
