"""What fit learns, and what it leaves to the retriever: honest by construction."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sktwotower import (
    EASERecommender,
    ItemKNNRecommender,
    PopularityRecommender,
    TwoStageRecommender,
    TwoTowerRecommender,
)
from sktwotower.metrics import make_retrieval_scorer
from tests.builders import ordered, random_events, small

from .builders import follows, stages, tastes

NDCG = make_retrieval_scorer("ndcg@5")
RETRIEVERS = {
    "popularity": PopularityRecommender(),
    "EASE": EASERecommender(l2=10),
    "item-kNN": ItemKNNRecommender(),
    "two towers": ordered(max_epochs=20, embedding_dim=16),
}
QUICK = [
    pytest.param(name, marks=[] if name in ("popularity", "EASE") else pytest.mark.grid)
    for name in RETRIEVERS
]


def last_out(events):
    """Return the events before each user's last one, and these."""
    last = events["when"] == events.groupby("user")["when"].transform("max")
    return events[~last], events[last]


@pytest.mark.each_time("EASE")
@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_ranker_that_sees_the_order_finds_what_follows(name):
    train, test = last_out(follows(120, noise=0.2))
    retriever = RETRIEVERS[name]
    if name == "two towers":  # with more epochs they find the order by themselves
        retriever = ordered(max_epochs=10, embedding_dim=16, sparse_parts=None)
    model = stages(retriever, keep_training_table=True).fit(train)
    assert model.blend_ > 0 and model.cut_ == "user"
    alone = NDCG(model.retriever_, test)
    assert NDCG(model, test) > alone + 0.05
    table = model.training_table_
    assert table["chosen"].sum() <= model.n_positive_candidates_
    assert 0 < model.candidate_recall_ <= 1
    for gains in (model.blend_gains_, model.blend_gains_later_):
        chosen = gains.set_index("weight").loc[model.blend_]
        assert chosen["gain"] > 1.96 * chosen["standard_error"]


class Noise(TransformerMixin, BaseEstimator):
    """Draws numbers that have nothing to do with the candidates."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.random.default_rng(len(X)).normal(size=(len(X), 3))


class OnlyOwn(DecisionTreeClassifier):
    """Reads no features except those of the caller."""

    def fit(self, X, y):
        return super().fit(X.filter(regex="^own__"), y)

    def predict_proba(self, X):
        return super().predict_proba(X.filter(regex="^own__"))


class Shuffled(DecisionTreeClassifier):
    """Learns from shuffled labels."""

    def fit(self, X, y):
        return super().fit(X, np.random.default_rng(0).permutation(y))


def same_answers(model, train, test):
    """Assert that all answers are exactly those of the retriever fitted alone."""
    alone = model.retriever_
    users = [*test["user"].unique()[:5], "new"]
    assert_frame_equal(model.recommend(users), alone.recommend(users, 10))
    some = train["item"].unique()[[1, 5, 9]]
    history = {"new": train["item"].unique()[:2]}
    assert_frame_equal(
        model.recommend(history=history, candidates=some),
        alone.recommend(history=history, candidates=some),
    )
    for ours, theirs in zip(
        model.kneighbors(users), alone.kneighbors(users), strict=True
    ):
        assert_array_equal(ours, theirs)
    assert_array_equal(model.predict(test), alone.predict(test))
    assert model.score(test) == alone.score(test)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_noise_gets_no_weight(name):
    train, test = last_out(tastes())
    ranker = OnlyOwn(max_depth=4, random_state=0)
    model = stages(RETRIEVERS[name], ranker, features=Noise()).fit(train)
    assert model.blend_ == 0 and model.ranker_ is not None
    assert model.blend_gains_["gain"].iloc[-1] < 0
    same_answers(model, train, test)
    expected = model.get_params()["retriever"]
    again = type(expected)(**expected.get_params(False)).set_params(time="when")
    assert_frame_equal(model.recommend(), again.fit(train).recommend())


@pytest.mark.slow
def test_shuffled_labels_get_no_weight():
    train, test = last_out(tastes())
    model = stages(EASERecommender(), Shuffled(max_depth=5)).fit(train)
    assert model.blend_ == 0
    same_answers(model, train, test)


def table_of(events, **params):
    model = stages(keep_training_table=True, **params).fit(events)
    return model.training_table_.set_index(["user", "item"])


OFTEN = ("popularity", "user"), ("EASE", "time")


@pytest.mark.each_time("EASE-time")
@pytest.mark.slow
@pytest.mark.parametrize(
    "name, cut",
    [
        pytest.param(name, cut, marks=[] if (name, cut) in OFTEN else pytest.mark.grid)
        for name in RETRIEVERS
        for cut in ("time", "user")
    ],
)
def test_what_comes_after_the_cut_changes_no_feature(name, cut):
    events = follows(80, n_events=10, dates=True)
    if cut == "user":
        later = events.groupby("user")["when"].rank(ascending=False) <= 2
    else:
        later = events["when"] >= events["when"].max() - pd.Timedelta(days=1)
    rng = np.random.default_rng(0)
    scrambled = events.copy()
    scrambled.loc[later, "item"] = rng.permutation(events.loc[later, "item"])
    retriever = ordered() if name == "two towers" else RETRIEVERS[name]
    params = {"retriever": retriever, "cut": cut, "exclude_seen": False}
    before, after = table_of(events, **params), table_of(scrambled, **params)
    common = before.index.intersection(after.index)
    assert len(common) > 500
    assert (before["chosen"][common] != after["chosen"][common]).any()
    features = before.columns.drop("chosen")
    assert_frame_equal(before.loc[common, features], after.loc[common, features])


@pytest.mark.slow
def test_what_comes_before_the_cut_changes_features():
    events = follows(80, n_events=10)
    scrambled = events.copy()
    first = events["when"] < 3
    scrambled.loc[first, "item"] = events.loc[first, "item"].to_numpy()[::-1]
    before, after = table_of(events), table_of(scrambled)
    common = before.index.intersection(after.index)
    assert (before["popularity"][common] != after["popularity"][common]).any()


def test_labels_are_what_each_user_chose_later():
    events = follows(60, n_events=10)
    table = table_of(events).reset_index()
    later = events[events["when"] >= 8]
    chosen = pd.MultiIndex.from_frame(later[["user", "item"]])
    expected = pd.MultiIndex.from_frame(table[["user", "item"]]).isin(chosen)
    assert_array_equal(table["chosen"], expected.astype(int))
    before = events[events["when"] < 8]
    seen = pd.MultiIndex.from_frame(before[["user", "item"]])
    assert not pd.MultiIndex.from_frame(table[["user", "item"]]).isin(seen).any()
    assert (table.groupby("user")["chosen"].max() == 1).all()


def test_recall_and_positives_by_hand():
    # popularity ranks a, b, c, d; 25 users have a, then choose b, 25 have b, then d
    rows = [(f"u{n}", "a", 1) for n in range(25)] + [
        (f"v{n}", "b", 1) for n in range(25)
    ]
    rows += [(f"w{n}", item, 0) for n in range(5) for item in "abcd"]
    rows += [(f"u{n}", "b", 2) for n in range(25)] + [
        (f"v{n}", "d", 2) for n in range(25)
    ]
    events = pd.DataFrame(rows, columns=["user", "item", "when"])
    model = stages(n_candidates=2, keep_training_table=True).fit(events)
    # candidates of u are b and c; of v a and c
    assert model.candidate_recall_ == 0.5
    assert model.n_positive_candidates_ == 25
    table = model.training_table_
    assert set(table["user"].str[0]) == {"u"} and len(table) == 50
    assert set(table["item"][table["chosen"] == 1]) == {"b"}


@pytest.mark.slow
def test_without_times_rows_are_in_order():
    events = follows(80)
    rows = events.sample(frac=1, random_state=0).sort_values("when", kind="stable")
    in_order = stages(keep_training_table=True).fit(events)
    by_row = stages(time=None, keep_training_table=True).fit(rows[["user", "item"]])
    assert_frame_equal(
        by_row.training_table_.sort_values(["user", "item"], ignore_index=True),
        in_order.training_table_.sort_values(["user", "item"], ignore_index=True),
    )
    assert by_row.cut_ == "user"


@pytest.mark.slow
def test_a_training_table_is_kept_on_request_only():
    assert not hasattr(stages().fit(follows()), "training_table_")


@pytest.mark.slow
def test_weights_of_zero_leave_events_out():
    events = follows(80)
    weights = (events["when"] < 7).to_numpy().astype(float)
    model = stages(keep_training_table=True).fit(events, sample_weight=weights)
    other = stages(keep_training_table=True).fit(events[weights > 0])
    assert_frame_equal(model.training_table_, other.training_table_)


@pytest.mark.slow
def test_only_positive_events_are_labels():
    events = follows(80)
    y = (np.arange(len(events)) % 3 > 0).astype(float)
    table = stages(keep_training_table=True).fit(events, y).training_table_
    chosen = pd.MultiIndex.from_frame(events.loc[y > 0, ["user", "item"]])
    pairs = pd.MultiIndex.from_frame(table.loc[table["chosen"] == 1, ["user", "item"]])
    assert pairs.isin(chosen).all()
    assert table["click_rate"].between(0.3, 1).all()


# Own features


@pytest.mark.slow
def test_a_function_adds_features():
    def last_letter(table):
        assert {"user", "item", "rank"} <= set(table)
        return pd.DataFrame({"digit": table["item"].str[-1].astype(int)})

    model = stages(features=last_letter, keep_training_table=True).fit(follows())
    for table in (model.training_table_, model.candidate_features(["u00"])):
        assert_array_equal(table["own__digit"], table["item"].str[-1].astype(int))
    one = stages(features=lambda t: t["rank"] ** 2).fit(follows())
    table = one.candidate_features(["u00", "u01"])
    assert_array_equal(table["own__rank"], table["rank"] ** 2)


@pytest.mark.slow
def test_a_transformer_is_fitted_on_the_training_table_only():
    columns = FunctionTransformer(lambda table: table[["rank", "popularity"]])
    given = make_pipeline(columns, StandardScaler())
    model = stages(features=given, keep_training_table=True).fit(follows())
    train = model.training_table_[["rank", "popularity"]]
    table = model.candidate_features(["u00"])
    expected = (table[["rank", "popularity"]] - train.mean()) / train.std(ddof=0)
    own = table.filter(regex="^own__")
    assert own.columns.tolist() == ["own__0", "own__1"]
    assert_allclose(own, expected, rtol=1e-4, atol=1e-4)
    assert not hasattr(given[-1], "mean_")


BAD_FEATURES = [
    (3, TypeError, "features must be a function of a table of candidates"),
    (Noise, TypeError, "features must be a function of a table of candidates"),
    (lambda t: t["rank"][:3], ValueError, "one row of numbers per candidate: exp"),
    (lambda t: t[["user"]], ValueError, "features must return numbers. Got could"),
]


def test_features_that_do_not_fit():
    for features, error, message in BAD_FEATURES:
        with pytest.raises(error, match=message):
            stages(features=features).fit(follows())


# What falls back to the retriever, and what is refused


def test_too_few_events():
    train, test = last_out(follows(8))
    model = stages()
    with pytest.warns(
        UserWarning, match="only . users chose one of their 25 candidates"
    ):
        model.fit(train)
    assert model.blend_ == 0 and model.ranker_ is None and model.blend_gains_ is None
    assert model.candidate_recall_ > 0
    same_answers(model, train, test)
    one_each = pd.DataFrame({"user": range(50), "item": np.arange(50) % 7, "when": 1})
    with pytest.warns(UserWarning, match="too few events to cut off the later ones"):
        model.fit(one_each)
    assert np.isnan(model.candidate_recall_)
    new_ones = one_each.assign(when=pd.to_datetime(range(50)))
    with pytest.warns(UserWarning, match="no user has some on both sides of the cut"):
        model.set_params(cut="time").fit(new_ones)


def test_a_retriever_that_needs_more_events_than_are_before_the_cut():
    events = pd.DataFrame(
        {"user": [0, 0, 1, 1], "item": [1, 2, 1, 3], "when": [1, 2] * 2}
    )
    with pytest.warns(
        UserWarning, match="on the 2 before the cut .X holds only one it"
    ):
        model = stages(ordered()).fit(events)
    assert len(model.recommend([0])) == 1


def test_no_positive_candidate():
    # users choose what nobody chose before
    events = follows(40)
    last = events["when"] == 7
    rare = events["user"].where(last, events["item"])
    with pytest.warns(
        UserWarning, match=r"is among their 3 candidates \(recall 0\). Rai"
    ):
        model = stages(n_candidates=3).fit(events.assign(item=rare))
    assert model.candidate_recall_ == 0 and model.n_positive_candidates_ == 0
    assert model.blend_ == 0


@pytest.mark.slow
def test_the_time_column_is_passed_on():
    events = follows(60)
    model = stages(EASERecommender(), time="when").fit(events)
    assert model.retriever_.time == "when"
    assert stages(ordered(), time=None).fit(events).retriever_.time == "when"
    with pytest.raises(
        ValueError, match="time='when' is another column than the retri"
    ):
        stages(EASERecommender(time="then")).fit(events)
    with pytest.raises(ValueError, match="time names 'then', which is not a column"):
        stages(time="then").fit(events)


NO_RECOMMENDERS = [LogisticRegression(), EASERecommender, "EASE", stages()]


def test_what_is_no_recommender_is_refused():
    for retriever in NO_RECOMMENDERS:
        with pytest.raises(
            TypeError, match="retriever must be a recommender with one sta"
        ):
            stages(retriever).fit(follows())


OUT_OF_RANGE = [
    {"n_candidates": 1},
    {"n_candidates": 2.5},
    {"cut": "item"},
    {"later_size": 0},
    {"later_size": 1.0},
    {"n_neighbors": 0},
    {"exclude_seen": "yes"},
    {"keep_training_table": 2},
    {"random_state": "seed"},
]


def test_parameters_out_of_range():
    for params in OUT_OF_RANGE:
        with pytest.raises(
            ValueError, match=f"The '{next(iter(params))}' parameter of TwoS"
        ):
            stages(**params).fit(follows())


@pytest.mark.slow
def test_the_default_stages():
    events = follows(200, noise=0.2)
    model = TwoStageRecommender(time="when", random_state=0)
    # which sees no order: the ranker has much to add
    model.retriever = small(history=None, sparse_parts=None)
    assert type(model.fit(events).ranker_).__name__ == "HistGradientBoostingClassifier"
    assert model.blend_ > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        few = random_events(6, 6)
        assert isinstance(
            TwoStageRecommender().fit(few).retriever_, TwoTowerRecommender
        )


def test_candidates_that_were_all_chosen_leave_nothing_to_order():
    rng = np.random.default_rng(0)
    X = [[user, item] for user in range(40) for item in rng.permutation(4)]
    model = TwoStageRecommender(
        PopularityRecommender(), LogisticRegression(), later_size=0.5
    )
    with pytest.warns(UserWarning, match="there is nothing to order, as users chose"):
        model.fit(X)
    assert model.blend_ == 0
    assert model.candidate_recall_ == 1
