import inspect
import itertools
import math
import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import ndcg_score
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktwotower import metrics
from sktwotower.metrics import (
    HeldOutRanking,
    average_precision_at_k,
    coverage_at_k,
    hit_rate_at_k,
    make_retrieval_scorer,
    ndcg_at_k,
    novelty_at_k,
    precision_at_k,
    recall_at_k,
    reciprocal_rank_at_k,
    retrieval_report,
)
from tests.builders import TEST, TRAIN, FixedRanking, spelt

PER_USER = [
    recall_at_k,
    precision_at_k,
    ndcg_at_k,
    average_precision_at_k,
    reciprocal_rank_at_k,
    hit_rate_at_k,
]

# Four users and k = 3: none right, the first right, the second and third of four
# relevant ones right, nothing relevant.
Y_TRUE = [["a"], ["b", "c"], ["d", "e", "f", "g"], []]
Y_PRED = [["x", "y", "z"], ["b", "x", "y"], ["x", "d", "e"], ["a", "b", "c"]]
LOG3 = 1 / math.log2(3)
IDEAL3 = 1 + LOG3 + 1 / 2
BY_HAND = {
    recall_at_k: [0, 1 / 2, 2 / 4],
    precision_at_k: [0, 1 / 3, 2 / 3],
    ndcg_at_k: [0, 1 / (1 + LOG3), (LOG3 + 1 / 2) / IDEAL3],
    average_precision_at_k: [0, 1 / 2, (1 / 2 + 2 / 3) / 3],
    reciprocal_rank_at_k: [0, 1, 1 / 2],
    hit_rate_at_k: [0, 1, 1],
}


def test_per_user_values_by_hand():
    for metric in PER_USER:
        values = metric(Y_TRUE, Y_PRED, k=3, per_user=True)
        np.testing.assert_allclose(values, [*BY_HAND[metric], np.nan])
        assert metric(Y_TRUE, Y_PRED, k=3) == pytest.approx(np.mean(BY_HAND[metric]))
        weight = [1, 2, 5, 100]
        expected = np.average(BY_HAND[metric], weights=weight[:3])
        assert metric(Y_TRUE, Y_PRED, k=3, sample_weight=weight) == pytest.approx(
            expected
        )


def test_truncated_recall_divides_by_the_places():
    values = recall_at_k(Y_TRUE, Y_PRED, k=3, truncated=True, per_user=True)
    np.testing.assert_allclose(values, [0, 1 / 2, 2 / 3, np.nan])


def naive(metric, relevant, ranked, k):
    """Each metric from its sentence in the docstring, one user at a time."""
    ranked = [id_ for id_ in ranked[:k] if id_ not in (-1, None)]
    hit = [
        id_ in relevant and id_ not in ranked[:place]
        for place, id_ in enumerate(ranked)
    ]
    places = [place for place, is_hit in enumerate(hit, start=1) if is_hit]
    most = min(k, len(relevant))
    return {
        recall_at_k: lambda: len(places) / len(relevant),
        precision_at_k: lambda: len(places) / k,
        ndcg_at_k: lambda: (
            sum(1 / math.log2(place + 1) for place in places)
            / sum(1 / math.log2(place + 1) for place in range(1, most + 1))
        ),
        average_precision_at_k: lambda: (
            sum(n / place for n, place in enumerate(places, start=1)) / most
        ),
        reciprocal_rank_at_k: lambda: 1 / places[0] if places else 0,
        hit_rate_at_k: lambda: float(bool(places)),
    }[metric]()


IDS = st.one_of(st.integers(0, 4), st.sampled_from(["a", "1", ("a", 1)]))


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.sets(IDS), st.lists(IDS, max_size=7)), min_size=1),
    st.integers(1, 8),
)
def test_mixed_ids_and_ragged_lists_match_the_naive_loop(users, k):
    y_true, y_pred = zip(*users, strict=True)
    for metric in PER_USER:
        expected = [
            naive(metric, relevant, ranked, k) if relevant else np.nan
            for relevant, ranked in users
        ]
        values = metric(y_true, list(y_pred), k=k, per_user=True)
        np.testing.assert_allclose(values, expected)


@pytest.fixture
def positions():
    """Relevant positions as CSR and rankings without repeats, some of them short."""
    rng = np.random.default_rng(0)
    truth = sparse.csr_array(rng.random((30, 12)) < 0.2, dtype=np.float32)
    ranked = np.array([rng.permutation(12)[:6] for _ in range(30)])
    ranked[:5, 4:] = -1
    return truth, ranked


def test_all_forms_of_input_agree(positions):
    for k in [1, 4, 9]:
        for metric in PER_USER:
            truth, ranked = positions
            sets = [set(np.flatnonzero(row)) for row in truth.toarray()]
            expected = [
                naive(metric, relevant, row.tolist(), k) if relevant else np.nan
                for relevant, row in zip(sets, ranked, strict=True)
            ]
            names = np.array([*"abcdefghijkl", None], dtype=object)
            ragged = [row[row >= 0].tolist() for row in ranked]
            for y_true, y_pred in [
                (truth, ranked),
                (sparse.csc_matrix(truth), ragged),
                (truth, list(ranked)),
                (sets, ranked.astype(np.int32)),
                (
                    [np.array(sorted(ids), dtype=np.int64) for ids in sets],
                    pd.DataFrame(ranked),
                ),
                ([sorted(ids) * 2 for ids in sets], ranked.astype(float)),
                ([{names[i] for i in ids} for ids in sets], names[ranked]),
                ([{names[i] for i in ids} for ids in sets], names[ranked].astype(str)),
            ]:
                values = metric(y_true, y_pred, k=k, per_user=True)
                np.testing.assert_allclose(values, expected)


def test_ndcg_is_that_of_scikit_learn(positions):
    truth, ranked = positions
    rest = [np.setdiff1d(range(12), row) for row in ranked]
    full = [
        np.append(row[row >= 0], more) for row, more in zip(ranked, rest, strict=True)
    ]
    full = np.array(full)
    scores = np.empty((30, 12))
    np.put_along_axis(scores, full, -np.arange(12.0)[None], axis=1)
    kept = truth.sum(axis=1) > 0
    expected = ndcg_score(truth.toarray()[kept], scores[kept], k=5)
    assert ndcg_at_k(truth, full, k=5) == pytest.approx(expected)


def test_users_may_be_shuffled_and_ids_renamed(positions):
    for metric in PER_USER:
        truth, ranked = positions
        order = np.random.default_rng(1).permutation(30)
        renamed = np.append(np.random.default_rng(2).permutation(12) + 100, -1)
        expected = metric(truth, ranked, k=4, per_user=True)
        shuffled = metric(truth[order], ranked[order], k=4, per_user=True)
        np.testing.assert_array_equal(shuffled, expected[order])
        sets = [renamed[np.flatnonzero(row)] for row in truth.toarray()]
        values = metric(sets, renamed[ranked], k=4, per_user=True)
        np.testing.assert_array_equal(values, expected)


def test_a_repeated_id_counts_at_its_first_place_only():
    assert precision_at_k([["a"]], [["a", "a", "a"]], k=3) == pytest.approx(1 / 3)
    assert average_precision_at_k([["a", "b"]], [["a", "a", "b"]], k=3) == (
        pytest.approx((1 + 2 / 3) / 2)
    )


def test_ids_of_different_type_are_different_ids():
    assert recall_at_k([[1, "2"]], [["1", 2, 1]], k=3) == 0.5
    big = 2**53  # big and big + 1 are the same float
    assert recall_at_k([[big + 1]], np.array([[big]]), k=1) == 0


DAYS = pd.to_datetime(["2026-01-01", "2026-01-02"])


def test_times_of_lists_are_those_of_arrays_in_every_unit():
    for lists in [
        list(DAYS),
        [day.to_pydatetime() for day in DAYS],
        [day.date() for day in DAYS],
    ]:
        for unit in ["ns", "us", "s", "D"]:
            array = DAYS.to_numpy().astype(f"M8[{unit}]")
            assert (
                recall_at_k([lists], [array], 2)
                == recall_at_k([array], [lists], 2)
                == 1
            )
            spans, hours = [pd.Timedelta(2, "h")], np.array([7200 * 10**9], "m8[ns]")
            assert recall_at_k([spans], [hours], 2) == 1
            assert recall_at_k([hours], [[7200 * 10**9]], 2) == 0


def test_padding_is_never_a_hit():
    assert recall_at_k([[-1, 3]], np.array([[-1, -1, 3]]), k=3) == 1
    assert hit_rate_at_k([["a"], ["b"]], [[None, "a"], [None]], k=2) == 0.5


def test_stored_zeros_are_not_relevant():
    truth = sparse.csr_array(([1.0, 0.0], [0, 1], [0, 2]), shape=(1, 3))
    assert recall_at_k(truth, [[0]], k=1) == 1


def test_k_must_be_a_positive_integer():
    for k, error in [
        (0, ValueError),
        (-3, ValueError),
        (2.0, TypeError),
        (True, TypeError),
    ]:
        for metric in [*PER_USER, coverage_at_k, novelty_at_k]:
            args = {coverage_at_k: ([[0]], 3), novelty_at_k: ([[0]], [1, 2])}
            with pytest.raises(error, match="k must be an integer >= 1. Got"):
                metric(*args.get(metric, ([[0]], [[0]])), k=k)


def test_bad_input_is_named():
    for y_true, y_pred, error, message in [
        ([[1], [2]], [[1]], ValueError, "Got 2 rows in y_true and 1 in y_pred"),
        ([[], []], [[1], [2]], ValueError, "None of the 2 users has a relevant item"),
        ([1, 2], [[1], [2]], TypeError, r"y_true\[0\] is 1; write \[1\]"),
        (["ab"], [["ab"]], TypeError, r"y_true\[0\] is 'ab'; write \['ab'\]"),
        ("ab", [["ab"]], TypeError, "y_true must be a sequence .* Got str"),
        ([["a"]], [{"a"}], TypeError, r"y_pred\[0\] is a set, which has no order"),
        ([[1]], np.zeros((1, 2, 3)), ValueError, r"array of shape \(1, 2, 3\)"),
        (sparse.csr_array(np.eye(1)), [[1]], ValueError, "from 0 to 0 .* Got 1"),
        (sparse.csr_array(np.eye(1)), [["a"]], ValueError, "positions of y_true"),
        (sparse.csr_array(np.eye(1)), [[0, 2**63]], ValueError, "Got 9223372036854775"),
        (sparse.csr_array(np.eye(1)), [[0], [np.inf]], ValueError, "Got inf"),
        (sparse.csr_array(np.eye(2)), [[0]], ValueError, "2 rows in y_true and 1"),
        ([[0]], sparse.csr_array(np.eye(1)), TypeError, "matrix, csr_array, which has"),
        ([[0]], sparse.csc_matrix(np.eye(1)), TypeError, "y_pred must hold ranked ids"),
        ([[0]], sparse.coo_array(np.eye(1)), TypeError, "y_pred must hold ranked ids"),
        ([[0]], sparse.lil_matrix(np.eye(1)), TypeError, "y_pred must hold ranked ids"),
    ]:
        with pytest.raises(error, match=message):
            recall_at_k(y_true, y_pred, k=2)


def test_bad_weights_are_named():
    for weight, message in [
        ([1], "one weight per user, 2 in all. Got 1"),
        ([-1, 1], "finite weights >= 0. Got -1.0 in row 0"),
        ([0, 1], "above 0 for at least one user with relevant items"),
        (["a", "b"], "sample_weight must hold numbers, finite weights >= 0"),
        ({"a": 1}, "sample_weight must hold numbers, finite weights >= 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            recall_at_k([[1], []], [[1], [1]], k=1, sample_weight=weight)


def test_users_without_relevant_items_are_nan_per_user_even_if_all_are():
    assert np.isnan(recall_at_k([[], []], [[1], [2]], k=1, per_user=True)).all()


def test_sparse_rankings_are_refused():
    for matrix in [sparse.csr_array, sparse.coo_matrix]:
        with pytest.raises(TypeError, match="y_pred must hold ranked ids, best first"):
            coverage_at_k(matrix(np.eye(2)), n_items=2)
        with pytest.raises(TypeError, match="y_pred must hold ranked ids, best first"):
            novelty_at_k(matrix(np.eye(2)), [1, 1])


def test_coverage_by_hand():
    assert coverage_at_k([["a", "b"], ["b", None], []], n_items=8, k=2) == 0.25
    assert coverage_at_k(np.array([[0, 1, 2], [0, 3, -1]]), n_items=6, k=2) == 0.5
    with pytest.raises(ValueError, match="number of distinct ids in y_pred, 2. Got 1"):
        coverage_at_k([["a", "b"]], n_items=1)
    with pytest.raises(TypeError, match="n_items must be an integer >= 1. Got 2.5"):
        coverage_at_k([["a", "b"]], n_items=2.5)


def test_novelty_by_hand():
    for kind in [dict, pd.Series, np.array]:
        # shares 1/2, 1/4, 1/4; item 3 has no event and counts as half of item 2
        counts = {0: 4, 1: 2, 2: 2, 3: 0}
        item_counts = kind(list(counts.values()) if kind is np.array else counts)
        assert novelty_at_k([[0, 1]], item_counts, k=2) == 1.5
        assert novelty_at_k([[0], [1, 2], []], item_counts, k=2) == 1.5
        assert novelty_at_k(np.array([[3, 0, -1]]), item_counts, k=1) == 3


def test_novelty_by_share_of_users():
    for kind in [dict, pd.Series, np.array]:
        # shares of 8 users 1/2, 1/4; item 2 has no user and counts as half of item 1
        counts = {0: 4, 1: 2, 2: 0}
        item_counts = kind(list(counts.values()) if kind is np.array else counts)
        assert novelty_at_k([[0, 1]], item_counts, k=2, n_users=8) == 1.5
        assert novelty_at_k([[2]], item_counts, n_users=8) == 3
        with pytest.raises(ValueError, match="n_users must be at least .* 4, .* Got 3"):
            novelty_at_k([[0]], item_counts, n_users=3)


def test_novelty_of_an_id_without_count_is_that_of_a_zero_count():
    assert novelty_at_k([["z"]], {"a": 4, "b": 4}) == novelty_at_k(
        [["z"]], {"a": 4, "b": 4, "z": 0}
    )


def test_bad_counts_are_named():
    for y_pred, counts, message in [
        ([[0]], [0, 0], "item_counts must be finite"),
        ([[0]], [1, -1], "item_counts must be finite"),
        ([[0]], {0: np.nan}, "item_counts must be finite"),
        ([[5]], [1, 1], "positions of item_counts, integers from 0 to 1"),
        ([[1, -(2**70)]], [1, 1], "from 0 to 1 .* Got -1180591620717411303424"),
        ([[], [-1]], [1, 1], "holds no ids"),
        ([["a"]], pd.Series([1, 2], index=["a", "a"]), "names an id twice"),
    ]:
        with pytest.raises(ValueError, match=message):
            novelty_at_k(y_pred, counts)


FIGURES = set(metrics.__all__) - {"HeldOutRanking", "held_out_truth"}


def test_docstrings_state_denominator_and_who_is_left_out():
    for name in sorted(FIGURES):
        text = inspect.getdoc(getattr(metrics, name))
        assert "\nDenominator: " in text
        assert re.search(r"\n(Users|Lists|Rows) left out: ", text)


@pytest.fixture
def model():
    return FixedRanking().fit(TRAIN)


def test_scorer_by_hand(model):
    # k = 1: a r (s): 0, b s: 1, c q: 1/2, d q (z): 0, e p of p and z: 1/2
    assert make_retrieval_scorer("recall", k=1)(model, TEST) == 2 / 5
    assert make_retrieval_scorer("hit_rate@1")(model, TEST) == 3 / 5
    assert make_retrieval_scorer("reciprocal_rank", 4)(model, TEST) == 3.5 / 5
    assert make_retrieval_scorer("precision@4")(model, TEST) == (1 + 1 + 2 + 1) / 20
    assert make_retrieval_scorer("coverage@1")(model, TEST) == 1
    assert make_retrieval_scorer("novelty@1")(model, TEST) == (3 + 3 + 2 + 2 + 1) / 5
    truncated = make_retrieval_scorer("recall@1", truncated=True)
    assert truncated(model, TEST) == 3 / 5
    # 8 training events: of 16 users each item's share is half, one bit more
    by_users = make_retrieval_scorer("novelty@1", n_users=16)
    assert by_users(model, TEST) == (3 + 3 + 2 + 2 + 1) / 5 + 1


def test_scorer_takes_only_positive_rows_as_relevant(model):
    y = np.array([1, 0, 0, 0, 0, 0, 0])
    assert make_retrieval_scorer("recall@1")(model, TEST, y) == 0
    assert make_retrieval_scorer("recall@2")(model, TEST, y) == 1


def test_scorer_prints_and_pickles(model):
    params = {"max_users": 3, "random_state": 0, "truncated": True}
    scorer = make_retrieval_scorer("recall@5", **params)
    again = pickle.loads(pickle.dumps(scorer))
    assert repr(again) == repr(scorer)
    assert repr(scorer) == (
        "make_retrieval_scorer('recall', k=5, max_users=3, random_state=0, "
        "truncated=True)"
    )
    assert again(model, TEST) == scorer(model, TEST)


@pytest.mark.slow
def test_scorer_reaches_through_pipelines_and_searches(model):
    scorer = make_retrieval_scorer("ndcg@3")
    expected = scorer(model, TEST)
    rename = FunctionTransformer(lambda X: X.rename(columns={"who": "user"}))
    renamed = TRAIN.rename(columns={"user": "who"})
    pipe = make_pipeline(rename, FixedRanking()).fit(renamed)
    assert scorer(pipe, TEST.rename(columns={"user": "who"})) == expected
    assert scorer(make_pipeline(FixedRanking()).fit(TRAIN), TEST) == expected
    search = GridSearchCV(FixedRanking(), {"reverse": [False]}, cv=2, scoring=scorer)
    search.fit(TRAIN)
    assert scorer(search, TEST) == expected == search.score(TEST)
    assert scorer(make_pipeline(search), TEST) == expected


@pytest.mark.slow
def test_scorer_drives_searches_and_multi_metric_validation():
    X = spelt("a:pqrs b:pqr c:pqs d:pr e:pqrs f:ps")
    scoring = {name: make_retrieval_scorer(name, 2) for name in ("recall", "novelty")}
    cv = KFold(3, shuffle=True, random_state=0)
    grid = {"reverse": [False, True]}
    search = GridSearchCV(FixedRanking(), grid, scoring=scoring, refit="recall", cv=cv)
    search.fit(X)
    by_hand = [
        scoring["recall"](FixedRanking().fit(X.iloc[train]), X.iloc[test])
        for train, test in cv.split(X)
    ]
    assert search.cv_results_["mean_test_recall"][0] == pytest.approx(np.mean(by_hand))
    result = cross_validate(FixedRanking(), X, scoring=scoring, cv=cv, n_jobs=1)
    np.testing.assert_allclose(result["test_recall"], by_hand)
    assert np.isfinite(result["test_novelty"]).all()


def test_bad_scorers_are_refused_when_made():
    for args, params, error, message in [
        (("recal",), {}, ValueError, "Got 'recal'. Did you mean 'recall'"),
        (("ngcd@5",), {}, ValueError, "Did you mean 'ndcg'"),
        (("MRR@5",), {}, ValueError, "Got 'MRR@5'. Did you mean 'reciprocal_rank'"),
        (("recall@x",), {}, ValueError, "must read like 'recall@20'"),
        (("recall@0",), {}, ValueError, "k must be an integer >= 1"),
        (("recall", 2.5), {}, TypeError, "k must be an integer >= 1"),
        (("ndcg",), {"truncated": True}, TypeError, r"no argument \['truncated'\]"),
    ]:
        with pytest.raises(error, match=message):
            make_retrieval_scorer(*args, **params)


def test_scorer_says_what_it_cannot_score(model):
    scorer = make_retrieval_scorer()
    with pytest.raises(TypeError, match="FunctionTransformer cannot rank held-out"):
        scorer(FunctionTransformer(), TEST)
    with pytest.raises(TypeError, match="fitted with refit"):
        scorer(GridSearchCV(FixedRanking(), {}), TEST)
    with pytest.raises(ValueError, match="no positive event .* nothing to score"):
        scorer(model, TEST, np.zeros(len(TEST)))
    assert scorer(model, spelt("d:z e:z")) == 0


def test_report_by_hand(model):
    report = retrieval_report(model, TEST, k=(1, 2))
    everyone = report.loc[("all", "FixedRanking")]
    assert everyone["recall@1"] == 2 / 5
    error = np.std([0, 1, 0.5, 0, 0.5], ddof=1) / 5**0.5
    assert everyone["recall@1 se"] == pytest.approx(error)
    assert everyone["mrr@2"] == 3.5 / 5
    assert everyone[["users", "events"]].tolist() == [5, 7]
    # without the two z, which are in no catalog
    known = report.loc[("known items", "FixedRanking")]
    assert known["recall@1"] == 2.5 / 4
    assert known[["users", "events"]].tolist() == [4, 5]
    # head: only p; it holds half of the eight events, and only e wants it
    assert report.loc[("head items", "FixedRanking"), "recall@1"] == 1
    assert report.loc[("head items", "FixedRanking"), "events"] == 1
    assert report.loc[("tail items", "FixedRanking"), "recall@1"] == 1.5 / 3
    # training events a 2, b 3, c 1, d 2, e 0: the median is 2
    assert report.loc[("few events", "FixedRanking"), "recall@1"] == 1 / 4
    assert report.loc[("many events", "FixedRanking"), "recall@1"] == 1
    assert report.loc[("cold users", "FixedRanking"), "users"] == 1
    assert "cold items" not in report.index
    assert report.attrs["events_not_in_catalog"] == 2


@pytest.mark.slow
def test_popularity_is_compared_with_a_worse_model():
    # catalog s r q p, ranked so by the model; by popularity p q s r
    model = FixedRanking(reverse=True).fit(TRAIN)
    recall = retrieval_report(model, TEST, k=1)["recall@1"]
    assert recall["all", "FixedRanking"] == (1 + 1 + 0 + 0 + 0) / 5
    assert recall["all", "popularity"] == (1 + 1 + 1 / 2 + 0 + 1 / 2) / 5


@pytest.mark.slow
@pytest.mark.parametrize("max_users", [None, 3])
def test_report_equals_the_scorer(model, max_users):
    params = {"max_users": max_users, "random_state": 0}
    report = retrieval_report(model, TEST, k=2, **params)
    for metric in "recall ndcg reciprocal_rank hit_rate coverage novelty".split():
        column = {"reciprocal_rank": "mrr"}.get(metric, metric) + "@2"
        score = make_retrieval_scorer(metric, 2, **params)(model, TEST)
        assert report.loc[("all", "FixedRanking"), column] == score


@pytest.mark.slow
def test_report_shows_cold_items():
    model = FixedRanking().fit(TRAIN)
    model.n_events_ = model.n_events_.where(model.item_ids_ != "s", 0)
    report = retrieval_report(model, TEST, k=1)
    assert report.loc[("cold items", "FixedRanking"), "recall@1"] == 1 / 2
    assert report.loc[("cold items", "popularity"), "users"] == 2


class Prepared(FixedRanking):
    """Returns a ranking that is given."""

    def __init__(self, ranking=None):
        self.ranking = ranking

    def fit(self, X, y=None):
        self.item_ids_ = np.arange(self.ranking.truth.shape[1])
        return self

    def rank_held_out(self, X, y=None, sample_weight=None, **params):
        return self.ranking


@pytest.mark.slow
def test_popularity_is_the_naive_ranking():
    rng = np.random.default_rng(0)
    for n_users, n_items, share, k in itertools.product(
        (1, 5), (2, 7), (0.0, 0.3, 0.9), (1, 9)
    ):
        seen = rng.random((n_users, n_items)) < share
        seen[:, 0] = False
        truth = ~seen & (rng.random((n_users, n_items)) < 0.5)
        truth[:, 0] = True
        counts = rng.integers(0, 4, n_items).astype(np.uint64) + (
            np.arange(n_items) == 1
        )
        ranking = HeldOutRanking(
            np.arange(n_users),
            np.zeros((n_users, k), dtype=int),
            sparse.csr_array(truth.astype(float)),
            seen=sparse.csr_array(seen.astype(float)),
            item_counts=counts,
        )
        naive_lists = [
            sorted(np.flatnonzero(~row), key=lambda item: (-int(counts[item]), item))
            for row in seen
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = retrieval_report(Prepared(ranking).fit(TRAIN), TEST, k=k)
        found = report.loc[("all", "popularity")]
        wanted = [np.flatnonzero(row) for row in truth]
        for name, metric in (("recall", recall_at_k), ("ndcg", ndcg_at_k)):
            expected = metric(wanted, naive_lists, k=k)
            assert found[f"{name}@{k}"] == pytest.approx(expected)


@pytest.mark.slow
def test_baselines_are_compared_item_by_item(model):
    mirrored = FixedRanking(reverse=True).fit(TRAIN)
    pipe = make_pipeline(FixedRanking()).fit(TRAIN)
    report = retrieval_report(
        model, TEST, k=2, baselines={"mirrored": mirrored, "same": pipe}
    )
    models = report.index.get_level_values("model").unique().tolist()
    assert models == ["FixedRanking", "popularity", "mirrored", "same"]
    same, own = (report.xs(name, level="model") for name in ("same", "FixedRanking"))
    pd.testing.assert_frame_equal(same, own)
    # by itself, the mirrored catalog is read in its own positions
    for metric in ("recall@2", "ndcg@2", "coverage@2", "novelty@2"):
        single = make_retrieval_scorer(metric)(mirrored, TEST)
        assert report.loc[("all", "mirrored"), metric] == pytest.approx(single)


def test_bad_baselines_are_named(model):
    with pytest.raises(ValueError, match="'popularity', which is a model already"):
        retrieval_report(model, TEST, baselines={"popularity": model})

    class Other(FixedRanking):
        def rank_held_out(self, X, y=None, sample_weight=None, **params):
            return super().rank_held_out(X[X["user"] < "c"], y, **params)

    with pytest.raises(ValueError, match="'other' ranks for other users.* 3 of 5"):
        retrieval_report(model, TEST, baselines={"other": Other().fit(TRAIN)})


@pytest.mark.slow
def test_report_pickles(model):
    report = retrieval_report(model, TEST, k=(1, 20))
    again = pickle.loads(pickle.dumps(report))
    pd.testing.assert_frame_equal(pd.DataFrame(again), pd.DataFrame(report))
    assert repr(again) == repr(report)


def test_report_refuses_a_bad_k(model):
    with pytest.raises(ValueError, match="k must be an integer >= 1. Got 0"):
        retrieval_report(model, TEST, k=(10, 0))
