"""What any recommender must have, and where one that has it takes part."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV

from sktwotower import (
    ClickRateRecommender,
    ContentRecommender,
    EASERecommender,
    GraphFilterRecommender,
    ItemKNNRecommender,
    OrderedRidgeRecommender,
    PopularityRecommender,
    RepeatRecommender,
    RP3betaRecommender,
    TwoStageRecommender,
    TwoTowerRecommender,
    io,
)
from sktwotower.base import RecommenderMixin, check_recommender
from sktwotower.metrics import make_retrieval_scorer, retrieval_report
from sktwotower.model_selection import LastNSplit, prequential_validate
from tests.cases import for_each
from tests.two_stage.builders import follows, stages

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "your_recommender.md"


def class_of_page():
    """Return the class that the page of the guide defines."""
    text = PAGE.read_text("utf-8")
    names = {"__name__": __name__}  # where pickle finds the class
    exec(text.partition("```python\n")[2].partition("```")[0], names)
    return names["Together"]


Together = class_of_page()
EVENTS = follows(dates=True).drop_duplicates(["user", "item"])
LAST = EVENTS.groupby("user").cumcount(ascending=False) == 0
TRAIN, TEST = EVENTS[~LAST], EVENTS[LAST]


@pytest.fixture(scope="module")
def together():
    return Together().fit(TRAIN)


@pytest.fixture(scope="module")
def staged():
    return stages(Together()).fit(TRAIN)


def test_twenty_lines_are_a_recommender():
    check_recommender(Together())
    own = [cls for cls in Together.__mro__ if cls.__module__.startswith("sktwotower")]
    assert own == []


@pytest.mark.each_time(
    "PopularityRecommender", "TwoStageRecommender", "TwoTowerRecommender"
)
@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        ClickRateRecommender(),
        ContentRecommender(),
        EASERecommender(),
        GraphFilterRecommender(),
        ItemKNNRecommender(),
        OrderedRidgeRecommender(),
        PopularityRecommender(),
        RepeatRecommender(),
        RP3betaRecommender(),
        TwoStageRecommender(EASERecommender(), n_candidates=5, random_state=0),
        TwoTowerRecommender(max_epochs=1, embedding_dim=8, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_all_recommenders_of_the_package_pass(model):
    check_recommender(model)


def test_events_of_the_check_may_have_other_columns():
    model = EASERecommender(user_id="buyer", item_id="article")
    X = TRAIN.rename(columns={"user": "buyer", "item": "article"})
    check_recommender(model, X[["when", "article", "buyer"]])


def without(method):
    """Return the class of the page without a method."""
    return type(f"No{method}", (Together,), {method: None})()


class Broken(Together):
    """A recommender with one fault."""

    def __init__(self, fault=None):
        self.fault = fault

    def fit(self, X, y=None):
        super().fit(X, None if self.fault == "counts what was shown" else y)
        if self.fault == "no catalog":
            del self.item_ids_
        if self.fault == "ids as text":
            self.item_ids_ = np.array([f"{item}!" for item in self.item_ids_])
        if self.fault == "changes X":
            X["more"] = 1
        return None if self.fault == "returns nothing" else self

    def recommend(self, users, n_neighbors=10, *, exclude_seen=True, candidates=None):
        users = pd.Index(users)
        if self.fault == "needs known users" and not users.isin(self.user_ids_).all():
            raise KeyError("strangers")
        if self.fault == "takes any number":
            n_neighbors = max(1, n_neighbors)
        if self.fault == "too many items":
            n_neighbors += 1
        if self.fault == "keeps what users had":
            exclude_seen = False
        if self.fault == "ignores candidates":
            candidates = None
        table = super().recommend(
            users, n_neighbors, exclude_seen=exclude_seen, candidates=candidates
        )
        if self.fault == "an array":
            return table.to_numpy()
        if self.fault == "no ranks":
            return table.drop(columns="rank")
        if self.fault == "ranks from 0":
            return table.assign(rank=table["rank"] - 1)
        if self.fault == "rising scores":
            return table.assign(score=-table["score"])
        if self.fault == "an item twice":
            first = table.groupby("user")["item"].transform("first")
            return table.assign(item=first)
        if self.fault == "other users":
            return table.assign(user="nobody")
        if self.fault == "nan":
            return table.assign(score=np.nan)
        return table


@for_each(
    ("fault", "message"),
    [
        ("no catalog", "fit must keep the ids of the catalog as item_ids_"),
        ("ids as text", "item_ids_ holds no item of X"),
        ("changes X", "fit must not change X"),
        ("returns nothing", "fit must return the estimator"),
        ("needs known users", "a user that fit has not seen is no error"),
        ("takes any number", "n_neighbors=0 must raise ValueError"),
        ("too many items", "returned 10 items|returned 3 items"),
        ("keeps what users had", "exclude_seen=True must leave out what a user chose"),
        ("counts what was shown", "must not leave out items with y = 0"),
        ("ignores candidates", "with candidates, recommend must list no others"),
        ("an array", "must return a table with a user, an item"),
        ("no ranks", "with the columns 'score' and 'rank'. Got"),
        ("ranks from 0", "ranks of recommend must be 1, 2"),
        ("rising scores", "scores of recommend must fall within a list"),
        ("an item twice", "lists an item twice"),
        ("other users", "must return ids of X, of the same type. Got 'nobody'"),
        ("nan", "must return finite scores"),
    ],
)
def test_a_fault_is_said_in_words(fault, message):
    with pytest.raises((TypeError, ValueError), match=message):
        check_recommender(Broken(fault))


def test_a_check_without_a_fault_passes():
    check_recommender(Broken())


@for_each(
    ("estimator", "message"),
    [
        (without("recommend"), "Norecommend is no recommender: it has no recommend"),
        (LinearRegression(), "it has no recommend"),
        (EASERecommender, "got the class EASERecommender. Pass EASERecommender"),
    ],
)
def test_what_is_missing_is_said(estimator, message):
    with pytest.raises(TypeError, match=message):
        check_recommender(estimator)


def test_all_that_is_missing_is_said_at_once():
    class Implicit:
        def fit(self, user_items):
            return self

        def recommend(self, userid, user_items, N=10):
            return [], []

    with pytest.raises(TypeError) as error:
        check_recommender(Implicit())
    for part in ("no parameter X and no y", "no n_neighbors", "no get_params"):
        assert part in str(error.value).replace("parameter n_", "n_"), part


def test_it_is_the_subject_and_a_baseline_of_a_report(together):
    ease = EASERecommender().fit(TRAIN)
    as_subject = retrieval_report(together, TEST, k=5, baselines=[ease])
    as_baseline = retrieval_report(ease, TEST, k=5, baselines={"ours": together})
    figures = ["recall@5", "ndcg@5", "coverage@5"]
    one = as_subject.loc[("all", "Together"), figures].astype(float)
    other = as_baseline.loc[("all", "ours"), figures].astype(float)
    assert_allclose(one, other)
    # what is known of events is that of a recommender of the package
    popular = [r.loc[("all", "popularity"), figures] for r in (as_subject, as_baseline)]
    assert_allclose(*[figure.astype(float) for figure in popular])
    assert set(as_subject.index.unique("group")) == set(
        as_baseline.index.unique("group")
    )


def test_its_recall_is_that_of_its_lists(together):
    lists = together.recommend(TEST["user"].to_numpy(), 5)
    n_hits = len(TEST.merge(lists, on=["user", "item"]))
    assert n_hits > 0
    assert make_retrieval_scorer("recall", k=5)(together, TEST) == n_hits / len(TEST)


def test_items_that_are_chosen_again_are_found(together):
    again = TRAIN.groupby("user").tail(1)
    assert make_retrieval_scorer("recall", k=30)(together, again) == 1
    unknown = type("Unknown", (Together,), {"seen_items": property()})().fit(TRAIN)
    assert not hasattr(unknown, "seen_items")
    assert make_retrieval_scorer("recall", k=30)(unknown, again) == 0


def test_a_name_that_it_uses_for_itself_is_not_read(together):
    other = Together().fit(TRAIN)
    vars(other)["_fitted"] = "mine"
    scorer = make_retrieval_scorer("recall", k=5)
    assert scorer(other, TEST) == scorer(together, TEST)


def test_it_is_validated_slice_by_slice():
    with pytest.warns(UserWarning, match="is left out: Together has no"):
        results = prequential_validate(Together(), EVENTS, time="when", n_slices=2)
    assert list(results["strategy"].unique()) == ["frozen", "refit", "popularity"]
    assert results["test_score"].between(0, 1).all()


def test_the_mixin_adds_a_score_for_searches():
    class Weighed(RecommenderMixin, Together):
        def __init__(self, n_neighbors=10):
            self.n_neighbors = n_neighbors

    check_recommender(Weighed())
    splitter = LastNSplit(time="when")
    search = GridSearchCV(Weighed(), {"n_neighbors": [1, 5]}, cv=splitter)
    search.fit(EVENTS)
    few, many = search.cv_results_["mean_test_score"]
    assert 0 < few < many
    same = make_retrieval_scorer("recall", k=5)(Together().fit(TRAIN), TEST)
    assert Weighed(5).fit(TRAIN).score(TEST) == same
    with pytest.raises(ValueError, match="history must be None for Weighed"):
        Weighed().fit(TRAIN).rank_held_out(TEST, n_neighbors=5, history=TEST)


def test_it_is_a_first_stage(staged, together):
    assert type(staged.retriever_) is Together
    assert staged.candidate_recall_ > 0.5 and staged.blend_ > 0
    assert staged.score(TEST) > make_retrieval_scorer("recall", k=10)(together, TEST)
    lists = staged.recommend(n_neighbors=5)
    pairs = lists.merge(TRAIN[["user", "item"]])
    assert len(pairs) == 0
    assert (lists.groupby("user").size() == 5).all()
    report = retrieval_report(staged, TEST, k=5, baselines=[together])
    assert report.loc[("all", "TwoStageRecommender"), "recall@5"] > 0


def test_its_candidates_are_those_of_its_lists(staged, together):
    users = TRAIN["user"].unique()[:3]
    found = staged.candidate_features(users)
    expected = together.recommend(users, 25)
    assert found["item"].tolist() == expected["item"].tolist()
    assert_allclose(found["rank"], expected["rank"])


def test_arguments_of_a_request_reach_it(staged):
    user = TRAIN["user"].iloc[0]
    usual = staged.recommend([user], 3)["item"].tolist()
    few = staged.recommend([user], 3, candidates=usual[1:])["item"].tolist()
    assert sorted(few) == sorted(usual[1:])
    by_user = staged.recommend([user, "new"], 3, candidates={user: usual[:2]})
    assert sorted(by_user["item"]) == sorted(usual[:2])
    assert set(by_user["user"]) == {user}
    left = staged.recommend([user], 3, exclude={user: usual[:1]})["item"].tolist()
    assert usual[0] not in left and len(left) == 3
    assert len(staged.recommend([user, user], 3)) == 6
    assert len(staged.recommend(["new"], 3)) <= 3


def test_pairs_are_scored_in_the_order_of_lists(staged):
    user = TRAIN["user"].iloc[0]
    lists = staged.recommend([user], 10)
    pairs = lists[["user", "item"]].assign(when=TRAIN["when"].max())
    assert_allclose(staged.predict(pairs), lists["score"], rtol=1e-5)
    unknown = pairs.head(1).assign(item="unknown")
    assert staged.predict(unknown).tolist() == [0]


def test_a_predict_of_its_own_is_asked():
    class Predicts(Together):
        def predict(self, X):
            return np.full(len(X), 7.0)

    model = stages(Predicts(), n_candidates=2).fit(TRAIN[:40])
    assert model.blend_ == 0
    assert set(model.predict(TRAIN[:5])) == {7}


def test_it_learns_more_if_it_can(staged):
    class Learns(Together):
        def fit(self, X, y=None):
            self.events_ = X
            return super().fit(X, y)

        def partial_fit(self, X, y=None):
            return self.fit(pd.concat([self.events_, X], ignore_index=True))

    new = pd.DataFrame({"user": ["zoe"] * 3, "item": TRAIN["item"].unique()[:3]})
    new["when"] = EVENTS["when"].max()
    model = stages(Learns()).fit(TRAIN)
    before = model.retriever_
    model.partial_fit(new)
    assert "zoe" in model.user_ids_ and "zoe" not in before.user_ids_
    assert not set(model.recommend(["zoe"])["item"]) & set(new["item"])
    assert_allclose(
        model.retriever_.similarity_, Learns().fit(pd.concat([TRAIN, new])).similarity_
    )
    with pytest.raises(ValueError, match="partial_fit needs a retriever that has it"):
        staged.partial_fit(new)


@for_each(
    ("call", "message"),
    [
        (
            lambda m: m.recommend(["zoe"], history={"zoe": ["i01"]}),
            "history needs a recommender of this package",
        ),
        (
            lambda m: m.explain(m.user_ids_[0], m.item_ids_[0]),
            "explain needs a recommender of this package",
        ),
        (
            lambda m: m.forget_users(m.user_ids_[:1]),
            "forget_users needs a recommender of this package",
        ),
        (
            lambda m: m.predict(TEST[:1], history={TEST["user"].iloc[0]: ["i01"]}),
            "history needs a recommender of this package",
        ),
    ],
)
def test_what_others_cannot_do_is_refused(staged, call, message):
    before = staged.recommend(n_neighbors=2)
    with pytest.raises(ValueError, match=message):
        call(staged)
    assert staged.recommend(n_neighbors=2).equals(before)


def test_files_do_not_hold_it(staged, tmp_path):
    with pytest.raises(ValueError, match="retriever needs to be a recommender"):
        io.dump(staged, tmp_path / "model.sktt")


def test_weights_that_it_cannot_read_are_refused():
    weights = np.full(len(TRAIN), 2.0)
    with pytest.raises(ValueError, match="fit of Together takes no sample_weight"):
        stages(Together()).fit(TRAIN, sample_weight=weights)
    ones = np.ones(len(TRAIN))
    ones[:3] = 0
    stages(Together(), n_candidates=2).fit(TRAIN[:60], sample_weight=ones[:60])


@for_each("retriever", [LinearRegression(), EASERecommender, "EASE"])
def test_no_other_object_is_a_first_stage(retriever):
    with pytest.raises(TypeError, match="retriever must be a recommender with one st"):
        TwoStageRecommender(retriever).fit(TRAIN)


def test_before_fit_it_is_not_judged():
    with pytest.raises(NotFittedError):
        make_retrieval_scorer("recall")(Together(), TEST)

    class NoCatalog(BaseEstimator):
        def fit(self, X, y=None):
            self.fitted_ = True
            return self

        def recommend(self, users, n_neighbors=10):
            raise AssertionError

    with pytest.raises(TypeError, match="NoCatalog has no item_ids_: fit must keep"):
        make_retrieval_scorer("recall")(NoCatalog().fit(TRAIN), TEST)
