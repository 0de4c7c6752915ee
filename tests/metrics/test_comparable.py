"""Models that cannot score what is to be found, and the baseline of contents."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, KFold

from sktwotower import (
    ContentRecommender,
    EASERecommender,
    ItemKNNRecommender,
    PopularityRecommender,
)
from sktwotower.metrics import retrieval_report
from sktwotower.model_selection import ColdItemSplit
from tests.builders import small

N_ITEMS = 40
LOST = ("popularity", "EASERecommender", "ItemKNNRecommender")


@pytest.fixture(scope="module")
def films():
    """A table of films, events of films with a number, later ones of the others."""
    rng = np.random.default_rng(0)
    kinds = [["space", "robot", "planet"], ["love", "wedding", "letters"]]
    words = [" ".join(rng.choice(kinds[i % 2], 4)) for i in range(N_ITEMS)]
    table = pd.DataFrame({"item": range(N_ITEMS), "words": words})
    pairs = [(u, i) for u in range(80) for i in rng.choice(N_ITEMS, 14, replace=False)]
    events = pd.DataFrame([pair for pair in pairs if sum(pair) % 2 == 0])
    events.columns = ["user", "item"]
    train, test = next(ColdItemSplit(0.3, random_state=0).split(events))
    later = events.iloc[test]
    return table, events.iloc[train], later[later["user"].isin(events["user"][train])]


@pytest.fixture(scope="module")
def model(films):
    table, X, _ = films
    return ContentRecommender(table).fit(X)


@pytest.fixture(scope="module")
def others(films):
    X = films[1]
    return [EASERecommender().fit(X), ItemKNNRecommender().fit(X)]


def in_one_line(report):
    return " ".join(repr(report).split())


def test_what_knows_no_new_item_is_not_beaten(films, model, others):
    report = retrieval_report(model, films[2], k=5, baselines=others)
    assert report.loc[("all", "ContentRecommender"), "recall@5"] > 0.2
    assert (report.loc["all", "recall@5"].iloc[1:] == 0).all()
    assert report.verdict() is None
    assert report.attrs["cannot_score"]["all"] == LOST
    text = in_one_line(report)
    assert text.startswith(
        "There is nothing to compare with, except popularity, EASERecommender and "
        "ItemKNNRecommender, which know none of the items to be found. Pass a baseline "
        "that reads features of items, such as a ContentRecommender."
    )
    assert "ahead" not in text and text.count(" n/a ") >= 6
    assert "n/a: a model that can score none" in text
    html = report._repr_html_()
    assert "There is nothing to compare with, except popularity" in html
    assert "<td>n/a</td>" in html


def test_what_can_score_is_compared_with(films, model, others):
    near = ContentRecommender(films[0], 2).fit(films[1])
    report = retrieval_report(model, films[2], k=5, baselines=[*others, near])
    verdict = report.verdict()
    assert verdict.other == "ContentRecommender 2"
    assert report.attrs["cannot_score"]["all"] == LOST
    text = in_one_line(report)
    assert text.startswith(str(verdict))
    assert "Not compared with popularity, EASERecommender and ItemKNNReco" in text


def test_a_first_model_that_cannot_score_has_no_verdict(films, model, others):
    table, X, later = films
    every = pd.concat([X, later.assign(user=-1)]).drop_duplicates()
    y = (every["user"] >= 0).astype(int)  # all are in the catalog, some never chosen
    ease = EASERecommender().fit(every, y)
    report = retrieval_report(ease, later, k=5, baselines=[model])
    assert report.verdict() is None
    assert report.attrs["cannot_score"]["all"] == ("popularity", "EASERecommender")
    assert (
        "There is no verdict on popularity and EASERecommender, which"
        in in_one_line(report)
    )


def test_with_items_of_both_kinds_only_the_group_of_new_ones_is_lost(films, model):
    table, X, later = films
    both = pd.concat([later, X[::5]])
    train = X.drop(X.index[::5])
    model = ContentRecommender(table).fit(train)
    other = PopularityRecommender().fit(train)
    report = retrieval_report(model, both, k=5, baselines={"popular": other})
    lost = report.attrs["cannot_score"]
    assert lost == {"cold items": ("popularity", "popular")}
    assert report.verdict().word == "ahead"
    shown = repr(report).partition("cold items:")[2].split("\n")[1:4]
    assert ["n/a" in line for line in shown] == [False, True, True]


FIGURES = ["recall@5", "ndcg@5", "mrr@5", "coverage@5"]


@pytest.mark.slow
def test_contents_are_a_baseline_where_items_are_new(films, model):
    table, X, later = films
    of_model = retrieval_report(model, later, k=5)
    assert "content" not in of_model.loc["all"].index  # the model is one
    towers = small(items=table).fit(X)
    report = retrieval_report(towers, later, k=5)
    expected = of_model.loc[("all", "ContentRecommender"), FIGURES].tolist()
    found = report.loc[("all", "content"), FIGURES].tolist()
    assert found == pytest.approx(expected) and found[0] > 0.2
    assert "content" not in report.attrs["cannot_score"]["all"]
    # of a tenth on
    known = X[X["user"] < 60]
    part = pd.concat([known, later[: len(known) // 10]])
    assert "content" not in retrieval_report(towers, part, k=5).loc["all"].index
    # not if there is one of the name
    named = {"content": PopularityRecommender().fit(X)}
    report = retrieval_report(towers, later, k=5, baselines=named)
    assert report.loc[("all", "content"), "recall@5"] == 0
    # a catalog of which some are gone
    new = later["item"].unique()
    model = ContentRecommender(table).fit(X).set_catalog(new)
    expected = retrieval_report(model, later, k=5).loc[("all", "ContentRecommender")]
    found = retrieval_report(towers.set_catalog(new), later, k=5)
    found = found.loc[("all", "content"), FIGURES].tolist()
    assert found == pytest.approx(expected[FIGURES].tolist())


def test_a_baseline_that_has_no_item_of_a_new_catalog(films, others):
    table, X, later = films
    new = table[~table["item"].isin(X["item"])]
    model = ContentRecommender(table).fit(X).set_catalog(new)
    report = retrieval_report(model, later, k=5, baselines=others)
    assert report.attrs["cannot_score"]["all"] == LOST
    text = EASERecommender().fit(X.astype({"item": str}))
    with pytest.raises(ValueError, match="Pass ids of the same type"):
        retrieval_report(model, later.astype({"item": str}), k=5, baselines=[text])
    table = ItemKNNRecommender().fit(X).recommend(n_neighbors=5)
    with pytest.raises(ValueError, match="None of the items of 'mine' is in the cat"):
        retrieval_report(model, later, k=5, baselines={"mine": table})


@pytest.mark.slow
def test_contents_are_compared_with_two_towers(films, others):
    table, X, later = films
    model = small(items=table, max_epochs=2, user_id="user", item_id="item").fit(X)
    report = retrieval_report(model, later, k=5, baselines=others)
    assert report.loc["all"].index.tolist()[:3] == [
        "TwoTowerRecommender",
        "popularity",
        "content",
    ]
    assert report.verdict().other == "content"
    assert report.attrs["cannot_score"]["all"] == LOST
    baseline = ContentRecommender(table).fit(X)
    report = retrieval_report(model, later, k=5, baselines={"mine": baseline})
    assert report.loc["all"].index.tolist()[1:] == ["popularity", "mine"]
    without = small(max_epochs=1).fit(X)
    known = X[::4]
    assert "content" not in retrieval_report(without, known, k=5).loc["all"].index


def test_the_history_of_a_request_counts_in_contents(films):
    table, X, later = films
    train = X[X["user"] >= 40]
    asked = {"k": 5, "history": X[X["user"] < 40]}
    later = later[later["user"] < 40]
    of_model = retrieval_report(ContentRecommender(table).fit(train), later, **asked)
    report = retrieval_report(small(items=table).fit(train), later, **asked)
    expected = of_model.loc[("all", "ContentRecommender"), "recall@5"]
    found = report.loc[("all", "content"), "recall@5"]
    assert found == pytest.approx(expected) and found > 0.2


def test_within_lists_the_same_score_for_all_is_no_order(films, model):
    table, X, later = films
    shown = pd.concat([later.assign(y=1), later.assign(item=later["item"] ^ 1, y=0)])
    shown = shown[~shown["item"].isin(X["item"])].drop_duplicates(["user", "item"])
    columns = ["user", "item"]
    report = retrieval_report(model, shown[columns], shown["y"], k=5, lists="user")
    assert report.attrs["cannot_score"]["all"] == ("popularity",)
    assert report.verdict() is None
    said = "There is nothing to compare with, except popularity, which scores all rows"
    assert in_one_line(report).startswith(said)
    mixed = pd.concat([shown, X[::3].assign(y=0)])
    report = retrieval_report(model, mixed[columns], mixed["y"], k=5, lists="user")
    assert report.attrs["cannot_score"] == {} and report.verdict() is not None


def test_a_search_is_compared_like_the_recommender_that_it_has_chosen(films):
    table, X, later = films
    cv = KFold(2, shuffle=True, random_state=0)
    search = GridSearchCV(ContentRecommender(table), {}, cv=cv).fit(X)
    report = retrieval_report(search, later)
    assert report.attrs["cannot_score"]["all"] == ("popularity",)
