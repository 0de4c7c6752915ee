"""Further events, of known or new users and items."""

import datetime
import pickle
import uuid

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from skorch.callbacks import EarlyStopping, LRScheduler
from torch import nn

from sktwotower.datasets import make_interactions
from sktwotower.towers import PooledHistory
from tests.builders import chain, ordered, random_events, small
from tests.cases import for_each
from tests.recommender.builders import few

MORE = pd.DataFrame(
    {"user": ["u1", "new", "new", "u2", "u3"], "item": ["j1", "i0", "j1", "i3", "a0"]}
)


def pairs(frame):
    return set(frame[["user", "item"]].itertuples(index=False, name=None))


def test_the_first_call_is_fit():
    once = small().partial_fit(random_events())
    np.testing.assert_array_equal(
        once.item_embeddings_, small().fit(random_events()).item_embeddings_
    )


def test_new_users_and_items_are_known_and_seen():
    model = small().fit(random_events())
    before = model.item_ids_.tolist()
    assert model.partial_fit(MORE) is model
    assert model.item_ids_.tolist() == [*before, "a0", "j1"]
    assert model.user_ids_.tolist() == [*sorted(set(random_events()["user"])), "new"]
    assert model.item_embeddings_.shape == (len(before) + 2, 8)
    assert len(model.history_) == 2
    everything = model.recommend(n_neighbors=99)
    chosen = pairs(random_events()) | pairs(MORE)
    assert (
        pairs(everything)
        == {(u, i) for u in model.user_ids_ for i in model.item_ids_} - chosen
    )
    ranked = model.recommend(["new"], n_neighbors=3)
    assert ranked["score"].is_monotonic_decreasing
    names = model.item_transformer_.get_feature_names_out()
    assert names.tolist() == [f"item_{i}" for i in [*before, "j1", "a0"]]
    loaded = pickle.loads(pickle.dumps(model))
    pd.testing.assert_frame_equal(loaded.recommend(), model.recommend())
    assert not hasattr(clone(model), "net_")


@pytest.mark.slow
def test_what_was_learnt_is_kept_and_new_ids_start_at_zero():
    data = make_interactions(80, 30, n_clusters=3, n_impressions=0, random_state=0)
    X, items = data.data[["user", "item"]], data.item_table
    known = X[X["item"] < 29]
    model = small(items=items[items["item"] < 29], lr=1e-9, weight_decay=0.0)
    model.set_params(lr=0.01).fit(known)
    others = np.setdiff1d(model.user_ids_, [3])
    users, vectors = model.embed_users(others), model.item_embeddings_
    by_features = model.embed_items(items[items["item"] == 29])
    model.set_params(lr=1e-9, items=items).partial_fit(
        pd.DataFrame({"user": [3], "item": [29]})
    )
    np.testing.assert_allclose(model.embed_users(others), users, atol=1e-5)
    np.testing.assert_allclose(model.item_embeddings_[:-1], vectors, atol=1e-5)
    np.testing.assert_allclose(model.item_embeddings_[-1:], by_features, atol=1e-5)


@pytest.mark.each_time("mixed")
@pytest.mark.slow
@pytest.mark.parametrize("sampling", ["full", "mixed"])
def test_what_a_new_item_is_like_is_learnt(sampling):
    data = make_interactions(
        120, 40, n_clusters=2, interactions_per_user=8, noise=0, random_state=0
    )
    taste, X = data.user_cluster, data.data[["user", "item"]]
    model = small(embedding_dim=16, max_epochs=20, candidate_sampling=sampling).fit(X)
    fans, rest = np.split(np.flatnonzero(taste == 0), [20])
    more = pd.DataFrame({"user": fans, "item": 1000})
    before = model.score(X)
    for _ in range(4):
        model.partial_fit(more)
    asked = pd.DataFrame({"user": np.arange(120), "item": 1000})
    scores = model.predict(asked)
    assert scores[rest].min() > scores[taste == 1].max()
    assert model.score(X) > 0.9 * before  # and the others are not forgotten


@pytest.mark.slow
def test_impressions_and_weights_count():
    model = small().fit(random_events())
    y = [1, 1, 1, 1, 0]
    shown = pickle.loads(pickle.dumps(model)).partial_fit(MORE, y)
    assert ("u3", "a0") in pairs(shown.recommend(n_neighbors=99))
    weights = [1, 1, 1, 1, 0]
    left_out = pickle.loads(pickle.dumps(model)).partial_fit(
        MORE, sample_weight=weights
    )
    assert "a0" not in left_out.item_ids_
    alone = pickle.loads(pickle.dumps(model)).partial_fit(MORE[:4])
    np.testing.assert_allclose(alone.item_embeddings_, left_out.item_embeddings_)


@pytest.mark.slow
def test_gone_items_stay_gone():
    model = small().fit(random_events())
    model.set_catalog(["i5", "i2", "i0"]).partial_fit(MORE)
    assert model.item_ids_.tolist() == ["i5", "i2", "i0", "a0", "j1"]
    assert ("u2", "i3") in pairs(MORE)
    assert set(model.recommend(n_neighbors=99)["item"]) <= set(model.item_ids_)
    model.set_catalog(["i3", "i5"])
    assert not {("u2", "i3")} & pairs(model.recommend(n_neighbors=99))


@pytest.mark.slow
def test_the_newest_features_of_users_count():
    X = random_events().assign(age=lambda t: t["user"].str[1:].astype(float))
    model = small(user_features=["age"]).fit(X)
    more = MORE.assign(age=[50.0, 30.0, 30.0, 2.0, 3.0])
    model.partial_fit(more)
    before = small(user_features=["age"]).fit(X)

    def age(model, user):
        why = model.explain(user, "i0").set_index("feature")["value"]
        return why.get("age", 0.0)

    # the largest ages of fit and of now are beyond its quantiles
    assert age(model, "u1") > age(before, "u1") and age(model, "new") > age(model, "u7")
    assert age(model, "u7") == age(before, "u7")


SIDE = pd.DataFrame({"item": [f"i{i}" for i in range(9)], "kind": list("abc") * 3})


@pytest.mark.slow
@for_each(
    ("params", "X", "error", "message"),
    [
        ({}, MORE[["user"]], ValueError, "feature names should match"),
        ({}, MORE.assign(item=[1, 2, 3, 4, 5]), TypeError, None),
        ({}, MORE.assign(item=[None, "i1", "i1", "i1", "i1"]), ValueError, "NaN"),
        ({"items": SIDE}, MORE, ValueError, "2 ids in column 'item' .* missing"),
        (
            {"item_tower": lambda n: nn.Linear(n, 8)},
            MORE,
            ValueError,
            "module given as item_tower cannot take new ids, .* its weight had shape",
        ),
    ],
)
def test_a_failed_call_leaves_the_model_as_it_was(params, X, error, message):
    model = small(**params).fit(random_events())
    before, state = model.recommend(n_neighbors=4), dict(vars(model))
    with pytest.raises(error, match=message):
        model.partial_fit(X)
    assert vars(model) == state or list(vars(model)) == list(state)
    pd.testing.assert_frame_equal(model.recommend(n_neighbors=4), before)


def numbered(dtype=int):
    return random_events().apply(lambda column: column.str[1:].astype(dtype))


@pytest.mark.slow
@for_each(("side", "ids"), [("user", ["3"]), ("item", [3.5]), ("user", [-1])])
def test_ids_of_another_type_are_refused(side, ids):
    model = small().fit(numbered("uint32"))
    more = pd.DataFrame({"user": [1], "item": [2]}).assign(**{side: ids})
    with pytest.raises(TypeError, match="have another type: they are .*uint32"):
        model.partial_fit(more)


def converted(convert, *sides):
    """Return numbered events and one more event, whose ids of some sides are new."""
    X, more = numbered(), pd.DataFrame({"user": [1], "item": [2]})
    for side in sides:
        X[side], more[side] = [*map(convert, X[side])], convert(99)
    return X, more


DAY = datetime.date(2024, 1, 1)
KINDS = {
    "text": lambda i: f"{uuid.UUID(int=i)}",
    "bytes": lambda i: f"{uuid.UUID(int=i)}".encode(),
    "uuid": lambda i: uuid.UUID(int=i),
    "date": lambda i: DAY + datetime.timedelta(i),
    "naive": lambda i: pd.Timestamp(2024, 1, 1) + pd.Timedelta(i, "D"),
    "aware": lambda i: pd.Timestamp(2024, 1, 1, tz="UTC") + pd.Timedelta(i, "D"),
    "span": lambda i: pd.Timedelta(i, "h"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "kind"),
    few(
        [("user", "text"), ("item", "uuid"), ("user", "aware")]
        + [(side, kind) for side in ("user", "item") for kind in KINDS],
        3,
    ),
)
def test_ids_of_another_kind_are_refused(side, kind):
    X, more = converted(KINDS[kind], side)
    model = small(max_epochs=1).fit(X)
    message = f"The ids of {side} column '{side}' have another type: they are "
    for other in KINDS.keys() - {kind}:
        for value in (1, 99):
            of_other = more.assign(**{side: [KINDS[other](value)]})
            with pytest.raises(TypeError, match=message):
                model.partial_fit(of_other)
    n_before = len(getattr(model, f"{side}_ids_"))
    assert len(getattr(model.partial_fit(more), f"{side}_ids_")) == n_before + 1


@pytest.mark.slow
@for_each(
    ("old", "new"),
    [("Int64", "UInt8"), ("int64[pyarrow]", "int64"), ("UInt8", "int64[pyarrow]")],
)
def test_integers_of_nullable_and_arrow_types_grow(old, new):
    model = small(max_epochs=1).fit(numbered().astype(old))
    model.partial_fit(pd.DataFrame({"user": [1, 99], "item": [2, 88]}).astype(new))
    assert model.user_ids_.tolist() == [*range(12), 99]
    assert model.item_ids_.tolist() == [*range(9), 88]
    assert model.user_ids_.dtype == (np.uint8 if old == "UInt8" else np.int64)


@pytest.mark.slow
def test_integers_of_another_width_are_the_same_ids():
    X = numbered("uint64") + np.uint64(2**60)
    model = small().fit(X)
    more = pd.DataFrame({"user": [2**60 + 1, 2**60 + 99], "item": [2**60 + 77] * 2})
    model.partial_fit(more)
    assert model.user_ids_.dtype == model.item_ids_.dtype == np.uint64
    assert model.item_ids_[-1] == 2**60 + 77 and model.user_ids_[-1] == 2**60 + 99


@pytest.mark.slow
def test_features_are_read_as_in_fit():
    X = random_events().assign(
        shop_id=lambda t: 2**60 + 1 + t["user"].str[1:].astype(int) % 3
    )
    model = small(user_features=["shop_id"]).fit(X)
    names = model.user_transformer_.get_feature_names_out().tolist()
    users = model.embed_users(model.user_ids_)
    model.set_params(lr=0).partial_fit(X[:7])
    assert model.user_transformer_.get_feature_names_out().tolist() == names
    np.testing.assert_allclose(model.embed_users(model.user_ids_), users, atol=1e-6)


@pytest.mark.slow
def test_impressions_that_never_start():
    model = small(impression_start=1.0, impression_weight=5).fit(random_events())
    other = pickle.loads(pickle.dumps(model))
    model.partial_fit(MORE, [1, 1, 1, 0, 1])
    other.set_params(impression_weight=0.0).partial_fit(MORE, [1, 1, 1, 0, 1])
    np.testing.assert_array_equal(model.item_embeddings_, other.item_embeddings_)


@pytest.mark.slow
def test_one_pass_whatever_fit_was_told():
    callbacks = [
        EarlyStopping(monitor="valid_recall", lower_is_better=False),
        ("rate", LRScheduler(policy="StepLR", step_size=1)),
    ]
    model = small(net_params={"max_epochs": 5, "lr": 0.5}, callbacks=callbacks)
    n_epochs = len(model.fit(random_events()).history_)
    model.partial_fit(MORE)
    assert len(model.history_) == n_epochs + 1
    assert model.net_.lr == pytest.approx(0.1)


@pytest.mark.slow
def test_without_a_rate_events_are_only_past():
    side = pd.concat([SIDE, pd.DataFrame({"item": ["a0", "j1"], "kind": ["a", "b"]})])
    model = small(
        items=side[:9], history=PooledHistory(second_share=0.4), embedding_dim=12
    )
    model.fit(random_events())
    vectors, model = model.item_embeddings_, model.set_params(items=side, lr=0)
    cold = model.embed_items(side[9:])
    model.partial_fit(MORE)
    np.testing.assert_array_equal(model.item_embeddings_, np.r_[vectors, cold])
    assert model.second_share_ == 0.4 and len(model.history_) == 1
    assert model.seen_items(["new"])["item"].tolist() == ["i0", "j1"]
    assert not pairs(model.recommend(n_neighbors=99)) & pairs(MORE)
    with pytest.warns(UserWarning, match="5 events were given to an earlier"):
        model.partial_fit(MORE)
    model.set_params(lr=0.01).partial_fit(MORE)  # to learn them is another thing
    assert model.second_share_ < 0.4
    assert np.isfinite(small(lr=0).fit(random_events()).item_embeddings_).all()


@pytest.mark.slow
@for_each("build", [small, ordered])
def test_what_was_past_is_learnt_later_as_at_once(build):
    X = chain(n_users=15)
    more = MORE.assign(when=99)
    at_once, later = build().fit(X).partial_fit(more), build().fit(X)
    later.set_params(lr=0).partial_fit(more).set_params(lr=0.01).partial_fit(more)
    np.testing.assert_array_equal(later.item_embeddings_, at_once.item_embeddings_)
    assert later.recommend().equals(at_once.recommend())


@pytest.mark.slow
@for_each("changed", [{"history": None}, {"embedding_dim": 4}, {"normalize": False}])
def test_other_towers_than_those_of_fit(changed):
    model = small().fit(random_events()).set_params(**changed)
    with pytest.raises(
        ValueError, match="other parts than in fit|another size than in"
    ):
        model.partial_fit(MORE)


@pytest.mark.slow
@for_each(
    ("tower", "message"),
    [
        (nn.Linear(9, 8), r"item_tower failed on a sparse tensor of shape \(2, 11\)"),
        (
            lambda n: nn.Linear(n, 8),
            r"item_tower cannot take .*weight had shape \(8, 9\), now \(8, 11\)\.",
        ),
    ],
    ids=["module", "callable"],
)
def test_a_tower_of_fixed_width_takes_no_new_ids(tower, message):
    model = small(item_tower=tower).fit(random_events())
    with pytest.raises(ValueError, match=message):
        model.partial_fit(MORE)


@pytest.mark.slow
def test_a_side_table_that_lost_a_column():
    model = small(items=SIDE).fit(random_events())
    more = pd.DataFrame({"user": ["u1"], "item": ["j1"]})
    model.set_params(items=pd.DataFrame({"item": [*SIDE["item"], "j1"]}))
    with pytest.raises(ValueError, match="items lacks the column 'kind'"):
        model.partial_fit(more)
    model.set_params(items=pd.concat([SIDE, SIDE[:1].assign(item="j1")]))
    assert "j1" in model.partial_fit(more).item_ids_


@pytest.mark.slow
@for_each("sampling", ["full", "mixed"])
def test_items_without_events_are_no_negatives(sampling):
    known = random_events()
    names = [*known["item"].unique(), *(f"cold{i}" for i in range(5))]
    table = pd.DataFrame({"item": names, "tag": ["warm"] * 9 + ["cold"] * 5})
    model = small(items=table, candidate_sampling=sampling).fit(known)
    model.partial_fit(known.iloc[:4], y=[1, 1, 0, 1])
    columns = model.item_transformer_.get_feature_names_out()
    cold = np.array(["cold" in name for name in columns])
    weights = model.net_.module_.first.item_tower.sparse.weight.detach().numpy()
    assert cold.sum() == 6 and (weights[cold] == 0).all()
    assert (weights[~cold] != 0).all()
    for user in ("u1", "u2", "u3", "u4"):  # the id is hidden now and then
        model.partial_fit(pd.DataFrame({"user": [user], "item": ["cold0"]}))
    weights = model.net_.module_.first.item_tower.sparse.weight.detach().numpy()
    assert (weights[columns == "item_cold0"] != 0).any()
    assert (weights[columns == "item_cold1"] == 0).all()


def test_the_time_of_new_events_may_be_unknown_though_it_is_context():
    known = random_events()
    days = pd.to_timedelta(np.arange(len(known)), unit="D")
    timed = known.assign(time=pd.Timestamp("2024-01-01") + days)
    model = small(time="time", context="time", history="pooled").fit(timed)
    model.partial_fit(MORE)
    assert "j1" in model.item_ids_
    assert model.context_transformer_ is None


def test_the_transformer_of_the_context_learns_new_levels():
    known = random_events()
    model = small(context="hour").fit(known.assign(hour=np.arange(len(known)) % 2))
    names = model.context_transformer_.get_feature_names_out().tolist()
    assert names == ["hour_0", "hour_1"]
    model.partial_fit(MORE.assign(hour=5))
    names = model.context_transformer_.get_feature_names_out().tolist()
    assert names == ["hour_0", "hour_1", "hour_5"]
