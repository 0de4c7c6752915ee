"""Weighed models in files, from checkpoints and from disk, and what follows a fit."""

import pickle
import signal
import tempfile

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, ShuffleSplit

from sktwotower import io
from sktwotower.recommender import _judge, _last_pass
from sktwotower.recommender._checkpoint import Checkpoint
from sktwotower.towers import RowwiseAdam
from sktwotower.towers.parts import embed_items
from tests.builders import small
from tests.recommender.weighed import coming_back, few_judge, fitted_once, weighed

FITS = {"in order": {"time": "when"}, "pooled": {}}


@pytest.fixture(autouse=True)
def judged_by_few(monkeypatch):
    few_judge(monkeypatch)


@pytest.fixture(scope="module")
def fitted():
    """Return a function that returns a model of one of the fits, and its events."""
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


def through_file(model):
    with tempfile.TemporaryDirectory() as folder:
        io.dump(model, f"{folder}/model.sktt")
        return io.load(f"{folder}/model.sktt")


@pytest.mark.parametrize("name", FITS)
def test_files_hold_weights_and_figures(name, fitted):
    model = fitted(name)
    assert len(model.weights_.columns) == 6
    assert_equal(through_file(model), model)
    assert_equal(copied(model), model)


@pytest.mark.slow
def test_files_of_skops(fitted):
    skops = pytest.importorskip("skops.io")
    model = fitted("in order")
    data = skops.dumps(model)
    other = skops.loads(data, trusted=skops.get_untrusted_types(data=data))
    assert_equal(other, model)


def test_a_model_of_a_file_learns_and_changes_like_the_other(fitted):
    model = copied(fitted("in order"))
    X = coming_back(60, seed=1).assign(when=lambda X: X["when"] + 5000)
    assert_equal(through_file(model).partial_fit(X), model.partial_fit(X))
    assert_equal(through_file(model), model)


class Killed(BaseException):
    """Ends a fit, as the end of the process would, except that the test goes on."""


RESUMED = {
    "in order": {"time": "when", "validation_events": "latest"},
    "last": {"time": "when", "validation_events": "last"},
    "pooled": {},
    "context": {"context": ["place"], "time": "when"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RESUMED)
def test_a_fit_that_was_killed_has_the_same_weights(name, monkeypatch, tmp_path):
    few_judge(monkeypatch, 5)
    X, params = coming_back(3000, 120), RESUMED[name]
    expected = weighed(**params).fit(X)
    written, write = [], Checkpoint.write

    def count(self, name, state):
        written.append(name)
        write(self, name, state)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", count)
        assert_equal(weighed(checkpoint=tmp_path / "all", **params).fit(X), expected)
    names = list(written)
    assert "seen-0-0" in names
    # after an epoch of each pair, when it was judged, and after the epoch that follows
    places = [n for n, written_to in enumerate(names, 1) if "seen" in written_to]
    for n_writes in [2, *places, places[0] + 1, len(names)]:
        written.clear()

        def die(self, name, state, n_writes=n_writes):
            count(self, name, state)
            if len(written) == n_writes:
                raise Killed

        folder = tmp_path / str(n_writes)
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(Checkpoint, "write", die)
            weighed(checkpoint=folder, **params).fit(X)
        assert_equal(weighed(checkpoint=folder, **params).fit(X), expected)
        assert not folder.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", RESUMED)
def test_a_fit_that_was_killed_while_it_judged(name, monkeypatch, tmp_path):
    few_judge(monkeypatch, 5)
    X, params = coming_back(3000, 120), RESUMED[name]
    expected = weighed(**params).fit(X)
    for function in ("requests_of", "weigh", "scores_of", "gains_of_parts"):

        def die(*args):
            raise Killed

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(_judge, function, die)
            weighed(checkpoint=tmp_path, **params).fit(X)
        assert list(tmp_path.iterdir())
    assert_equal(weighed(checkpoint=tmp_path, **params).fit(X), expected)


@pytest.mark.slow
def test_an_interrupted_fit_has_the_usual_weights(monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(_judge, "learn_latest", interrupt)
    with pytest.warns(UserWarning, match="interrupted in epoch 4"):
        model = weighed(time="when").fit(coming_back())
    assert model.interrupted_ and model.validation_score_ is None
    assert model.weights_["all users"].tolist() == [1, 0]  # the second is not trained
    assert len(model.recommend(model.user_ids_[:2], 3)) == 6


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("n_passes", "n_epochs"), [(2, 3), (3, 4)])
def test_ctrl_c_in_a_pass_over_the_latest_events_ends_fit(
    n_passes, n_epochs, monkeypatch
):
    # two passes are trials before the fourth epoch, the third one is the last
    begun, train, step = [], _last_pass.train, RowwiseAdam.step

    def count(*args, **kwargs):
        begun.append(len(begun))
        return train(*args, **kwargs)

    def step_and_press(self, *args):
        step(self, *args)
        if len(begun) == n_passes:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(_judge, "RATES", (0.2,))
    monkeypatch.setattr(_last_pass, "train", count)
    monkeypatch.setattr(RowwiseAdam, "step", step_and_press)
    with pytest.warns(UserWarning, match="interrupted in epoch"):
        model = weighed(time="when").fit(coming_back())
    assert model.interrupted_ and len(begun) == n_passes
    assert len(model.history_) == n_epochs
    assert model.weights_["all users"].tolist() == [1, 0]  # the second is not trained


@pytest.mark.slow
@pytest.mark.parametrize("name", RESUMED)
def test_from_disk_it_is_the_same_model(name, monkeypatch, tmp_path):
    few_judge(monkeypatch)
    pytest.importorskip("duckdb")
    X = coming_back()
    y = (np.arange(len(X)) % 6 > 0).astype(float)
    path = tmp_path / "events.parquet"
    X.assign(y=y).to_parquet(path)
    expected = weighed(**RESUMED[name]).fit(X, y)
    assert expected.validation_score_ is not None
    assert_equal(weighed(**RESUMED[name]).fit(path, y="y"), expected)


@pytest.mark.slow
def test_tables_on_disk_are_read_in_blocks(tmp_path, monkeypatch):
    pytest.importorskip("duckdb")
    from sktwotower._tables import _sparse

    path = tmp_path / "events.parquet"
    coming_back().to_parquet(path)
    expected = weighed(time="when").fit(path)
    monkeypatch.setattr(_sparse, "BLOCK", 700)
    assert_equal(weighed(time="when").fit(path), expected)


@pytest.mark.parametrize("name", FITS)
def test_further_events_go_on_with_the_weights(name, fitted):
    model = copied(fitted(name))
    before, score = model.weights_, model.validation_score_
    X = coming_back(60, seed=1).assign(when=lambda X: X["when"] + 5000)
    X.loc[:9, "item"], X.loc[5:14, "user"] = "new item", "new user"
    model.partial_fit(X)
    assert model.weights_.index.tolist() == before.index.tolist()
    assert model.validation_score_ == score
    assert "new item" in model.item_ids_
    assert np.isfinite(model.item_embeddings_).all()
    users = ["new user", "nobody", "u001"]
    table = model.recommend(users, 61, exclude_seen=False)
    assert np.isfinite(table["score"]).all()
    ranks = table[table["item"] == "new item"]
    assert len(ranks) == 3


def test_recent_popularity_follows_further_events(fitted):
    model = copied(fitted("in order"))
    item = model.item_ids_[-1]
    X = pd.DataFrame({"user": model.user_ids_[:200], "item": item, "place": "home"})
    X = X.assign(when=6000, day=60)[coming_back(9).columns]
    popularity = [part for part in model._fitted.model.parts if part.half_life]
    assert len(popularity) == 3
    model.partial_fit(X)
    rows, columns = (
        model._fitted.items.rows[:-1],
        np.flatnonzero(model.item_ids_ == item),
    )
    for before, after in zip(popularity, model._fitted.model.parts[-3:], strict=True):
        assert before.half_life == after.half_life
        scores = [
            embed_items(part, rows)[columns, 0].item() for part in (before, after)
        ]
        assert scores[1] > scores[0] + 0.1


@pytest.mark.parametrize("name", FITS)
def test_forgetting_and_other_catalogs(name, fitted):
    model = copied(fitted(name))
    kept = model.item_ids_[5:20].tolist()
    vectors = dict(zip(model.item_ids_, model.item_embeddings_, strict=True))
    model.forget_items(model.item_ids_[:5])
    model.forget_users(model.user_ids_[:3])
    model.set_catalog(kept)
    assert set(model.recommend(["u100", "new"], 9)["item"]) <= set(kept)
    for item, vector in zip(model.item_ids_, model.item_embeddings_, strict=True):
        if item in kept:
            np.testing.assert_allclose(vector, vectors[item], atol=1e-6)
    assert len(model.weights_.columns) == 6
    assert_equal(through_file(model), model)


@pytest.mark.parametrize("name", FITS)
def test_a_warm_start_goes_on(name):
    X = coming_back()
    model = weighed(warm_start=True, **FITS[name]).fit(X)
    assert model.validation_score_ is not None
    weights, score = model.weights_, model.validation_score_
    model.fit(X)
    pd.testing.assert_frame_equal(model.weights_, weights)  # they were learnt already
    assert model.validation_score_ == score
    assert np.isfinite(model.recommend(model.user_ids_[:3], 3)["score"]).all()


def test_fits_with_one_seed_are_equal(fitted):
    model = fitted("in order")
    assert_equal(clone(model).fit(coming_back()), model)


@pytest.mark.slow
def test_searches_choose_which_events_judge():
    X = coming_back(3000, 150)
    grid = {"validation_events": ["latest", "last", None]}
    search = GridSearchCV(
        weighed(time="when"), grid, cv=ShuffleSplit(1, random_state=0)
    )
    search.fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.get_params()["validation_events"] in [
        "latest",
        "last",
        None,
    ]


def test_the_log_and_the_display_say_how_good_it_is(caplog):
    with caplog.at_level("INFO", "sktwotower"):
        model = weighed(time="when").fit(coming_back())
    score, text = model.validation_score_, " ".join(caplog.messages)
    assert f"recall@10 {score['recall@10']:.4f}" in text
    assert "users are asked for latest events, which are kept back at first" in text
    assert "nan" not in text


@pytest.mark.slow
def test_tiny_catalogs_and_vectors():
    for n_items in (2, 5):
        X = coming_back(3000, 1000)
        X["item"] = X["item"].str[-1].astype(int) % n_items
        for params in ({}, {"time": "when", "exclude_seen": False}):
            model = small(max_epochs=2, embedding_dim=2, **params).fit(X)
            table = model.recommend(model.user_ids_[:5], 9)
            assert np.isfinite(table["score"]).all()


def test_users_and_items_without_events():
    users = pd.DataFrame({"user": [f"u{u:03}" for u in range(2000)]})
    users["age"] = np.arange(2000.0) % 7
    items = pd.DataFrame({"item": [f"i{i:02}" for i in range(90)]})
    items["color"] = np.array(["red", "blue", "green"])[np.arange(90) % 3]
    for params in FITS.values():
        model = weighed(users=users, items=items, **params).fit(coming_back())
        assert model.validation_score_ is not None
        table = model.recommend(["u1999", "u001"], 90)
        assert set(items["item"][60:]) <= set(table["item"])
        assert np.isfinite(table["score"]).all()


@pytest.mark.parametrize("time", [None, "when"])
def test_overall_popularity_follows_further_events(time, monkeypatch):
    few_judge(monkeypatch)
    X = coming_back()
    model = weighed(time=time).fit(X)
    new = X.drop_duplicates("user").assign(item="film", when=10_000)
    model.partial_fit(new)
    parts = model.net_.module_.parts
    (overall,) = [part for part in parts if part.in_words == "overall popularity"]
    scores = embed_items(overall, model._fitted.items.rows[:-1])[:, 0]
    chosen = pd.concat([X, new])
    if time is None:  # each user counts once
        chosen = chosen.drop_duplicates(["user", "item"])
    n_chosen = chosen["item"].value_counts()
    shares = n_chosen[model.item_ids_].to_numpy() / n_chosen.sum()
    shares = (shares + 0.1 / len(shares)) / 1.1
    expected = np.log(shares * len(shares)) / 8
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    if time is None:
        assert model.item_ids_[scores.argmax()] == "film"  # all have chosen it
