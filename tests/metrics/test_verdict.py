"""The verdict of a report: ahead, level or behind, by paired intervals."""

import functools

import numpy as np
import pandas as pd
import pytest

from sktwotower.metrics import retrieval_report
from tests.builders import TEST, TRAIN, FixedRanking, spelt


def report(**others):
    """Return a report of one model of NDCG .5 and others: (difference, its error)."""
    rows = {"mine": (0.0, 0.0)} | others
    table = pd.DataFrame(rows, index=["ndcg@5 diff", "ndcg@5 diff se"]).T
    table["ndcg@5"], table["users"] = 0.5 + table["ndcg@5 diff"], 1053
    table.index = pd.MultiIndex.from_product(
        [["all"], table.index], names=["group", "model"]
    )
    return as_report(table, k=(2, 5))


def as_report(table, **attrs):
    """Return a table as what `retrieval_report` returns, a dataframe of a subclass."""
    made = report_by_hand()
    changed = type(made)(table)
    changed.attrs = made.attrs | attrs
    return changed


@functools.cache
def report_by_hand():
    return retrieval_report(FixedRanking().fit(TRAIN), TEST, k=1)


def test_the_verdict_is_that_of_the_paired_intervals():
    for others, expected in [
        # 1.96 errors: a half of .0196
        ({"a": (-0.02, 0.01), "b": (-0.3, 0.01)}, ("ahead", "a")),
        ({"a": (-0.019, 0.01), "b": (-0.3, 0.01)}, ("tied", "a")),
        ({"a": (0.019, 0.01)}, ("tied", "a")),
        ({"a": (0.02, 0.01)}, ("behind", "a")),
        # the highest mean is not the one that counts: its interval is wide
        ({"a": (-0.01, 0.001), "b": (-0.02, 0.02)}, ("tied", "b")),
        ({"a": (0.03, 0.02), "b": (0.01, 0.001)}, ("behind", "b")),
        # wider than a fifth of .5, or not: twice 1.96 errors of .1
        ({"a": (0.01, 0.0256)}, ("unclear", "a")),
        ({"a": (0.01, 0.0255)}, ("tied", "a")),
        ({"a": (-0.01, 0.03)}, ("unclear", "a")),
        ({"a": (-0.07, 0.03)}, ("ahead", "a")),
        ({"a": (0.07, 0.03)}, ("behind", "a")),
        # only the interval of the one that is named counts
        ({"a": (0.01, 0.01), "b": (-0.01, 0.03)}, ("tied", "a")),
        # the same ranking
        ({"a": (0.0, 0.0)}, ("tied", "a")),
    ]:
        verdict = report(**others).verdict()
        assert (verdict.word, verdict.other) == expected
        difference, error = others[verdict.other]
        assert verdict.difference == -difference and verdict.model == "mine"
        assert set(verdict.higher) == {name for name, of in others.items() if of[0] > 0}
        ends = -difference + 1.96 * error * np.array([-1, 1])
        assert (verdict.lower, verdict.upper) == pytest.approx(tuple(ends))


def test_the_verdict_in_words():
    def words(**others):
        return str(report(**others).verdict())

    assert words(EASE=(-0.006, 0.001)) == (
        "mine is ahead of EASE by .0060 NDCG@5, beyond noise (95 % interval: .0040 to "
        ".0080)."
    )
    assert words(EASE=(0.006, 0.001)) == (
        "mine is behind EASE by .0060 NDCG@5, beyond noise (95 % interval: -.0080 to "
        "-.0040)."
    )
    assert words(EASE=(-0.001, 0.001), other=(-0.2, 0.1)) == (
        "mine is tied with EASE: +.0010 NDCG@5 is within noise (95 % interval: -.0010 "
        "to .0030)."
    )
    # what is higher is named, the highest first, though noise may explain it
    assert words(EASE=(0.001, 0.001), other=(-0.2, 0.1), knn=(0.003, 0.002)) == (
        "mine is tied with knn: -.0030 NDCG@5 is within noise (95 % interval: -.0069 "
        "to .0009). NDCG@5 is higher for knn, EASE."
    )
    # a whole interval of .1176, more than a fifth of .5
    assert words(EASE=(0.02, 0.03)) == (
        "1,053 users are too few to tell mine from EASE: -.0200 NDCG@5 is within noise "
        "(95 % interval: -.0788 to .0388). NDCG@5 is higher for EASE."
    )


def test_without_another_model_or_an_interval_there_is_none():
    assert report().verdict() is None
    assert report(a=(0.1, np.nan)).verdict() is None


def test_few_users_are_too_few_for_any_verdict():
    for difference in [(-0.3, 0.001), (0.0, 0.0), (0.3, 0.001)]:
        for n_users in [1, 2, 14, 29, 30]:
            table = report(EASE=difference, knn=(-0.31, 0.001))
            table["users"] = n_users
            verdict = table.verdict()
            assert verdict.other == "EASE" and verdict.n_users == n_users
            assert ("a verdict needs 30" in str(verdict)) == (n_users < 30)
            words = {-0.3: "ahead", 0.0: "tied", 0.3: "behind"}
            assert verdict.word == ("unclear" if n_users < 30 else words[difference[0]])
            if n_users == 2:
                higher = " NDCG@5 is higher for EASE." if difference[0] > 0 else ""
                said = "2 users are too few to tell mine from EASE: a verdict needs 30."
                assert str(verdict) == said + higher


def test_one_user_is_too_few():
    model = FixedRanking().fit(TRAIN)
    found = retrieval_report(model, spelt("a:s"), k=1)
    verdict = found.verdict()
    assert verdict.word == "unclear" and verdict.n_users == 1
    assert np.isnan(verdict.lower) and np.isnan(verdict.upper)
    said = "1 user is too few to tell FixedRanking from popularity: a verdict needs 30."
    assert str(verdict) == said and said in " ".join(repr(found).split())


def test_two_users_who_are_served_alike_are_not_level():
    # both find everything: a difference of 0 in an interval without width
    model = FixedRanking(reverse=True).fit(TRAIN)
    found = retrieval_report(model, TEST[:2], k=4)
    assert found.loc["all", "users"].iloc[0] <= 2
    assert found.verdict().word == "unclear"
    assert "tied" not in repr(found)


@pytest.fixture(scope="module")
def made():
    return retrieval_report(FixedRanking(reverse=True).fit(TRAIN), TEST, k=1)


def test_a_report_that_was_changed_has_no_verdict(made):
    for change, lacking in [
        (lambda r: r.drop(index="all", level="group"), "'all'"),
        (
            lambda r: r.drop(index=("all", "FixedRanking")),
            "'its model in the first row'",
        ),
        (lambda r: r.iloc[::-1], "'its model in the first row'"),
        (lambda r: r.drop(columns="ndcg@1 diff"), "'ndcg@1 diff'"),
        (lambda r: r.drop(columns="ndcg@1"), "'ndcg@1'"),
        (lambda r: r.drop(columns="users"), "'users'"),
        (lambda r: r.iloc[:0], "'all'"),
    ]:
        changed = as_report(change(pd.DataFrame(made)))
        with pytest.raises(
            ValueError, match=f"changed in place. It lacks {lacking}, which"
        ):
            changed.verdict()
        plain = pd.DataFrame(changed)
        assert repr(changed).replace("Report", "DataFrame") == repr(plain)
        assert changed._repr_html_() == plain._repr_html_()


def test_the_verdict_of_a_report_by_hand():
    # catalog s r q p, ranked so by the model; by popularity p q s r
    model = FixedRanking(reverse=True).fit(TRAIN)
    verdict = retrieval_report(model, TEST, k=1).verdict()
    # NDCG@1 is whether the first place is right: of a and b by both
    ours = np.array([1, 1, 0, 0, 0]) - [1, 1, 1, 0, 1]
    assert verdict[:4] == ("unclear", "FixedRanking", "popularity", "ndcg@1")
    mean, half = ours.mean(), 1.96 * ours.std(ddof=1) / 5**0.5
    expected = pytest.approx((mean, mean - half, mean + half))
    assert verdict[4:7] == expected
    assert verdict[7:] == (("popularity",), 5)
