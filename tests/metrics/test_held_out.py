"""How a recommender, or a wrapper around another library, is asked for its ranking."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.model_selection import cross_validate

from sktwotower import (
    EASERecommender,
    ItemKNNRecommender,
    PopularityRecommender,
    TwoTowerRecommender,
)
from sktwotower.metrics import (
    HeldOutRanking,
    held_out_truth,
    make_retrieval_scorer,
    recall_at_k,
    retrieval_report,
)
from sktwotower.model_selection import LastNSplit
from tests.builders import TEST, TRAIN, FixedRanking, Wrapper, spelt
from tests.cases import for_each


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    pairs = np.argwhere(rng.uniform(size=(20, 12)) < 0.5)
    rng.shuffle(pairs)
    return pd.DataFrame(pairs, columns=["user", "item"])


@pytest.fixture(scope="module")
def split(X):
    train, test = next(LastNSplit(2).split(X))
    return X.iloc[train].reset_index(drop=True), X.iloc[test].reset_index(drop=True)


# A wrapper around another library


def naive_recall(model, train, test, k):
    """Return the mean recall of `OtherLibrary`, one user at a time."""
    recalls = []
    items = model.item_ids_.tolist()
    for user, wanted in test.groupby("user")["item"]:
        own = train.loc[train["user"] == user, "item"]
        scores = model.model_.similarity[[items.index(i) for i in own]].sum(axis=0)
        order = np.argsort(-scores, kind="stable")
        ranked = [items[j] for j in order if items[j] not in set(own) - set(wanted)]
        recalls.append(len(set(ranked[:k]) & set(wanted)) / wanted.nunique())
    return np.mean(recalls)


@pytest.mark.slow
def test_a_wrapper_is_scored_reported_and_validated(split, X):
    train, test = split
    model = Wrapper().fit(train)
    recall = make_retrieval_scorer("recall@3")(model, test)
    assert recall == pytest.approx(naive_recall(model, train, test, 3))
    report = retrieval_report(
        PopularityRecommender().fit(train), test, k=3, baselines=[model]
    )
    assert report.loc[("all", "Wrapper"), "recall@3"] == recall
    own = retrieval_report(model, test, k=3)
    assert own.loc[("all", "Wrapper"), "recall@3"] == recall
    # the groups of users are those of a recommender of this package
    for group in ("all", "few events", "many events"):
        sizes = [each.loc[(group, "popularity"), "users"] for each in (own, report)]
        assert sizes[0] == sizes[1]
    folds = cross_validate(
        Wrapper(),
        X,
        scoring=make_retrieval_scorer(["recall@3", "novelty@3"]),
        cv=LastNSplit(2),
        error_score="raise",
    )
    assert folds["test_recall@3"] == [recall]


@pytest.mark.slow
def test_a_wrapper_is_drawn(split):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    from sktwotower.plots import RecallByPopularityDisplay, RecallCurveDisplay

    train, test = split
    model = Wrapper().fit(train)
    curve = RecallCurveDisplay.from_estimator(model, test, max_k=3)
    assert curve.recall.loc[3, "Wrapper"] == make_retrieval_scorer("recall@3")(
        model, test
    )
    bars = RecallByPopularityDisplay.from_estimator(
        PopularityRecommender().fit(train), test, k=3, baselines={"mine": model}
    )
    assert np.isfinite(bars.recall["mine"]).all()
    plt.close("all")


@pytest.mark.slow
def test_a_wrapper_serves_users_it_does_not_know(split):
    train, test = split
    model = Wrapper().fit(train[train["user"] > 3])
    report = retrieval_report(model, test, k=3, max_users=10, random_state=0)
    assert report.loc[("all", "Wrapper"), "users"] == 10
    assert "cold users" in report.index


def test_what_is_no_ranking_is_refused():
    class Odd(FixedRanking):
        def rank_held_out(self, *args, **params):
            return vars(super().rank_held_out(*args, **params))

    with pytest.raises(TypeError, match="of Odd must return a HeldOutRanking.* dict"):
        make_retrieval_scorer()(Odd().fit(TRAIN), TEST)


def test_a_wrapper_needs_fit():
    class Bare:
        item_ids_ = np.array(["p", "q"])

        def rank_held_out(self, X, y=None, sample_weight=None, *, n_neighbors):
            raise NotImplementedError

    for judge in (make_retrieval_scorer(), retrieval_report):
        with pytest.raises(TypeError, match="Bare has no fit. Exp"):
            judge(Bare(), TEST)


def test_a_wrapper_without_history_names_what_is_expected():
    class NoHistory(FixedRanking):
        def rank_held_out(
            self, X, y=None, *, n_neighbors, max_users=None, random_state=None
        ):
            raise NotImplementedError

    with pytest.raises(TypeError, match="'history'") as caught:
        retrieval_report(NoHistory().fit(TRAIN), TEST, history=TRAIN)
    (note,) = caught.value.__notes__
    assert "Expected of NoHistory: rank_held_out(X, y=None, sample_weight=None" in note
    assert note.endswith("with n_neighbors, max_users, random_state, history.")


class ShortIds(PopularityRecommender):
    """A recommender whose ids are fewer than the items that it ranks."""

    item_ids_ = np.array(["p", "q"])


def test_a_ranking_of_another_catalog_is_refused():
    model = ShortIds().fit(TRAIN)
    for judge in (make_retrieval_scorer(), retrieval_report):
        with pytest.raises(ValueError, match="item_ids_, which are 2. Got .* 4 items"):
            judge(model, TEST)


class GrowsMeanwhile(PopularityRecommender):
    """A recommender that another thread refits just before it ranks."""

    def rank_held_out(self, *args, **params):
        self.fit(spelt("a:p b:pq c:prs d:rs e:rs"))
        return super().rank_held_out(*args, **params)


def test_a_catalog_that_grows_meanwhile_is_ranked_and_reported():
    model = GrowsMeanwhile().fit(spelt("a:p b:pq"))
    report = retrieval_report(model, spelt("a:q b:r"), k=4)
    # q is in the third place of a: there were two items before
    assert report.loc["all", "recall@4"].tolist() == [1, 1]
    model = GrowsMeanwhile().fit(spelt("a:p b:pq"))
    assert make_retrieval_scorer("recall@4")(model, spelt("a:q b:r")) == 1


def test_novelty_without_counts_names_what_to_pass():
    class NoCounts(PopularityRecommender):
        def rank_held_out(self, *args, **params):
            ranking = super().rank_held_out(*args, **params)
            return HeldOutRanking(ranking.users, ranking.indices, ranking.truth)

    with pytest.raises(ValueError, match="novelty needs users per item.*item_counts"):
        make_retrieval_scorer("novelty")(NoCounts().fit(TRAIN), TEST)


# score, scorer and report


KINDS = {
    "popularity": (PopularityRecommender, {"n_neighbors": 3}),
    "nothing left out": (
        PopularityRecommender,
        {"exclude_seen": False, "n_neighbors": 3},
    ),
    "item-kNN": (ItemKNNRecommender, {"n_neighbors": 3}),
    "EASE, long lists": (EASERecommender, {"n_neighbors": 99}),
    "two towers": (
        TwoTowerRecommender,
        {"embedding_dim": 4, "max_epochs": 1, "n_neighbors": 3, "random_state": 0},
    ),
}


@pytest.mark.slow
@for_each("kind", KINDS)
@for_each("rewards", [False, True])
def test_score_scorer_and_report_agree(split, kind, rewards):
    train, test = split
    estimator, params = KINDS[kind]
    model = estimator(**params).fit(train)
    # users and items that fit does not know, and a repeat
    test = pd.concat([test, test.head(1), test.tail(3).assign(user=77, item=88)])
    y = np.random.default_rng(1).integers(0, 3, len(test)) if rewards else None
    score, k = model.score(test, y), model.n_neighbors
    assert make_retrieval_scorer("recall", k)(model, test, y) == score
    report = retrieval_report(model, test, y, k=k)
    assert report.loc[("all", estimator.__name__), f"recall@{k}"] == score
    ranking = model.rank_held_out(test, y, n_neighbors=k)
    assert len(ranking.users) == report["users"].iloc[0]
    weights = np.random.default_rng(2).uniform(size=len(test))
    weighted = model.score(test, y, sample_weight=weights)
    scorer = make_retrieval_scorer(["recall", "ndcg"], k)
    scores = scorer(model, test, y, sample_weight=weights)
    assert scores[f"recall@{k}"] == weighted
    if k < 12:
        assert weighted != score
    assert scores[f"ndcg@{k}"] == scorer(model, test, y)[f"ndcg@{k}"]


def test_weighted_recall_by_hand():
    model = PopularityRecommender(n_neighbors=1).fit(TRAIN)
    X = spelt("a:rs c:qrz")
    # a is recommended r, c is recommended q; nobody can find z
    weights = [3.0, 1.0, 1.0, 0.5, 0.5]
    expected = (3 / 4 + 1 / 2) / 2
    assert model.score(X, sample_weight=weights) == pytest.approx(expected)
    assert model.score(X) == pytest.approx((1 / 2 + 1 / 3) / 2)
    # sums of weights that happen to be the numbers of items are weights, too
    assert model.score(X, sample_weight=[1.5, 0.5, 1, 1, 1]) == pytest.approx(
        (1.5 / 2 + 1 / 3) / 2
    )
    tiny = np.array(weights) * 1e-60
    assert model.score(X, sample_weight=tiny) == pytest.approx(expected)
    truncated = make_retrieval_scorer("recall@1", truncated=True)
    assert truncated(model, X) == 1
    with pytest.raises(ValueError, match="Truncated recall takes no sample_weight"):
        truncated(model, X, sample_weight=weights)


@pytest.mark.slow
@for_each("k", [99, 10**12])
def test_k_above_the_catalog_costs_nothing(split, k):
    train, test = split
    model = ItemKNNRecommender(n_neighbors=k).fit(train)
    other = ItemKNNRecommender(n_neighbors=12).fit(train)
    assert model.score(test) == other.score(test)
    n_test = test.groupby("user").size().to_numpy()
    names = "recall precision ndcg average_precision reciprocal_rank hit_rate novelty"
    for name in names.split():
        scores = [make_retrieval_scorer(name, each)(model, test) for each in (12, k)]
        if name == "precision":
            assert scores[1] == pytest.approx(scores[0] * 12 / k)
        else:
            assert scores[1] == pytest.approx(scores[0])
    report = retrieval_report(model, test, k=k)
    found = report.loc[("all", "ItemKNNRecommender"), f"recall@{k}"]
    assert found == other.score(test)
    assert recall_at_k([["a"]], [["a", "b"]], k=k) == 1
    assert len(n_test) == report["users"].iloc[0]


# The value


def test_a_ranking_needs_users_places_and_truth_only():
    truth = np.array([[1.0, 0, 0], [0, 2, 0.5]])
    ranking = HeldOutRanking(users=["a", "b"], indices=[[1], [-1]], truth=truth)
    assert_array_equal(ranking.truth.toarray(), truth)
    assert ranking.seen.nnz == ranking.past.nnz == 0
    assert ranking.item_counts.tolist() == [0, 0, 0]
    assert ranking.user_counts.tolist() == [0, 0]
    assert ranking.n_unreachable.tolist() == ranking.unreachable_weight.tolist()
    assert ranking.left_out == {} and ranking.last_rows.tolist() == [-1, -1]
    with pytest.raises(FrozenInstanceError):
        ranking.users = ["c"]
    more = replace(ranking, seen=[[0, 1, 0], [1, 0, 0]])
    assert more.past.nnz == 0 and more.seen.nnz == 2
    seen = HeldOutRanking(
        users=["a", "b"], indices=[[1], [-1]], truth=truth, seen=more.seen
    )
    assert seen.item_counts.tolist() == [1, 1, 0]
    assert seen.user_counts.tolist() == [1, 1] and seen.past.nnz == 2


def test_a_ranking_has_no_stored_zeros_and_leaves_the_given_matrix_alone():
    truth = sparse.csr_array(([1.0, 0.0], [0, 1], [0, 2]), shape=(1, 3))
    ranking = HeldOutRanking(users=[0], indices=[[0]], truth=truth)
    assert ranking.truth.nnz == 1 and truth.nnz == 2


def test_rankings_that_do_not_fit_together_are_refused():
    for params, error, message in [
        ({"users": ["a"]}, ValueError, r"users of .* shape \(2,\), .* Got \(1,\)"),
        ({"users": ["a", "a"]}, ValueError, "distinct. Got 'a' more than once"),
        ({"indices": [0, 1]}, ValueError, r"indices of .* Got \(2,\)"),
        ({"indices": [[0], [3]]}, ValueError, "from 0 to 2, or -1 .* Got 0 to 3"),
        ({"indices": [[0], [-2]]}, ValueError, "Got -2 to 0"),
        ({"indices": [[0.0], [1.0]]}, TypeError, "integers.* Got dtype float64"),
        ({"seen": np.ones((2, 4))}, ValueError, r"seen of .* \(2, 3\).* Got \(2, 4\)"),
        ({"item_counts": [1, 2]}, ValueError, r"item_counts of .* Got \(2,\)"),
        ({"n_unreachable": [1]}, ValueError, r"n_unreachable of .* Got \(1,\)"),
        ({"n_unreachable": [1, -1]}, ValueError, "n_unreachable of .* >= 0. Got -1"),
        ({"n_unreachable": [1, 0.5]}, TypeError, "n_unreachable of .* hold integers"),
        ({"unreachable_weight": [1, np.inf]}, ValueError, "weight of .* finite.* inf"),
        ({"unreachable_weight": [1, -1]}, ValueError, "weight of .* >= 0. Got -1"),
        ({"unreachable_weight": ["a", "b"]}, TypeError, "weight of .* hold numbers"),
        ({"item_counts": [1, 2, np.nan]}, ValueError, "item_counts of .* Got nan"),
        ({"user_counts": [1, -2]}, ValueError, "user_counts of .* >= 0. Got -2"),
        ({"last_rows": [0, -2]}, ValueError, "last_rows of .* -1 .* Got -2"),
        ({"last_rows": [0.0, 1.0]}, TypeError, "last_rows of .* integers.* float64"),
        ({"users": ["a", None]}, ValueError, "users of .* contains NaN: 1 of 2"),
        ({"users": ["a", 1]}, TypeError, "users of .* mixes ids"),
        ({"indices": None}, TypeError, "indices of .* must be an array. Got None"),
        ({"indices": 3}, TypeError, "indices of .* must be an array. Got 3"),
        ({"indices": [[0], [1, 2]]}, ValueError, "indices of .* different lengths"),
        ({"truth": -np.eye(2, 3)}, ValueError, "truth of .* >= 0. Got -1"),
        ({"truth": np.full((2, 3), np.nan)}, ValueError, "truth of .* Got nan"),
        ({"truth": [["a"], ["b"]]}, ValueError, "truth of .* must be a valid sparse"),
        ({"truth": None}, ValueError, "truth of .* must be a valid sparse"),
        ({"item_vectors": np.eye(2)}, ValueError, r"item_v.* 3 items. Got \(2, 2\)"),
        ({"item_vectors": [[1], [2], [np.inf]]}, ValueError, "item_vectors .* inf"),
        ({"left_out": [1]}, TypeError, "left_out of .* must be a dict.* Got list"),
    ]:
        given = {"users": ["a", "b"], "indices": [[0], [1]], "truth": np.eye(2, 3)}
        with pytest.raises(error, match=message):
            HeldOutRanking(**given | params)


def test_matrices_with_positions_out_of_range_are_refused():
    for layout in ["csr", "csc"]:
        for name in ["truth", "seen", "past"]:
            matrix = sparse.eye(2, 3, format=layout)
            matrix.indices[1] = 9
            given = {"users": ["a", "b"], "indices": [[0], [1]], "truth": np.eye(2, 3)}
            with pytest.raises(ValueError, match=f"{name} of .* valid sparse matrix"):
                HeldOutRanking(**given | {name: matrix})


def test_the_ranking_of_a_recommender_by_hand():
    model = PopularityRecommender().fit(TRAIN)
    ranking = model.rank_held_out(TEST, n_neighbors=2)
    assert ranking.users.tolist() == list("abcde")
    items = model.item_ids_.tolist()
    assert items == list("pqrs")
    # p and q are popular; r and s have one user each
    ranked = [[items[i] for i in row if i >= 0] for row in ranking.indices]
    assert ranked == [["r", "s"], ["s"], ["q", "r"], ["q", "r"], ["p", "q"]]
    assert ranking.n_unreachable.tolist() == [0, 0, 0, 1, 1]
    assert ranking.item_counts.tolist() == [4, 2, 1, 1]
    assert ranking.user_counts.tolist() == [2, 3, 1, 2, 0]
    assert TEST["user"].iloc[ranking.last_rows].tolist() == list("abcde")
    assert ranking.last_rows.tolist() == [0, 1, 3, 4, 6]
    nothing = model.rank_held_out(TEST, n_neighbors=0)
    assert nothing.indices.shape == (5, 0)
    assert_array_equal(nothing.truth.toarray(), ranking.truth.toarray())
    everything = model.rank_held_out(TEST, n_neighbors=10**12)
    assert everything.indices.shape == (5, 4)


def test_bad_numbers_of_ranked_items():
    for n_neighbors, error in [(-1, ValueError), (2.0, TypeError), (True, TypeError)]:
        model = PopularityRecommender().fit(TRAIN)
        with pytest.raises(error, match="n_neighbors must be an integer >= 0. Got"):
            model.rank_held_out(TEST, n_neighbors=n_neighbors)


def test_the_past_is_known_though_nothing_is_left_out():
    both = [
        PopularityRecommender(exclude_seen=each).fit(TRAIN) for each in (True, False)
    ]
    one, other = (model.rank_held_out(TEST, n_neighbors=1) for model in both)
    assert other.seen.nnz == 0
    assert_array_equal(one.past.toarray(), other.past.toarray())
    assert_array_equal(
        one.seen.toarray(), one.past.toarray() & (one.truth.toarray() == 0)
    )


# Who is judged on what


def same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        a, b = one[name], other[name]
        if sparse.issparse(a):
            assert_allclose(a.toarray(), b.toarray(), err_msg=name)
        else:
            assert np.all(a == b), name


@for_each("weighted", [False, True])
@for_each("exclude_seen", [False, True])
def test_the_truth_of_a_wrapper_is_that_of_a_recommender(split, weighted, exclude_seen):
    train, test = split
    test = pd.concat([test, test.head(1), test.tail(3).assign(user=77, item=88)])
    model = PopularityRecommender(exclude_seen=exclude_seen).fit(train)
    rng = np.random.default_rng(0)
    args = rng.integers(0, 2, len(test)), rng.uniform(size=len(test))
    args = args if weighted else args[:1]
    sample = {"max_users": 8, "random_state": 3}
    ranking = model.rank_held_out(test, *args, n_neighbors=2, **sample)
    seen = np.zeros((len(model.user_ids_), len(model.item_ids_)))
    for user, item in train.itertuples(index=False):
        seen[model.user_ids_.tolist().index(user), item] += 1
    judged = held_out_truth(
        test,
        *args,
        item_ids=model.item_ids_,
        user_ids=model.user_ids_,
        seen=seen,
        exclude_seen=exclude_seen,
        **sample,
    )
    same(judged, {name: getattr(ranking, name) for name in judged})
    assert set(judged) == set(vars(ranking)) - {"indices", "item_vectors"}


def test_tables_of_any_kind_have_the_same_truth():
    ids = {"item_ids": list("pqrs")}
    expected = held_out_truth(TEST, **ids)
    same(held_out_truth(pl.from_pandas(TEST), **ids), expected)
    same(held_out_truth(TEST.to_numpy().tolist(), **ids), expected)
    turned = TEST[["item", "user"]].assign(time=1.5)
    same(held_out_truth(turned, user_id="user", item_id="item", **ids), expected)
    turned = turned.to_numpy()
    same(held_out_truth(turned, user_id=1, item_id=0, **ids), expected)
    assert expected.item_counts.tolist() == [0, 0, 0, 0] and expected.past.nnz == 0


def test_bad_questions_for_the_truth():
    for params, error, message in [
        ({"item_ids": ["p", None]}, ValueError, "item_ids contains NaN: 1 of 2"),
        ({"item_ids": ["p", 1]}, TypeError, "item_ids mixes ids of different types"),
        ({"item_ids": np.eye(2)}, ValueError, "item_ids must be one-dimensional"),
        ({"user_ids": [np.nan, 1]}, ValueError, "user_ids contains NaN: 1 of 2"),
        ({"item_ids": ["p", "p"]}, ValueError, "item_ids must be distinct. Got 'p'"),
        ({"user_ids": ["a", "a"]}, ValueError, "user_ids must be distinct. Got 'a'"),
        ({"user_ids": ["a"]}, ValueError, r"shape \(1, 4\). Got \(0, 4\)"),
        ({"seen": np.eye(4)}, ValueError, r"shape \(0, 4\). Got \(4, 4\)"),
        ({"user_id": "usr"}, ValueError, "user_id names 'usr'.* Did you mean 'user'"),
        ({"item_id": 7}, ValueError, "item_id names 7"),
        ({"y": np.zeros(7)}, ValueError, "no positive event"),
        ({"max_users": 0}, ValueError, "max_users must be an integer >= 1. Got 0"),
        ({"max_users": 2.5}, TypeError, "max_users must be an integer >= 1. Got 2.5"),
        ({"X": TEST.assign(user=None)}, ValueError, "users of X contains NaN"),
    ]:
        given = {"X": TEST, "item_ids": list("pqrs")}
        with pytest.raises(error, match=message):
            held_out_truth(**given | params)


DAYS = pd.to_datetime(["2024-01-01", "2024-01-02"])


def test_ids_of_another_type_are_reported_and_unknown():
    for given, known, types in [
        (["1", "2"], [1, 2], "str.*int64"),
        ([1, 2], ["1", "2"], "int64.*str"),
        ([b"1", b"2"], ["1", "2"], "bytes.*str"),
        (["1", "2"], [b"1", b"2"], "str.*bytes"),
        (["2024-01-01", "2024-01-02"], DAYS, "str.*datetime64"),
    ]:
        seen, same_ids = np.eye(2), pd.Series([7, 8])
        X = pd.DataFrame({"user": same_ids, "item": given})
        with pytest.warns(
            UserWarning, match=f"'item' of X is known.*{types}"
        ) as caught:
            judged = held_out_truth(X, item_ids=known)
        assert len(caught) == 1 and "those of item_ids" in str(caught[0].message)
        assert judged.truth.nnz == 0 and judged.n_unreachable.tolist() == [1, 1]
        X = pd.DataFrame({"user": given, "item": same_ids})
        ids = {"item_ids": same_ids, "user_ids": known}
        with pytest.warns(
            UserWarning, match=f"'user' of X is known.*{types}"
        ) as caught:
            judged = held_out_truth(X, seen=seen, **ids)
        assert len(caught) == 1 and "those of user_ids" in str(caught[0].message)
        assert judged.past.nnz == 0 and judged.truth.nnz == 2


@pytest.mark.filterwarnings("error")
def test_new_ids_and_numbers_of_another_width_are_not_reported():
    X = pd.DataFrame({"user": ["new", "too"], "item": [1.0, 2.0]})
    judged = held_out_truth(X, item_ids=[1, 2], user_ids=[1, 2], seen=np.eye(2))
    assert judged.truth.nnz == 2 and judged.past.nnz == 0


def pairs(text):
    return pd.DataFrame([pair.split("-") for pair in text.split()], columns=["u", "i"])


KNOWN = "of the pairs of X were chosen in fit, too, so figures are too high"


def test_held_out_pairs_of_fit_are_warned_of():
    model = PopularityRecommender().fit(pairs("a-p a-q b-p b-r b-s"))
    with pytest.warns(UserWarning, match=f"^67% {KNOWN}.*train side only"):
        model.score(pairs("a-q b-s b-q"))  # two of three, and b-p is left out
    with pytest.warns(UserWarning, match=f"^50% {KNOWN}"):
        retrieval_report(model, pairs("a-q a-x"), k=1)  # x is not in the catalog
    with pytest.warns(UserWarning, match=f"^100% {KNOWN}"):
        model.score(pairs("a-q a-q"))  # a repeat counts once


@pytest.mark.filterwarnings("error")
@for_each(
    "held_out",
    ["a-r a-s b-q a-q", "a-p a-q b-p b-r b-s"],
    ids=["a quarter", "the train side"],
)
def test_few_pairs_of_fit_or_all_are_not_warned_of(held_out):
    train = pairs("a-p a-q b-p b-r b-s")
    PopularityRecommender().fit(train).score(pairs(held_out))
    PopularityRecommender(exclude_seen=False).fit(train).score(pairs("a-q b-s"))


@pytest.mark.slow
def test_estimators_need_not_come_from_here():
    class Bare(BaseEstimator):
        """The smallest recommender that can be scored."""

        item_ids_ = np.array(["p", "q"])

        def fit(self, X, y=None):
            return self

        def __sklearn_is_fitted__(self):
            return True

        def rank_held_out(self, X, y, *, n_neighbors, **_):
            judged = held_out_truth(X, y, item_ids=self.item_ids_)
            ranked = np.tile([0, 1], (len(judged.users), 1))[:, :n_neighbors]
            return HeldOutRanking(judged.users, ranked, judged.truth)

    report = retrieval_report(Bare(), spelt("a:p b:q c:pq"), k=1)
    assert report.loc[("all", "Bare"), "recall@1"] == (1 + 0 + 1 / 2) / 3
    assert report["novelty@1"].isna().all()
