"""Weights of parts after `partial_fit`: what they follow, and when they stay."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from skorch.callbacks import Callback

import sktwotower.recommender._weights_after as weights_after
from sktwotower import runtime
from sktwotower.io import dump, load
from sktwotower.towers import PooledHistory
from tests.builders import small
from tests.cases import for_each
from tests.recommender.weighed import coming_back, fitted_once, weighed

N_ITEMS, N_USERS = 60, 300
FITS = {
    "in order": {"time": "when"},
    "pooled": {},
    "context": {"context": ["place"]},
    "context in order": {"context": ["place"], "time": "when"},
    "sparse parts": {"time": "when", "sparse_parts": "auto"},
}


FEW = "in order", "sparse parts"


def of_taste(n_events, seed=0):
    """Return events of users whose items are those of their group, at any time."""
    rng, when = np.random.default_rng(seed), np.arange(n_events)
    users = np.concatenate([rng.permutation(N_USERS) for _ in when[::N_USERS]])
    items = rng.integers(6, size=n_events) * 10 + users % 10
    return pd.DataFrame({"user": users, "item": items, "when": when})


def of_the_week(week, start):
    """Return events of each user at a time from ``start`` on, all of a few items."""
    rng = np.random.default_rng(week)
    users, items = (
        rng.permutation(N_USERS),
        week // 2 * 7 + rng.integers(4, size=N_USERS),
    )
    when = start + np.arange(N_USERS)
    return pd.DataFrame({"user": users, "item": items % N_ITEMS, "when": when})


@pytest.fixture(scope="module")
def tasteful():
    """Fit a model of users who choose by taste, in which popularity says little."""
    params = {"embedding_dim": 16, "max_epochs": 4, "lr": 0.05, "time": "when"}
    params |= {"exclude_seen": False, "validation_events": "latest"}
    return small(**params).fit(of_taste(5400))


@pytest.fixture(scope="module")
def fitted():
    """Return a function that fits one of the models, once, and returns a copy."""
    shared = fitted_once(FITS)

    def get(name):
        return copy.copy(shared(name))

    return get


def later(n_events=400, seed=1):
    """Return events after those of `coming_back`, as a table of five columns."""
    events = coming_back(n_events, seed=seed)
    events["when"] += 5000
    events["day"] += 50
    return events


def shares(model):
    """Return the share of each part by the number of past items, an array."""
    table = model.weights_
    return table.drop(columns="ndcg@20 added", errors="ignore").to_numpy()


def share_of_recent_popularity(model):
    is_recent = model.weights_.index.str.startswith("recent popularity")
    return np.abs(shares(model)[is_recent, -1]).sum()


@pytest.mark.fuzz
def test_weights_follow_a_season(tasteful):
    follows = copy.copy(tasteful)
    stays = copy.copy(tasteful).set_params(validation_events=None)
    scores = []
    for week in range(8):
        events = of_the_week(week, 5400 + week * N_USERS)
        if week % 2:  # the second week of a fashion
            scores.append([follows.score(events), stays.score(events)])
        follows.partial_fit(events)
        stays.partial_fit(events)
    assert share_of_recent_popularity(follows) > 2 * share_of_recent_popularity(stays)
    later_scores = np.mean(scores[1:], axis=0)
    assert later_scores[0] > later_scores[1] + 0.05


@pytest.mark.fuzz
def test_an_hour_of_random_items_changes_lists_hardly(tasteful):
    events = of_taste(5700, seed=0)[5400:]
    permuted = events.assign(item=np.random.default_rng(0).permutation(events["item"]))
    follows = copy.copy(tasteful).partial_fit(permuted)
    stays = copy.copy(tasteful).set_params(validation_events=None)
    stays.partial_fit(permuted)
    change = np.abs(shares(follows) - shares(tasteful))[:, 1:].sum(axis=0)
    assert change.max() < 1.0  # of 2, if all weight had gone to other parts
    after = of_taste(6000, seed=0)[5700:]
    assert follows.score(after) > 0.9 * stays.score(after)


def test_learnt_weights_are_cut_off():
    before = np.array([[0.6, 0.4, 0.0, 0.0], [0.5, 0.0, -0.3, 0.2]])
    learnt = np.array([[0.0, 9.0, 0.0, 5.0], [0.0, -1.0, 1.0, 0.0]])
    weights = weights_after.within_bounds(before, learnt)
    # in the scale of before: 0 .64 0 .36, and 0 -.5 .5 0; half of each, or a tenth
    wanted = np.array([[0.3, 0.6, 0, 0.1], [0.25, -0.1, -0.15, 0.1]])
    np.testing.assert_allclose(weights, wanted)
    # only proportions count
    same = weights_after.within_bounds(before, 7 * before)
    np.testing.assert_allclose(same, before)


def test_the_first_part_never_vanishes():
    weights = np.array([[0.5, 0.5]])
    for _ in range(40):
        learnt = np.array([[0.0, 1.0]])
        weights = weights_after.within_bounds(weights, learnt)
        weights /= weights.sum()
    assert 0.01 < weights[0, 0] < 0.03


def moved(model, n_events=400):
    """Return a model whose weights have followed a call, and the weights before."""
    before = shares(model)
    events = later(n_events)
    # what is popular now is all that counts
    events["item"] = [f"i{n:02}" for n in 40 + np.arange(n_events) % 3]
    model.partial_fit(events)
    return model, before


@pytest.mark.each_time("sparse parts")
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in FEW else pytest.mark.grid)
        for name in FITS
    ],
)
def test_answers_and_files_have_the_new_weights(name, fitted, tmp_path):
    model, before = moved(fitted(name).set_params(exclude_seen=False))
    if name == "in order":  # popularity of now is one of its parts
        assert np.abs(shares(model) - before).max() > 0.005
    dump(model, tmp_path / "model.sktt")
    again = load(tmp_path / "model.sktt")
    pd.testing.assert_frame_equal(again.weights_, model.weights_)
    served = runtime.load(tmp_path / "model.sktt")
    pickled = pickle.loads(pickle.dumps(model))
    for user in ("u000", "u007"):
        wanted = model.recommend([user], 5)
        items, scores = served.recommend(user, 5)
        assert list(items) == wanted["item"].tolist()
        np.testing.assert_allclose(scores, wanted["score"], atol=1e-6)
        pd.testing.assert_frame_equal(pickled.recommend([user], 5), wanted)
        pd.testing.assert_frame_equal(again.recommend([user], 5), wanted)
    assert not clone(model).__sklearn_is_fitted__()


def test_later_calls_start_from_the_weights_of_now(fitted):
    model, _ = moved(fitted("in order"))
    now = shares(model)
    model.forget_users(["u003"])
    np.testing.assert_allclose(shares(model), now)
    model.set_catalog(model.item_ids_[::2])
    np.testing.assert_allclose(shares(model), now)
    model.partial_fit(later(seed=2))
    assert len(model.item_ids_) == 30
    assert np.isfinite(model.recommend(["u001"], 5)["score"]).all()


@for_each(
    "params",
    [
        {"lr": 0},
        {"history": PooledHistory(second_share=0.3)},
        {"validation_events": None},
    ],
)
def test_weights_that_are_set_stay(params, fitted):
    model = fitted("in order")
    model, before = moved(model.set_params(exclude_seen=False, **params))
    np.testing.assert_array_equal(shares(model), before)


def test_events_of_few_users_change_no_weight(fitted):
    model = fitted("in order")
    before, events = shares(model), later()
    few = events[events["user"].isin(events["user"].unique()[:19])]
    model.partial_fit(few)
    np.testing.assert_array_equal(shares(model), before)


def test_models_without_learnt_weights_have_none_to_follow():
    X = coming_back(1000, 100)
    model = weighed(time="when", validation_events=None).fit(X)
    model, before = moved(model)
    np.testing.assert_array_equal(shares(model), before)


class Fails(Callback):
    def on_batch_end(self, net, **kwargs):
        raise ValueError("no memory left")


def test_a_call_that_fails_leaves_weights_as_they_were(fitted):
    model = fitted("in order").set_params(exclude_seen=False, callbacks=[Fails()])
    before, lists = model.weights_, model.recommend(["u000", "u001"], 5)
    with pytest.raises(ValueError, match="no memory"):
        moved(model)
    pd.testing.assert_frame_equal(model.weights_, before)
    pd.testing.assert_frame_equal(model.recommend(["u000", "u001"], 5), lists)


def test_new_users_and_items_are_no_obstacle(fitted):
    model = fitted("context")
    events = later()
    events["user"] = "new" + events["user"]
    events.loc[events.index[:200], "item"] = "new item"
    events["place"] = "train"
    model.partial_fit(events)
    assert "new item" in model.item_ids_
    assert np.isfinite(shares(model)).all()
