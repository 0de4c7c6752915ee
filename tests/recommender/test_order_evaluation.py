import warnings

import numpy as np
import pandas as pd
import pytest

from sktwotower import ItemKNNRecommender
from tests.builders import chain, first_fast, ordered, small

X = chain(n_users=40)


def later(events, n=3):
    """Return the last n events of each user, and those before."""
    from_end = events.groupby("user")["when"].rank(ascending=False, method="first")
    return events[from_end <= n], events[from_end > n]


@pytest.mark.slow
def test_predict_takes_a_history():
    model = ordered(sparse_parts=None).fit(X)
    events = pd.DataFrame({"user": ["new", "other", "new"], "item": X["item"][:3]})
    history = {"new": X["item"][:4].tolist(), "other": X["item"][5:7].tolist()}
    scores = model.predict(events, history=history)
    users = model.embed_users(events["user"], history=history)
    items = model.embed_items(events["item"])
    np.testing.assert_allclose(scores, (users * items).sum(axis=1), atol=1e-6)
    assert (scores != model.predict(events)).all()


def test_users_unknown_to_fit_have_histories_of_their_own_in_predict():
    model = small().fit(X[["user", "item"]])
    item = X["item"].iloc[0]
    events = pd.DataFrame({"user": ["new", "other"], "item": [item, item]})
    scores = model.predict(events, history={"new": [item]})
    assert scores[0] != scores[1]
    assert scores[1] == model.predict(events)[1]


@pytest.mark.parametrize("kind", first_fast(["decayed item-kNN", "towers"]))
def test_a_random_split_is_no_question_for_the_next_item(kind):
    model = ordered()
    if kind != "towers":
        model = ItemKNNRecommender(time="when", decay=2, user_id="user", item_id="item")
    test, train = later(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(train).score(test)
        model.score(test.drop(columns="when"))  # times unknown
        model.score(train)  # events of fit
        shown = train.assign(item="i00", when=0)  # and not chosen
        both = pd.concat([train, shown])
        assert model.score(both, np.arange(len(both)) < len(train)) >= 0
        model.score(test.assign(when="soon"))  # later times are not read
        with pytest.warns(UserWarning, match="No chosen item of X is in the catalog"):
            assert model.score(test.assign(item="new")) == 0
        with pytest.warns(UserWarning, match="No user of X is known from fit"):
            assert 0 <= model.score(test.assign(user="new")) <= 1
    held = np.random.default_rng(0).random(len(X)) < 0.3
    model.fit(X[~held])
    with pytest.warns(UserWarning, match="earlier than the last event of their"):
        model.score(X[held])


@pytest.mark.slow
def test_a_pooled_history_is_judged_without_a_warning():
    held = np.random.default_rng(0).random(len(X)) < 0.3
    model = ordered(history="pooled").fit(X[~held])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.score(X[held])


@pytest.mark.slow
def test_a_hidden_layer_with_enough_events():
    params = {"batch_size": 512, "validation_events": None}
    model = ordered(max_epochs=3, **params).fit(chain(n_users=160))
    history = model.net_.module_.first.history
    assert history.n_hidden == 6 and history.out.abs().sum() > 0
    assert model.temperature_ <= 0.1
    users = model.user_ids_[:4].tolist()
    together = model.embed_users(users)
    alone = np.concatenate([model.embed_users([user]) for user in users])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    why = model.explain(users[0], model.item_ids_[0])
    assert why["contribution"].sum() == pytest.approx(why.attrs["score"], abs=1e-6)
    assert "(rest)" in why["feature"][why["side"] == "user"].tolist()
    more = pd.DataFrame({"user": users, "item": X["item"].iloc[0], "when": 10**6})
    assert model.partial_fit(more).net_.module_.first.history.n_hidden == 6


def test_arrays_after_a_fit_on_an_array():
    model = small(time=2).fit(X[["user", "item", "when"]].to_numpy())
    users = X["user"].unique()[:3]
    array = np.array([[user, X["item"].iloc[0]] for user in users], dtype=object)
    expected = model.recommend(list(users))
    pd.testing.assert_frame_equal(model.recommend(array), expected)
    first, second = X["item"].unique()[:2]
    timed = np.array([["new", first, 5], ["new", second, 1]], dtype=object)
    np.testing.assert_array_equal(
        model.embed_users(["new"], history=timed),
        model.embed_users(["new"], history={"new": [second, first]}),
    )
    with pytest.raises(ValueError, match=r"rows with the 3 columns of fit.*\(2, 4\)"):
        model.embed_users(["new"], history=np.ones((2, 4), dtype=object))
