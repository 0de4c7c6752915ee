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
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sktwotower import TowerVectorizer, TwoTowerRecommender
from sktwotower.io import dump
from sktwotower.model_selection import LastNSplit
from sktwotower.recommender._contexts import EventContexts
from tests.builders import batched, chain, first_fast, ordered, random_events, small

from .test_checkpoint import Killed, killed_after_writes

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


@pytest.mark.parametrize("make", first_fast([knowing, ordered]))
def test_the_order_of_rows_does_not_matter(make):
    events = X.assign(when=np.arange(len(X)))
    rows = np.random.default_rng(1).permutation(len(X))
    again = make(context=CONTEXT).fit(events.iloc[rows])
    assert_equal(make(context=CONTEXT).fit(events), again)


def test_equal_contexts_become_one_and_have_an_order_of_their_own():
    rows = np.array([[0, 0], [0, 2], [1, 0], [0, 2], [0, 0]], np.float32)
    codes = np.array([3, 1, 0, 2, 4])
    places = [0, 2, 4, 3, 1]
    found = []
    for order in (range(5), places):
        own, of_events = sparse.csr_matrix(rows[[*order]]), np.argsort(order)[codes]
        contexts, given = EventContexts(None, own).sorted(of_events)
        assert_array_equal(contexts.own[given].toarray(), rows[codes])
        assert contexts.own.shape[0] == 3 and contexts.own[0].nnz == 0
        found.append((contexts.own.toarray(), given))
    assert_array_equal(found[0][0], found[1][0])
    assert_array_equal(found[0][1], found[1][1])


def test_requests_with_lists_are_told_apart():
    events = X.assign(tags=[["a"] if hour == 8 else ["b", "c"] for hour in X["hour"]])
    model = small(context=["tags"]).fit(events)
    codes = model._fitted.request_codes(events)
    assert_array_equal(codes == codes[0], X["hour"] == X["hour"][0])
    ranking = model.rank_held_out(events, n_neighbors=1)
    assert len(ranking.users) == len(X.drop_duplicates(["user", "hour"]))


@pytest.mark.slow
@pytest.mark.parametrize("history", ["pooled", "recent", None])
def test_a_fit_that_was_ended_goes_on(history, monkeypatch, tmp_path):
    params = {"history": history, "time": "when", "context": [*CONTEXT, "when"]}
    days = pd.to_timedelta(np.arange(len(X)) * 7 % 50, "h")
    events = X.assign(when=pd.Timestamp("2020-01-01") + days)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after_writes(patch, 2)
        batched(**params, checkpoint=tmp_path).fit(events)
    model = batched(**params, checkpoint=tmp_path).fit(events)
    assert_equal(batched(**params).fit(events), model)


@pytest.mark.parametrize("history", first_fast(["pooled", "recent"]))
def test_a_checkpoint_of_other_contexts_is_refused(history, monkeypatch, tmp_path):
    params = {"history": history, "time": "when", "checkpoint": tmp_path}
    events = X.assign(when=np.arange(len(X)))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after_writes(patch, 2)
        batched(context=["hour"], **params).fit(events)
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
    model = knowing(warm_start=True, max_epochs=1, lr=1e-9).fit(X)
    layer = model.net_.module_.first.context
    before = layer.add.weight.detach().clone()
    assert before.abs().max() > 0
    names = model._fitted.context.feature_names()
    model.set_params(context=CONTEXT[::-1]).fit(X)  # its columns are found by name
    now = model._fitted.context.feature_names()
    after = model.net_.module_.first.context.add.weight.detach()
    assert now != names
    np.testing.assert_allclose(after[[*map(now.index, names)]], before, atol=1e-6)
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

    width = model._fitted.context.width
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
        assert again._fitted.context_columns == tuple(CONTEXT)
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


@pytest.mark.parametrize("name", first_fast(FORGETTING, 2))
@pytest.mark.parametrize("later", first_fast([False, True]))
def test_what_only_they_had_is_in_no_file(name, later, tmp_path):
    events = X.assign(when=np.arange(len(X)))
    mine = events["user"] == "u7"
    model = knowing(**FORGETTING[name]).fit(events[~mine] if later else events)
    if later:
        model.partial_fit(events[mine])
    for data in all_bytes(model, tmp_path / "a"):
        assert all(secret in data or secret == SECRETS[2] for secret in SECRETS)
    fitted, names = model._fitted, model._fitted.context.feature_names()
    layer = model.net_.module_.first.context
    gone = [place for place, name in enumerate(names) if re.search("zebra|hide", name)]
    weights = layer.add.weight[gone].detach().numpy()
    weights = [row.tobytes() for row in weights if row.any()]  # some learn nothing yet
    assert len(gone) == 2 and (later or len(weights) == 2)
    assert all(row in all_bytes(model, tmp_path / "a")[0] for row in weights)
    before = vectors(model)
    model.forget_users(["u7"])
    for data in all_bytes(model, tmp_path / "b"):
        assert not any(word in data for word in (*SECRETS, *weights))
    left = model._fitted
    kept = [place for place in range(len(names)) if place not in gone]
    assert left.context.feature_names() == [names[place] for place in kept]
    assert left.context_users.shape == (len(model.user_ids_) + 1, len(kept))
    rows = np.flatnonzero(fitted.users.ids != "u7")
    expected = fitted.context_users[rows][:, kept].toarray()
    assert_array_equal(left.context_users[:-1].toarray(), expected)
    np.testing.assert_allclose(vectors(model), before, atol=1e-6)
    unknown = vectors(model, page="hideout")
    assert_array_equal(unknown, model.embed_users(["u1", "new"]))
    more = events[mine].assign(item=events["item"][~mine].iloc[: mine.sum()].tolist())
    model.partial_fit(more)  # and may be learnt again
    assert set(model._fitted.context.feature_names()) == set(names)


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
