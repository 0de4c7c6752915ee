"""A model with context that is kept, copied, searched for, drawn and made to forget."""

import copy
import pickle
import re

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sktwotower import TowerVectorizer, TwoTowerRecommender
from sktwotower.io import dump
from sktwotower.model_selection import LastNSplit
from tests.builders import batched, chain, ordered, random_events, small

from .builders import Dies, few, killed_after, names_of

REQUEST = {"hour": 8, "words": "red chair"}


def asked(seed=0, **params):
    """Draw events with an hour, words and a page; user u7 has words of its own."""
    events = random_events(**({"n_users": 30, "seed": seed} | params))
    rng = np.random.default_rng(seed)
    n, own = len(events), events["user"] == "u7"
    words = rng.choice(["red chair", "old lamp", "red lamp"], n)
    events["hour"] = rng.choice([8.0, 20.0], n)
    events["words"] = np.where(own, "zebra chair", words).astype(object)
    events["page"] = np.where(own, "hideout", rng.choice(["a", "b"], n)).astype(object)
    return events


X = asked()
CONTEXT = ["hour", "words", "page"]
# words are levels otherwise, as each occurs often
TEXT = TowerVectorizer(kinds={"words": "text", "hour": "category"})


def knowing(**params):
    return small(**{"context": CONTEXT, "max_epochs": 3} | params)


@pytest.fixture(scope="module")
def fitted():
    return knowing(context_transformer=TEXT).fit(X)


@pytest.fixture
def model(fitted):
    return copy.copy(fitted)


def vectors(model, users=("u1", "new"), **context):
    return model.embed_users([*users], context=context or REQUEST)


def assert_equal(model, other):
    assert_array_equal(vectors(model), vectors(other))
    assert_array_equal(vectors(model, hour=20), vectors(other, hour=20))
    assert_array_equal(model.item_embeddings_, other.item_embeddings_)


# Training that does not depend on what it should not


@pytest.mark.parametrize("make", few([ordered, knowing]))
def test_the_order_of_rows_does_not_matter(make):
    events = X.assign(when=np.arange(len(X)))
    rows = np.random.default_rng(1).permutation(len(X))
    again = make(context=CONTEXT).fit(events.iloc[rows])
    assert_equal(make(context=CONTEXT).fit(events), again)


def test_requests_with_lists_are_told_apart():
    events = X.assign(tags=[["a"] if hour == 8 else ["b", "c"] for hour in X["hour"]])
    model = small(context=["tags"]).fit(events)
    ranking = model.rank_held_out(events, n_neighbors=1)
    assert len(ranking.users) == len(X.drop_duplicates(["user", "hour"]))


@pytest.mark.slow
@pytest.mark.parametrize("history", few(["recent", "pooled", None]))
def test_a_fit_that_was_ended_goes_on(history, tmp_path):
    params = {"history": history, "time": "when", "context": [*CONTEXT, "when"]}
    days = pd.to_timedelta(np.arange(len(X)) * 7 % 50, "h")
    events = X.assign(when=pd.Timestamp("2020-01-01") + days)
    model = batched(**params, checkpoint=tmp_path, callbacks=[Dies()])
    assert killed_after(1, model, events)
    assert_equal(batched(**params).fit(events), model.fit(events))


@pytest.mark.slow
@pytest.mark.parametrize("history", few(["pooled", "recent"]))
def test_a_checkpoint_of_other_contexts_is_refused(history, tmp_path):
    params = {"history": history, "time": "when", "checkpoint": tmp_path}
    params["callbacks"] = [Dies()]
    events = X.assign(when=np.arange(len(X)))
    assert killed_after(1, batched(context=["hour"], **params), events)
    swapped = events["hour"].to_numpy().copy()
    rows = [np.flatnonzero(swapped == hour)[-1] for hour in (8, 20)]
    swapped[rows] = swapped[rows[::-1]]  # as many of each, elsewhere
    for columns, table in (
        (["hour"], events.assign(hour=swapped)),
        (["page"], events),
        (None, events),
        (["hour", "when"], events),
    ):
        with pytest.raises(ValueError, match="the contexts of events|the order of ev"):
            batched(context=columns, **params).fit(table)
    batched(context=["hour"], **params).fit(events)


@pytest.mark.slow
def test_a_warm_start_goes_on_with_the_weights_of_the_context():
    model = knowing(warm_start=True, lr=0.1).fit(X)
    names, before = names_of(model), vectors(model)
    without = model.embed_users(["u1", "new"])
    assert np.abs(before - without).max() > 0.02
    # its columns are found by name
    model.set_params(context=CONTEXT[::-1], lr=1e-9, max_epochs=1).fit(X)
    assert names_of(model) != names and {*names_of(model)} == {*names}
    np.testing.assert_allclose(vectors(model), before, atol=1e-5)
    for other in ({"context": None}, {"context": ["hour"]}):
        with pytest.raises(ValueError, match="warm_start=True needs the same users"):
            copy.copy(model).set_params(**other).fit(X)
    with pytest.raises(ValueError, match="warm_start=True needs the same users"):
        model.fit(X.assign(page=X["page"].replace("a", "c")))


# Parameters


def test_parameters_go_round(model):
    again = TwoTowerRecommender(**model.get_params(deep=False))
    assert again.context == CONTEXT and again.context_transformer is TEXT
    copied = clone(model)
    assert copied.context == CONTEXT
    assert copied.context_transformer is not TEXT
    copied.set_params(context_transformer__min_frequency=3, context="hour")
    assert copied.context_transformer.min_frequency == 3
    assert "context_transformer__kinds" in model.get_params()
    assert "context=['hour', 'words', 'page']" in repr(model)


@pytest.mark.slow
def test_a_search_finds_that_the_hour_helps():
    events = chain(n_users=60, n_events=8, n_items=10)
    half = events["item"].str[1:].astype(int) < 5
    events["hour"] = np.where(half, 8, 20)
    grid = {"context": [None, ["hour"]]}
    model = small(max_epochs=10, n_neighbors=3)
    search = GridSearchCV(model, grid, cv=LastNSplit(2)).fit(events)
    without, with_hour = search.cv_results_["mean_test_score"]
    assert with_hour > without + 0.03
    assert search.best_params_ == {"context": ["hour"]}


def test_the_diagram_shows_the_context(model):
    def shown(thing):
        return re.sub("<[^>]+>", " ", thing._repr_html_())

    width = len(names_of(model))
    expected = f"hour, words, page → {width} features → changes the user vector"
    assert expected in shown(model)
    assert "feature row → changes the user vector" in shown(knowing(context="hour"))
    for without in (small(), small(context=[]), small(context=[]).fit(X)):
        assert "changes the user" not in shown(without)
    days = pd.Timestamp(0) + pd.to_timedelta(np.arange(len(X)), "D")
    params = {"context": ["when"], "time": "when", "history": "pooled"}
    dated = small(**params).fit(X.assign(when=days))
    assert "when → 43 features → changes" in shown(dated)


# Copies


@pytest.mark.slow
def test_pickles_and_joblib_files_answer_alike(model, tmp_path):
    joblib.dump(model, tmp_path / "model")
    for again in pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model"):
        assert_equal(model, again)
        more = asked(seed=1, n_users=4)
        assert_equal(copy.copy(model).partial_fit(more), again.partial_fit(more))


# Forgetting and other catalogs

SECRETS = b"zebra", b"hideout", b'"u7"'


def all_bytes(model, path):
    dump(model, path)
    return path.read_bytes(), pickle.dumps(model)


FORGETTING = {
    "pooled": {},
    "text": {"context_transformer": TEXT},
    "recent": {"time": "when", "history": "recent"},
    "no history": {"history": None, "hidden_layer_sizes": (6,)},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "later"),
    few(
        [("text", False), ("recent", True), ("pooled", False), ("no history", True)], 2
    ),
)
def test_what_only_they_had_is_in_no_file(name, later, tmp_path):
    events = X.assign(when=np.arange(len(X)))
    mine = events["user"] == "u7"
    model = knowing(**FORGETTING[name]).fit(events[~mine] if later else events)
    if later:
        model.partial_fit(events[mine])
    for data in all_bytes(model, tmp_path / "a"):
        assert all(secret in data or secret == SECRETS[2] for secret in SECRETS)
    names = names_of(model)
    gone = [name for name in names if re.search("zebra|hide", name)]
    assert len(gone) == 2
    # weights of the context, which only this user has learnt
    layer = model.net_.module_.first.context
    weights = layer.add.weight[[*map(names.index, gone)]].detach().numpy()
    weights = [row.tobytes() for row in weights if row.any()]  # some learn nothing yet
    assert later or len(weights) == 2
    assert all(row in all_bytes(model, tmp_path / "a")[0] for row in weights)
    before = vectors(model)
    model.forget_users(["u7"])
    for data in all_bytes(model, tmp_path / "b"):
        assert not any(word in data for word in (*SECRETS, *weights))
    assert names_of(model) == [name for name in names if name not in gone]
    np.testing.assert_allclose(vectors(model), before, atol=1e-6)
    unknown = vectors(model, page="hideout")
    assert_array_equal(unknown, model.embed_users(["u1", "new"]))
    more = events[mine].assign(item=events["item"][~mine].iloc[: mine.sum()].tolist())
    model.partial_fit(more)  # and may be learnt again
    assert {*names_of(model)} == {*names}


def test_other_items_leave_the_context_as_it_is(model):
    before, kept = vectors(model, users=["u1"]), model.item_ids_[[3, 1, 0]]
    model.set_catalog(kept)
    assert_array_equal(vectors(model, users=["u1"]), before)
    found = model.recommend(["u1"], context=REQUEST, exclude_seen=False)
    assert set(found["item"]) == set(kept)
    scores = model.item_embeddings_ @ before[0]
    np.testing.assert_allclose(found["score"], -np.sort(-scores), atol=1e-6)


def test_items_are_forgotten(model, tmp_path):
    gone = model.item_ids_[2]
    model.forget_items([gone])
    assert gone not in model.item_ids_
    request = pd.DataFrame({"user": ["u1", "u2"], "hour": [8.0, 20.0], "page": "a"})
    found = model.recommend(request, exclude_seen=False)
    assert gone not in set(found["item"])
    again = pickle.loads(pickle.dumps(model))
    assert_frame_equal(again.recommend(request, exclude_seen=False), found)
    model.partial_fit(asked(seed=2, n_users=5))
    assert model.recommend(["u1"], context=REQUEST)["score"].notna().all()
