"""Weighed models in files, from checkpoints and from disk, and what follows a fit."""

import pickle
import signal

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from skorch.callbacks import Callback

from sktwotower import io
from tests.builders import small
from tests.cases import for_each
from tests.losses import MarginLoss
from tests.recommender.weighed import coming_back, fitted_once, many_pairs, weighed

FITS = {"in order": {"time": "when"}, "pooled": {}}


@pytest.fixture(scope="module")
def fitted():
    """Return a function that returns a model of one of the fits; tests share it."""
    return fitted_once(FITS)


def copied(model):
    """Return an equal model that may be changed."""
    return pickle.loads(pickle.dumps(model))


def assert_equal(a, b):
    pd.testing.assert_frame_equal(a.weights_, b.weights_)
    assert a.validation_score_ == b.validation_score_
    np.testing.assert_array_equal(a.item_embeddings_, b.item_embeddings_)
    users = a.user_ids_
    np.testing.assert_array_equal(a.embed_users(users), b.embed_users(users))
    given = {"new": a.item_ids_[:3].tolist()}
    vectors = [model.embed_users(["new"], history=given) for model in (a, b)]
    np.testing.assert_array_equal(*vectors)


@pytest.fixture
def through_file(tmp_path):
    """Return a function that returns the model of a file of a model."""

    def read(model):
        io.dump(model, tmp_path / "model.sktt")
        return io.load(tmp_path / "model.sktt")

    return read


@pytest.mark.parametrize("name", FITS)
def test_files_and_pickles_hold_weights_and_figures(name, fitted, through_file):
    model = fitted(name)
    assert len(model.weights_.columns) == 6
    assert_equal(through_file(model), model)
    assert_equal(copied(model), model)


@pytest.mark.grid
def test_files_of_skops_hold_weights_and_figures(fitted):
    skops = pytest.importorskip("skops.io")
    model = fitted("in order")
    data = skops.dumps(model)
    other = skops.loads(data, trusted=skops.get_untrusted_types(data=data))
    assert_equal(other, model)


@pytest.mark.slow
def test_a_model_of_a_file_learns_and_changes_like_the_other(fitted, through_file):
    model = copied(fitted("in order"))
    X = coming_back(60, seed=1).assign(when=lambda X: X["when"] + 5000)
    assert_equal(through_file(model).partial_fit(X), model.partial_fit(X))
    assert_equal(through_file(model), model)


class Killed(BaseException):
    """Ends a fit, as the end of the process would, except that the test goes on."""


class Acts(Callback):
    """Call a function at the end of each epoch of the first part.

    Of what a callback has, a fit that goes on takes over all but its class.
    """

    act = print

    def on_epoch_end(self, net, **kwargs):
        type(self).act(len(net.history))


def dies_after(n_epochs):
    """Return a callback that ends a fit once."""
    is_due = [n_epochs]

    def die(n_done):
        if is_due == [n_done]:
            is_due.clear()
            raise Killed

    Acts.act = die
    return [Acts()]


def stop_after_three(n_done):
    if n_done == 3:
        raise KeyboardInterrupt


LATEST = {"time": "when", "validation_events": "latest"}
RESUMED = {
    "in order": LATEST,
    "last": {"time": "when", "validation_events": "last"},
    "pooled": {},
    "context": {"context": ["place"], "time": "when"},
}


@pytest.mark.grid
@pytest.mark.parametrize("name", RESUMED)
def test_a_fit_that_was_killed_goes_on_to_the_same_weights(name, tmp_path):
    X, params = coming_back(2000, 100), RESUMED[name]
    expected = weighed(**params).fit(X)
    assert expected.validation_score_ is not None
    # the model that is judged apart is learnt by then
    model = weighed(checkpoint=tmp_path, callbacks=dies_after(2), **params)
    with pytest.raises(Killed):
        model.fit(X)
    assert list(tmp_path.iterdir())
    assert_equal(model.fit(X), expected)


@pytest.mark.slow
@pytest.mark.parametrize("n_epochs", [4, pytest.param(3, marks=pytest.mark.grid)])
def test_a_fit_that_was_killed_next_to_its_judgment_goes_on(n_epochs, tmp_path):
    # of so many pairs, the parts are seen before the last of four epochs
    X, params = many_pairs(), {"batch_size": 512, "checkpoint": tmp_path}
    expected = weighed(batch_size=512).fit(X)
    model = weighed(callbacks=dies_after(n_epochs), **params)
    with pytest.raises(Killed):
        model.fit(X)
    assert_equal(model.fit(X), expected)


@pytest.mark.slow
def test_an_interrupted_fit_has_the_usual_weights():
    Acts.act = stop_after_three
    with pytest.warns(UserWarning, match="interrupted in epoch 3 of 4"):
        model = weighed(callbacks=[Acts()], time="when").fit(coming_back(2000, 100))
    assert model.interrupted_ and model.validation_score_ is None
    assert model.weights_["all users"].tolist() == [1, 0]  # the second is not trained
    assert len(model.recommend(model.user_ids_[:2], 3)) == 6


@pytest.mark.grid
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("n_epochs", [4, 3])
def test_ctrl_c_in_a_pass_over_the_latest_events_ends_fit(n_epochs):
    # they are tried before the fourth epoch, and learnt after it
    in_pass, done = [], [0]
    Acts.act = done.append

    class Presses(MarginLoss):
        def forward(self, users, items, targets):
            if len(targets.columns) < 400 and done[-1] == n_epochs:
                in_pass.append(targets)
                if len(in_pass) == 3:
                    signal.raise_signal(signal.SIGINT)
            return super().forward(users, items, targets)

    params = {"net_params": {"criterion": Presses}, "callbacks": [Acts()]}
    model = weighed(**LATEST, batch_size=512, **params)
    with pytest.warns(UserWarning, match="interrupted in epoch"):
        model.fit(coming_back(51_000, 3000))
    assert len(in_pass) >= 3 and model.interrupted_
    assert len(model.recommend(model.user_ids_[:2], 3)) == 6


@pytest.mark.slow
@pytest.mark.each_time("in order")
@pytest.mark.parametrize("name", ["in order", "context"])
def test_from_disk_it_is_the_same_model(name, tmp_path):
    pytest.importorskip("duckdb")
    X = coming_back(2000, 100)
    y = (np.arange(len(X)) % 6 > 0).astype(float)
    path = tmp_path / "events.parquet"
    X.assign(y=y).to_parquet(path)
    expected = weighed(**RESUMED[name]).fit(X, y)
    assert expected.validation_score_ is not None
    assert_equal(weighed(**RESUMED[name]).fit(path, y="y"), expected)


@for_each("name", FITS)
def test_further_events_go_on_with_the_weights(name, fitted):
    model = copied(fitted(name))
    before, score = model.weights_, model.validation_score_
    X = coming_back(60, seed=1).assign(when=lambda X: X["when"] + 5000)
    X.loc[:9, "item"], X.loc[5:14, "user"] = "new item", "new user"
    model.partial_fit(X)
    assert model.weights_.index.tolist() == before.index.tolist()
    assert model.validation_score_ == score
    users = ["new user", "nobody", "u001"]
    table = model.recommend(users, 61, exclude_seen=False)
    assert np.isfinite(table["score"]).all()
    assert (table["item"] == "new item").sum() == 3


def ranks_of(model, item):
    """Return the rank of an item for a user of whom nothing is known."""
    table = model.recommend(["nobody"], 99)
    return table.loc[table["item"] == item, "rank"].item()


def test_recent_popularity_follows_further_events():
    X = coming_back()[["user", "item", "when"]]
    # other items are popular since half of the time
    numbers = X["item"].str[1:].astype(int) + 30 * (X["when"] >= 1500)
    X["item"] = [f"i{number % 60:02}" for number in numbers]
    model = weighed(time="when").fit(X)
    assert model.weights_.index.str.startswith("recent popularity").sum() == 3
    before = ranks_of(model, "i59")
    new = pd.DataFrame({"user": model.user_ids_[:200], "item": "i59", "when": 6000})
    model.partial_fit(new)
    assert ranks_of(model, "i59") <= 3 < 30 < before


def test_few_events_do_not_turn_against_popular_items():
    X = coming_back()[["user", "item", "when"]]
    # each tenth of the time has its own popular items, which users soon have had
    numbers = X["item"].str[1:].astype(int) + X["when"] // 300 * 7
    X["item"] = [f"i{number % 60:02}" for number in numbers]
    weights = weighed(time="when").fit(X).weights_.drop(columns="ndcg@20 added")
    is_recent = weights.index.str.startswith("recent popularity")
    assert (weights[~is_recent] >= 0).all(axis=None)
    assert (weights[is_recent] < 0).any(axis=None)


def test_overall_popularity_follows_further_events(fitted):
    X, model = coming_back(), copied(fitted("pooled"))
    new = X.drop_duplicates("user").assign(item="film", when=10_000)
    # to users of whom nothing is known, nothing else counts
    share = model.weights_.loc["overall popularity", "0 past items"]
    assert share == pytest.approx(1, abs=0.02)
    model.partial_fit(new)
    chosen = pd.concat([X, new]).drop_duplicates(["user", "item"])
    n_chosen = chosen["item"].value_counts()[model.item_ids_].to_numpy()
    shares = n_chosen / n_chosen.sum()
    expected = np.log((shares + 0.1 / len(shares)) / 1.1 * len(shares)) / 8
    table = pd.DataFrame({"user": "nobody", "item": model.item_ids_})
    scores = model.predict(table.assign(when=0, day=0, place="home")[X.columns])
    slope, offset = np.polyfit(expected, scores, 1)
    assert slope > 0
    np.testing.assert_allclose(scores, slope * expected + offset, atol=0.01 * slope)
    assert ranks_of(model, "film") == 1  # all have chosen it


@pytest.mark.parametrize("name", FITS)
def test_forgetting_and_other_catalogs_keep_the_weights(name, fitted, through_file):
    model = copied(fitted(name))
    kept = model.item_ids_[5:20].tolist()
    vectors = dict(zip(model.item_ids_, model.item_embeddings_, strict=True))
    model.forget_items(model.item_ids_[:5])
    model.forget_users(model.user_ids_[:3])
    model.set_catalog(kept)
    assert set(model.recommend(["u100", "new"], 9)["item"]) <= set(kept)
    for item, vector in zip(model.item_ids_, model.item_embeddings_, strict=True):
        np.testing.assert_allclose(vector, vectors[item], atol=1e-6)
    assert len(model.weights_.columns) == 6
    assert_equal(through_file(model), model)


@pytest.mark.each_time("pooled")
@pytest.mark.slow
@pytest.mark.parametrize("name", FITS)
def test_a_warm_start_goes_on_with_the_weights(name):
    X = coming_back(2000, 100)
    model = weighed(warm_start=True, **FITS[name]).fit(X)
    assert model.validation_score_ is not None
    weights, score = model.weights_, model.validation_score_
    model.fit(X)
    pd.testing.assert_frame_equal(model.weights_, weights)  # they were learnt already
    assert model.validation_score_ == score
    assert np.isfinite(model.recommend(model.user_ids_[:3], 3)["score"]).all()


@pytest.mark.slow
def test_fits_with_one_seed_are_equal(fitted):
    model = fitted("in order")
    assert_equal(clone(model).fit(coming_back()), model)


@pytest.mark.slow
def test_searches_choose_which_events_judge():
    X = coming_back(1000, 60)
    grid = {"validation_events": ["latest", None]}
    cv = ShuffleSplit(1, random_state=0)
    search = GridSearchCV(weighed(time="when", max_epochs=2), grid, cv=cv).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_.validation_events
    assert best == search.best_params_["validation_events"]


@pytest.mark.slow
def test_the_log_says_how_good_it_is(caplog):
    with caplog.at_level("INFO", "sktwotower"):
        model = weighed(time="when").fit(coming_back(2000, 100))
    score, text = model.validation_score_, " ".join(caplog.messages)
    assert f"recall@10 {score['recall@10']:.4f}" in text
    assert "nan" not in text


@pytest.mark.each_time("params0-2", "params1-5")
@pytest.mark.slow
@pytest.mark.parametrize("n_items", [2, 5])
@pytest.mark.parametrize("params", [{}, {"time": "when", "exclude_seen": False}])
def test_tiny_catalogs_and_vectors(n_items, params):
    X = coming_back(600, 200)
    X["item"] = X["item"].str[-1].astype(int) % n_items
    model = small(max_epochs=2, embedding_dim=2, **params).fit(X)
    table = model.recommend(model.user_ids_[:5], 9)
    assert np.isfinite(table["score"]).all()


@pytest.mark.slow
def test_users_and_items_without_events_have_lists_and_are_in_lists():
    users = pd.DataFrame({"user": [f"u{u:03}" for u in range(400)]})
    users["age"] = np.arange(400.0) % 7
    items = pd.DataFrame({"item": [f"i{i:02}" for i in range(90)]})
    items["color"] = np.array(["red", "blue", "green"])[np.arange(90) % 3]
    model = weighed(users=users, items=items, time="when").fit(coming_back(2000, 100))
    assert model.validation_score_ is not None
    table = model.recommend(["u399", "u001"], 90)
    assert set(items["item"][60:]) <= set(table["item"])
    assert np.isfinite(table["score"]).all()
