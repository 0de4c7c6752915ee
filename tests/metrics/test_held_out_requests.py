"""Held-out events that are judged by request: a user with a context."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal

from sktwotower import EASERecommender, PopularityRecommender
from sktwotower.inspection import feature_importance
from sktwotower.metrics import (
    HeldOutRanking,
    held_out_truth,
    make_retrieval_scorer,
    retrieval_report,
)
from sktwotower.model_selection import prequential_validate
from tests.builders import Wrapper, random_events, small, spelt

# by popularity: p 4, q 2, r 1, s 1
TRAIN = spelt("a:pq b:pqr c:p d:ps").assign(hour=0)
# q is not left out where it is to be found; z is in no catalog
HELD_OUT = pd.DataFrame(
    [("c", "q", 8), ("a", "s", 20), ("a", "r", 8), ("a", "q", 20), ("d", "z", 20)],
    columns=["user", "item", "hour"],
)
# of a at 20, a at 8, c and d: r, s, q are found, q is first, p was chosen in fit
RANKED = ["qrs", "rs", "qrs", "qr"]
RECALL_1 = [1 / 2, 1, 1, 0]
# deviations of a, c, d from the mean 5/8 add up to 1/4, 3/8, -5/8
ERROR_1 = math.sqrt((1 / 4) ** 2 + (3 / 8) ** 2 + (5 / 8) ** 2) * math.sqrt(3 / 2) / 4


@pytest.fixture(scope="module")
def model():
    return PopularityRecommender().fit(TRAIN)


@pytest.fixture(scope="module")
def in_context():
    """Return a model whose context is the hour, of which it learnt only one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return small(context="hour", n_neighbors=1).fit(TRAIN)


def ranked_items(model, ranking):
    items = np.append(model.item_ids_, "")
    return ["".join(row) for row in items[ranking.indices]]


# Rows


def test_each_request_is_a_row(model):
    ranking = model.rank_held_out(HELD_OUT, n_neighbors=3, requests="hour")
    assert ranking.users.tolist() == ["a", "a", "c", "d"]
    assert ranking.requests.tolist() == [0, 1, 0, 0]
    assert ranking.last_rows.tolist() == [3, 2, 0, 4]
    assert ranked_items(model, ranking) == RANKED
    found = pd.DataFrame(ranking.truth.toarray(), columns=model.item_ids_)
    wanted = ["".join(found.columns[row > 0]) for row in found.to_numpy()]
    assert wanted == ["qs", "r", "q", ""]
    assert ranking.n_unreachable.tolist() == [0, 0, 0, 1]
    assert ranking.user_counts.tolist() == [2, 2, 1, 2]


def test_the_context_of_a_model_tells_requests_apart(in_context):
    unnamed = in_context.rank_held_out(HELD_OUT, n_neighbors=3)
    named = in_context.rank_held_out(HELD_OUT, n_neighbors=3, requests=["hour"])
    assert unnamed.requests.tolist() == [0, 1, 0, 0]
    for field in ("users", "requests", "indices", "last_rows", "user_counts"):
        assert_array_equal(getattr(unnamed, field), getattr(named, field))
    by_request = make_retrieval_scorer("recall@1", requests="hour")
    assert in_context.score(HELD_OUT) == by_request(in_context, HELD_OUT)
    by_user = in_context.rank_held_out(HELD_OUT, n_neighbors=3, requests=[])
    assert by_user.requests is None and by_user.users.tolist() == ["a", "c", "d"]


def test_a_model_without_context_is_judged_by_user(model):
    assert model.rank_held_out(HELD_OUT, n_neighbors=3).requests is None
    assert model.score(HELD_OUT) == pytest.approx(2 / 3)  # d's item is a miss


def test_y_and_arrays(model):
    y = [1, 1, 0, 1, 0]
    judged = model.rank_held_out(HELD_OUT, y, n_neighbors=1, requests=["hour"])
    assert judged.users.tolist() == ["a", "c"]
    assert judged.left_out["events not positive"] == 2
    plain = PopularityRecommender().fit(TRAIN.to_numpy())
    found = plain.rank_held_out(HELD_OUT.to_numpy(), n_neighbors=3, requests=[2])
    assert ranked_items(plain, found) == RANKED


def test_a_sample_is_one_of_requests(model):
    params = {"n_neighbors": 3, "requests": "hour", "random_state": 0}
    whole = model.rank_held_out(HELD_OUT, **params)
    part = model.rank_held_out(HELD_OUT, max_users=2, **params)
    rows = [
        next(i for i in range(4) if key == (whole.users[i], whole.requests[i]))
        for key in zip(part.users, part.requests, strict=True)
    ]
    assert len(rows) == 2
    assert_array_equal(part.indices, whole.indices[rows])
    assert_array_equal(part.last_rows, whole.last_rows[rows])
    assert part.left_out["requests not sampled"] == 2


def test_columns_that_are_no_requests(model):
    with pytest.raises(ValueError, match="requests names 'hours', which is not a col"):
        model.rank_held_out(HELD_OUT, n_neighbors=1, requests="hours")


def test_lists_are_contexts():
    X = [["ann", "tea", [1]], ["ann", "egg", [2]], ["ann", "jam", [1]]]
    X = pd.DataFrame(X, columns=["user", "item", "tags"])
    judged = held_out_truth(X, item_ids=["tea", "egg", "jam"], requests="tags")
    assert judged.truth.toarray().tolist() == [[1, 0, 1], [0, 1, 0]]


def test_missing_values_are_one_context():
    X = pd.DataFrame({"user": "a", "item": list("pqr"), "hour": [np.nan, 1, np.nan]})
    judged = held_out_truth(X, item_ids=list("pqr"), requests="hour")
    assert judged.truth.toarray().tolist() == [[1, 0, 1], [0, 1, 0]]
    judged = held_out_truth(X.assign(day=[1, 1, 2]), item_ids=["p"], requests=[2, 3])
    assert judged.users.tolist() == ["a"] * 3


# Figures


def test_the_scorer_and_its_error(model):
    scorer = make_retrieval_scorer(
        ["recall@1", "coverage@1"], standard_error=True, requests="hour"
    )
    scores = scorer(model, HELD_OUT)
    assert scores["recall@1"] == pytest.approx(np.mean(RECALL_1))
    assert scores["recall@1 se"] == pytest.approx(ERROR_1)
    assert scores["coverage@1"] == 2 / 4
    assert "requests='hour'" in repr(scorer)


@pytest.mark.slow
def test_the_report_judges_all_models_by_the_same_requests(model, in_context):
    ease = EASERecommender().fit(TRAIN)
    baselines = {"mine": ease, "wrapper": Wrapper().fit(TRAIN)}
    given = {user: list("rsq") for user in "acd"}
    expected = retrieval_report(
        model, HELD_OUT, k=1, baselines={**baselines, "given": given}, requests="hour"
    )
    row = expected.loc[("all", "PopularityRecommender")]
    assert row[["users", "requests", "events"]].tolist() == [3, 4, 5]
    assert row["recall@1"] == pytest.approx(np.mean(RECALL_1))
    assert row["recall@1 se"] == pytest.approx(ERROR_1)
    # the same list for both requests of a, one of which is for r
    assert expected.loc[("all", "given"), "recall@1"] == 1 / 4
    assert expected.loc[("all", "popularity"), "recall@1"] == row["recall@1"]
    for name, other in baselines.items():
        alone = make_retrieval_scorer("recall@1", requests=["hour"])(other, HELD_OUT)
        assert expected.loc[("all", name), "recall@1"] == alone
    baselines["given"] = given
    for first, others in (
        (model, {"context": in_context, **baselines}),
        (in_context, {"popular": model, **baselines}),
    ):
        report = retrieval_report(first, HELD_OUT, k=1, baselines=others)
        for name in (*baselines, "popularity"):
            found, named = (r.loc[("all", name)] for r in (report, expected))
            assert found["recall@1"] == named["recall@1"]
            assert found["requests"] == named["requests"] == 4
    assert "request by request" in str(report)
    assert "3 users, 4 requests, 5 events" in str(report)


def test_a_median_of_events_counts_each_user_once(model):
    held_out = pd.DataFrame(
        [("a", "r", 1), ("b", "s", 1), ("b", "s", 2), ("b", "s", 3), ("c", "q", 1)],
        columns=["user", "item", "hour"],
    )
    # events of fit: a 2, b 3, c 1; the median of the five requests is 3
    report = retrieval_report(model, held_out, k=1, requests="hour")
    few = report.loc[("few events", "popularity"), ["users", "requests"]]
    many = report.loc[("many events", "popularity"), ["users", "requests"]]
    assert (few.tolist(), many.tolist()) == ([2, 2], [1, 3])


def test_a_wrapper_that_ranks_by_user_is_refused(model):
    class ByUser(Wrapper):
        def rank_held_out(self, *args, requests=None, **params):
            return super().rank_held_out(*args, **params)

    other = ByUser().fit(TRAIN)
    with pytest.raises(ValueError, match="'x' ranks for other requests.* 4 of 4"):
        retrieval_report(
            model, HELD_OUT, k=1, baselines={"x": other}, requests=["hour"]
        )


def test_lists_of_a_model_with_context_are_judged_list_by_list(in_context):
    X = HELD_OUT.assign(list=[0, 1, 2, 2, 0], user=list("aabba"), item=list("sqrps"))
    report = retrieval_report(in_context, X, [1, 1, 0, 1, 0], lists="list")
    assert "requests" not in report and report["lists"].iloc[0] == 2


# One request of each user


@pytest.fixture(scope="module")
def events():
    events = random_events().assign(hour=8)
    held_out = np.random.default_rng(1).uniform(size=len(events)) < 0.3
    return events[~held_out], events[held_out].reset_index(drop=True)


def twice(events):
    """Return events that happen in the evening again."""
    return pd.concat([events, events.assign(hour=20)], ignore_index=True)


@pytest.mark.slow
def test_with_one_request_each_figures_are_those_of_users(events):
    train, later = events
    model = EASERecommender().fit(train)
    by_user = retrieval_report(model, later, k=[1, 3])
    by_request = retrieval_report(model, later, k=[1, 3], requests=["hour"])
    columns = by_user.columns
    assert_frame_equal(by_request[columns], by_user[columns], check_exact=True)
    assert (by_request["requests"] == by_user["users"]).all()


def test_the_same_requests_twice_are_not_more_certain(events):
    train, later = events
    model = EASERecommender().fit(train)
    once = retrieval_report(model, later, k=3)
    again = retrieval_report(model, twice(later), k=3, requests=["hour"])
    columns = once.columns.drop("events")
    assert_allclose(again[columns], once[columns])
    assert (again["requests"] == 2 * once["users"]).all()


@pytest.fixture(scope="module")
def asked(events):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return small(context="hour", n_neighbors=3).fit(events[0])


@pytest.mark.slow
def test_displays_of_requests(events, asked):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    from sktwotower import plots

    later = events[1]
    for name, k in (("RecallCurve", "max_k"), ("RecallByPopularity", "k")):
        draw = getattr(plots, f"{name}Display").from_estimator
        once, again = (draw(asked, X, **{k: 3}) for X in (later, twice(later)))
        assert_frame_equal(again.recall, once.recall)
        assert_frame_equal(again.standard_error, once.standard_error)
    plt.close("all")


@pytest.mark.slow
def test_the_importance_of_features_by_request(events, asked):
    once, again = (feature_importance(asked, X) for X in (events[1], twice(events[1])))
    assert_frame_equal(again, once)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_prequential_popularity_is_judged_by_the_requests_of_the_model():
    events = random_events(seed=3)
    times = np.random.default_rng(0).permutation(len(events))
    events = events.assign(hour=times % 3, day=times)

    def scores(scoring, **params):
        table = prequential_validate(
            small(n_neighbors=2, **params),
            events,
            strategies=["popularity", "refit"],
            time="day",
            n_slices=2,
            scoring=scoring,
        )
        return table.pivot(index="slice", columns="strategy", values="test_score")

    of_model = scores(None, context="hour")
    named = make_retrieval_scorer("recall", 2, requests=["hour"])
    assert_frame_equal(of_model, scores(named, context="hour"))
    assert not np.allclose(of_model["popularity"], scores(None)["popularity"])


# Rankings of others


def test_a_ranking_of_requests():
    fields = {"users": ["a", "a", "b"], "indices": [[0], [1], [0]]}
    truth, past = np.eye(3), [[0, 1, 0], [0, 1, 0], [0, 1, 1]]
    ranking = HeldOutRanking(**fields, truth=truth, past=past, requests=[0, 1, 0])
    assert ranking.item_counts.tolist() == [0, 2, 1]  # users, not requests
    with pytest.raises(ValueError, match="distinct within each of requests. Got 'a'"):
        replace(ranking, requests=[0, 0, 0])
    with pytest.raises(ValueError, match="distinct. Got 'a' more than once"):
        replace(ranking, requests=None)
    with pytest.raises(ValueError, match=r"requests of .* shape \(3,\)"):
        replace(ranking, requests=[0, 1])
    with pytest.raises(TypeError, match="requests of .* integers"):
        replace(ranking, requests=[0.0, 1.0, 0.0])
