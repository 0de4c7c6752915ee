"""Further events and other catalogs, for models that use the order of time."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower.towers import RecentHistory
from tests.builders import chain, dated, first_fast, follower, ordered, past_of
from tests.cases import for_each

X = chain(n_users=15, noise=0.3)


def events_of(user, items, times):
    return pd.DataFrame({"user": user, "item": items, "when": times})


def apart(a, b):
    return np.abs(a - b).max() > 1e-3


def assert_near(a, b):
    assert_allclose(a, b, rtol=1e-5, atol=1e-6)


MORE = events_of("u03", ["i01", "i02", "i03"], [3, 20, 20])
OF_NEW = events_of("new", ["i02", "j1", "i02"], [5, 1, 7])


def frozen(**params):
    """Build a recommender whose weights further events do not change."""
    return ordered(optimizer="sgd", weight_decay=0.0, **params)


def partly_fitted(events, more, **params):
    """Return a model before and after further events, which move no weight."""
    before = frozen(**params).fit(events)
    after = frozen(**params).fit(events).set_params(lr=0)
    return before, after.partial_fit(more)


@pytest.mark.slow
@for_each("dates", [False, True])
def test_further_events_are_seen_as_in_a_request(dates):
    events, more = (dated(X), dated(MORE)) if dates else (X, MORE)
    before, after = partly_fitted(events, more)
    assert past_of(after, "u03") == past_of(before, "u03", more)
    assert past_of(after, "u03") != past_of(before, "u03")
    assert_near(
        after.embed_users(["u03", "u04"]),
        before.embed_users(["u03", "u04"], history=more),
    )
    pd.testing.assert_frame_equal(
        after.recommend(["u03"], 12), before.recommend(["u03"], 12, history=more)
    )
    # and once more, with a request
    history = {"u03": ["i05"]}
    latest = events_of("u03", ["i05"], [99])
    both = pd.concat([more, dated(latest) if dates else latest])
    assert past_of(after, "u03", history) == past_of(before, "u03", both)


@pytest.mark.slow
def test_late_events_take_their_place_in_time():
    _, after = partly_fitted(X, MORE)
    whole = pd.concat([X[X["user"] == "u03"], MORE])
    lag = whole["when"].rank(method="dense", ascending=False).astype(int)
    events = zip(whole["item"], lag, strict=True)
    assert past_of(after, "u03") == sorted(events, key=lambda e: (-e[1], e[0]))
    # in two calls, in any order
    again = frozen().fit(X).set_params(lr=0)
    again.partial_fit(MORE[2:]).partial_fit(MORE[:2])
    assert past_of(again, "u03") == past_of(after, "u03")
    assert_near(again.embed_users(["u03"]), after.embed_users(["u03"]))
    # what is known already changes nothing
    again.partial_fit(MORE)
    assert past_of(again, "u03") == past_of(after, "u03")


@pytest.mark.slow
def test_times_between_the_integers_of_fit_stay_apart():
    _, after = partly_fitted(X, events_of("u03", ["i01", "i02", "i03"], [20, 20.5, 20]))
    after.partial_fit(events_of("u03", ["i04"], [20.75]))
    latest = past_of(after, "u03")[-4:]
    assert latest == [("i01", 3), ("i03", 3), ("i02", 2), ("i04", 1)]


@pytest.mark.slow
def test_new_users_and_items_have_a_past_in_order():
    model = ordered().fit(X).partial_fit(OF_NEW)
    assert model.user_ids_[-1] == "new" and model.item_ids_[-1] == "j1"
    assert past_of(model, "new") == [("j1", 3), ("i02", 2), ("i02", 1)]
    assert past_of(model, "u03") == past_of(ordered().fit(X), "u03")
    found = model.recommend(["new"], 99)["item"]
    assert set(found) == set(model.item_ids_) - {"j1", "i02"}
    assert model.history_kind_ == "recent" and len(model.history_) == 3
    vector = model.embed_users(["n"], history={"n": ["j1", "i02", "i02"]})
    assert apart(vector, model.embed_users(["n"], history={"n": ["i02", "i02", "j1"]}))


@pytest.mark.slow
def test_further_events_are_targets_and_earlier_ones_context():
    model, other = ordered().fit(X), ordered().fit(X)
    vectors = model.item_embeddings_
    model.partial_fit(MORE)
    assert apart(model.item_embeddings_, vectors)
    # the same events at a time before those of fit have another context
    other.partial_fit(MORE.assign(when=-MORE["when"]))
    assert apart(model.item_embeddings_, other.item_embeddings_)
    # there are no other targets, relative to which the weight of all would count
    eight = ordered().fit(X).partial_fit(MORE, np.full(len(MORE), 8.0))
    assert_near(eight.item_embeddings_, model.item_embeddings_)
    # a weight has the same effect as a reward
    weighted = [
        ordered().fit(X).partial_fit(MORE, y, sample_weight=w)
        for y, w in [([1, 4, 2], None), (None, [1, 4, 2]), ([1, 2, 1], [1, 2, 2])]
    ]
    for each in weighted[1:]:
        assert_array_equal(each.item_embeddings_, weighted[0].item_embeddings_)
    assert apart(weighted[0].item_embeddings_, model.item_embeddings_)


@pytest.mark.slow
def test_what_is_only_shown_is_no_past():
    model = ordered().fit(X)
    before = past_of(model, "u03")
    y = [0, 1, 0]
    model.partial_fit(MORE, y)
    assert past_of(model, "u03") == [
        *((item, lag + 1) for item, lag in before),
        ("i02", 1),
    ]


@pytest.mark.parametrize("events", first_fast([X, dated(X)]))
def test_further_events_need_the_times_of_fit(events):
    model = ordered().fit(events)
    vectors = model.item_embeddings_
    more = MORE if events is X else dated(MORE)
    other = dated(MORE) if events is X else MORE
    for lacking in (more.drop(columns="when"), more.assign(when=None)):
        with pytest.raises(ValueError, match="X lacks the time column 'when' of fit"):
            model.partial_fit(lacking)
    with pytest.raises(ValueError, match="'when' of X has 1 missing values in 3 rows"):
        model.partial_fit(more.assign(when=more["when"].where([True, False, True])))
    with pytest.raises(TypeError, match="'when' of X holds .* but in fit it held"):
        model.partial_fit(other)
    assert model.item_embeddings_ is vectors


@pytest.mark.slow
def test_a_model_without_order_needs_no_times():
    model = ordered(history="pooled").fit(X)
    model.partial_fit(MORE[["user", "item"]])
    other = ordered(history="pooled").fit(X).partial_fit(MORE)
    assert_array_equal(model.item_embeddings_, other.item_embeddings_)


@pytest.mark.slow
def test_the_half_life_and_the_kind_of_history_stay():
    model = ordered(history=RecentHistory(half_life=pd.Timedelta("3D"))).fit(dated(X))
    model.set_params(history="pooled").partial_fit(dated(MORE))
    assert model.half_life_ == pd.Timedelta("3D")
    assert model.history_kind_ == "recent"
    assert past_of(model, "u03")[-1] == ("i03", 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sampling",
    [
        "in_batch",
        "mixed",
        *(pytest.param(name, marks=pytest.mark.grid) for name in ("full", "uniform")),
    ],
)
def test_candidates_of_every_kind(sampling):
    few = {"iterator_train__n_negatives": 4}
    model = ordered(candidate_sampling=sampling, net_params=few).fit(X)
    model.partial_fit(pd.concat([MORE, OF_NEW]), [1, 1, 1, 1, 0, 1])
    assert np.isfinite(model.item_embeddings_).all()
    assert model.candidate_sampling_ == sampling
    assert past_of(model, "new") == [("i02", 2), ("i02", 1)]


# Other catalogs.


@pytest.mark.slow
def test_another_catalog_keeps_the_order():
    model, same = ordered().fit(X), ordered().fit(X)
    model.set_catalog(["i07", "i02", "i11"])
    users = list(model.user_ids_)
    assert_near(model.embed_users(users), same.embed_users(users))
    for history in (None, ["i01", "i07"], MORE):
        # i01 is in no catalog, but in the past
        assert sorted(past_of(model, "u03", history)) == sorted(
            past_of(same, "u03", history)
        )
    everything = same.recommend(["u03"], 12, exclude_seen=False)
    kept = everything[everything["item"].isin(model.item_ids_)]
    found = model.recommend(["u03"], exclude_seen=False)
    assert found["item"].tolist() == kept["item"].tolist()
    assert_near(found["score"], kept["score"])
    model.set_catalog(sorted(same.item_ids_))
    assert past_of(model, "u03") == past_of(same, "u03")


@pytest.mark.slow
@for_each("catalog", [["i07", "i02"], ["i11", "i01", "i00"]])
def test_further_events_after_another_catalog(catalog):
    _, expected = partly_fitted(X, pd.concat([MORE, OF_NEW]))
    model = frozen().fit(X).set_params(lr=0).set_catalog(catalog)
    model.partial_fit(pd.concat([MORE, OF_NEW]))
    assert model.item_ids_.tolist() == [*catalog, "j1"]
    for user in ("u03", "new", "u04"):
        assert sorted(past_of(model, user)) == sorted(past_of(expected, user))
        assert_near(model.embed_users([user]), expected.embed_users([user]))


def test_a_catalog_of_new_items_from_a_table():
    items = pd.DataFrame({"item": [f"i{i:02}" for i in range(12)]})
    items["kind"] = [f"k{i % 3}" for i in range(12)]
    model = ordered(items=items).fit(X)
    before = past_of(model, "u03")
    new = pd.DataFrame({"item": ["z", "i05"], "kind": ["k1", "k2"]})
    model.set_catalog(new)
    assert sorted(past_of(model, "u03")) == sorted(before)
    assert past_of(model, "n", {"n": ["z", "i05", "i00"]}) == [
        ("z", 3),
        ("i05", 2),
        ("i00", 1),
    ]


@pytest.mark.slow
def test_further_events_of_all_users_teach_the_order():
    events = chain(60, 12, noise=0.3)
    early = events["when"] < 4
    params = {"embedding_dim": 32, "batch_size": 16, "exclude_seen": False}
    params["sparse_parts"] = None  # they find the order at once
    model = ordered(**params, lr=0.003).fit(events[early])
    new = {f"new{i}": [f"i{i:02}"] for i in range(12)}
    planted = [follower(item) for (item,) in new.values()]

    def share_found():
        found = model.recommend(history=new, n_neighbors=1, exclude_seen=False)
        return np.mean(found["item"] == planted)

    before = share_found()
    for _ in range(5):
        model.partial_fit(events[~early])
    assert share_found() > max(0.7, before)
    assert [lag for _, lag in past_of(model, "u03")] == list(range(12, 0, -1))
