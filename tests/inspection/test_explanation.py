"""Explanations add up to the score."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from torch import nn

from tests.builders import small
from tests.cases import for_each
from tests.recommender.builders import few


def tables():
    users = pd.DataFrame({"user": [f"u{g}{i}" for g in range(2) for i in range(10)]})
    users["age"] = np.linspace(20, 60, 20)
    items = pd.DataFrame({"item": [f"i{g}{i}" for g in range(2) for i in range(6)]})
    items["genres"] = ["Action|Comedy", "Drama", "Action|Drama"] * 4
    return {"users": users, "items": items}


def own_tower(n_features):
    layers = nn.Linear(n_features, 6), nn.Tanh(), nn.Linear(6, 8)
    return nn.Sequential(*layers)


class Densified(nn.Module):
    """Its own operator has no gradient with respect to a sparse tensor."""

    def __init__(self, n_features):
        super().__init__()
        self.linear = nn.Linear(n_features, 8)

    def forward(self, rows):
        if rows.is_sparse and rows.requires_grad:
            raise NotImplementedError("no gradient of sparse tensors")
        return self.linear(rows)


MODELS = {
    "linear": {},
    "without history": {"history": None},
    "not normalized": {"normalize": False, "neighbors": "exact"},
    "hidden": {"hidden_layer_sizes": (6, 6)},
    "own towers": {"user_tower": own_tower, "item_tower": own_tower},
    "own user tower": {"user_tower": own_tower, "history": None},
    "own item tower": {"item_tower": Densified},
}


@pytest.fixture(params=few(MODELS))
def model(request, events):
    return small(**tables(), **MODELS[request.param]).fit(events)


@pytest.mark.slow
def test_a_new_item_of_which_fit_knows_no_feature_has_a_bias_alone(events):
    model = small(**tables()).fit(events)
    novel = pd.DataFrame({"item": ["novel"], "genres": ["Western"]})
    why = model.explain("u00", novel)
    assert why.loc[why["side"] == "item", "feature"].tolist() == ["(bias)"]
    score = model.embed_users(["u00"])[0] @ model.embed_items(novel)[0]
    check_sum(why, score)


def check_sum(why, score):
    assert why.attrs["score"] == pytest.approx(score, abs=1e-6)
    assert why["contribution"].sum() == pytest.approx(score, abs=1e-6)
    assert why["contribution"].abs().is_monotonic_decreasing
    columns = ["side", "feature", "value", "contribution", "reason"]
    assert why.columns.tolist() == columns
    halves = why["contribution"].groupby(why["side"] == "item").sum()
    assert halves.to_numpy() == pytest.approx(score / 2, abs=1e-6)


@pytest.mark.slow
def test_contributions_add_up_to_the_score(model, events):
    pair = events.iloc[[0]]
    user, item = pair.iloc[0]
    why = model.explain(user, item)
    check_sum(why, model.predict(pair)[0])
    past = why[why["side"] == "history"]
    chosen = set(events.loc[events["user"] == user, "item"])
    assert set(past["feature"]) == (chosen if model.history else set())
    assert (past["value"] == 0.25).all()


@pytest.mark.slow
def test_unknown_user_with_a_history_and_new_item_with_features(model):
    user = pd.DataFrame({"user": ["new"], "age": [33.0]})
    item = pd.DataFrame({"item": ["newer"], "genres": ["Drama"]})
    history = {"new": ["i00", "i13"]} if model.history else None
    why = model.explain(user, item, history)
    vector = model.embed_users(user, history) @ model.embed_items(item).T
    check_sum(why, vector[0, 0])
    assert {"age", "genres_Drama"} < set(why["feature"])
    past = set(why.loc[why["side"] == "history", "feature"]) - {"(fold-in)"}
    assert past == set(history["new"] if history else ())


@pytest.mark.slow
def test_of_an_unknown_user_the_bias_remains(events):
    model = small().fit(events)
    why = model.explain("nobody", "i00")
    vector = model.embed_users(["nobody"]) @ model.embed_items(["i00"]).T
    check_sum(why, vector[0, 0])
    assert why.loc[why["side"] == "user", "feature"].tolist() == ["(bias)"]
    one = model.explain("nobody", "i00", history=["i01"])  # a matrix with one entry
    past = one[one["side"] == "history"].iloc[0]
    assert past["value"] == 1 and past["contribution"] != 0


def test_features_without_names_are_numbered(events):
    nameless = make_pipeline(OneHotEncoder(), FunctionTransformer())
    model = small(item_transformer=nameless).fit(events)
    why = model.explain("u00", "i10")
    found = set(why.loc[why["side"] == "item", "feature"])
    assert found == {"item_6", "(bias)"}  # i10 is the seventh of the catalog


@pytest.mark.slow
def test_new_ids_of_partial_fit_have_their_names(events):
    new = pd.DataFrame({"user": ["a new user"] * 2, "item": ["i00", "a new item"]})
    model = small().fit(events).partial_fit(new)
    why = model.explain("a new user", "a new item")
    names = {"user_a new user", "item_a new item", "i00", "a new item", "(bias)"}
    assert set(why["feature"]) == names
    assert len(model.feature_importance(new)) == 3


@pytest.mark.slow
def test_no_gradient_is_left_behind(model):
    module = model.net_.module_
    before = [p.grad for p in module.parameters()]
    with torch.no_grad():
        model.explain("u00", "i00")
    assert [p.grad for p in module.parameters()] == before
    assert all(p.requires_grad for p in module.parameters())


def test_a_tower_without_a_gradient_says_so(events):
    class Opaque(Densified):
        def forward(self, rows):
            if rows.requires_grad:
                raise RuntimeError("not differentiable")
            return self.linear(rows)

    model = small(item_tower=Opaque).fit(events)
    with pytest.raises(ValueError, match="item_tower has no gradient .* not differ"):
        model.explain("u00", "i00")


# In words


def test_the_reasons_of_a_person(events):
    names = {"i00": "Emma", "i01": "Dune", "i02": None}
    model = small(**tables()).fit(events)
    by_hand = {
        "user_u00": "taste not explained by the past",
        "item_i01": "Dune itself",
        "genres_Drama": "genres: Drama",
    }
    why = model.explain("u00", "i01", names=names)
    plain = model.explain("u00", "i01")
    pd.testing.assert_frame_equal(
        why.drop(columns="reason"), plain.drop(columns="reason")
    )
    check_sum(
        why, model.predict(pd.DataFrame([["u00", "i01"]], columns=["user", "item"]))[0]
    )
    reasons = dict(zip(why["feature"], why["reason"], strict=True))
    assert {name: reasons[name] for name in by_hand} == by_hand
    past = why[why["side"] == "history"]
    chosen = [f"chose {names.get(item) or item}" for item in past["feature"]]
    assert past["reason"].tolist() == chosen and len(past) == 4
    bias = why.loc[why["feature"] == "(bias)"].set_index("side")["reason"]
    assert bias.to_dict() == {
        "user": "what all users have in common",
        "item": "what all items have in common",
    }
    ages = why.loc[why["feature"] == "age", "reason"].tolist()
    assert ages == ["age: 20"]
    assert (
        dict(zip(plain["feature"], plain["reason"], strict=True))["item_i01"]
        == "i01 itself"
    )


def test_names_are_a_column_a_dict_or_a_series(events):
    given = tables()
    given["items"]["title"] = [f"Book {i}" for i in range(12)]
    model = small(**given).fit(events)
    named = given["items"].set_index("item")["title"]
    found = [
        model.explain("u00", "i01", names=n) for n in ("title", named, dict(named))
    ]
    assert "Book 1 itself" in set(found[0]["reason"])
    for other in found[1:]:
        pd.testing.assert_frame_equal(other, found[0])


def test_without_a_history_and_with_other_transformers(events):
    encoder = OneHotEncoder(handle_unknown="ignore")
    model = small(history=None, item_transformer=encoder).fit(events)
    why = model.explain("u00", "i00").set_index("feature")["reason"]
    assert why["user_u00"] == "this user's taste"
    assert why["item_i00"] == "item_i00"


def test_names_that_are_none_are_refused(events):
    model = small(**tables()).fit(events)
    with pytest.raises(ValueError, match="'genre' is not a column.*mean 'genres'"):
        model.explain("u00", "i00", names="genre")
    with pytest.raises(ValueError, match="'title' names a column.*without one"):
        small().fit(events).explain("u00", "i00", names="title")
    with pytest.raises(TypeError, match="names must be a column.* Got 7"):
        model.explain("u00", "i00", names=7)


@pytest.mark.slow
@for_each(
    "user, item, error, message",
    [
        (["u00", "u01"], "i00", ValueError, "user must be one user.* Got 2"),
        (
            "u00",
            pd.DataFrame({"item": []}),
            ValueError,
            "item must be one item.* Got 0",
        ),
        ("u00", "novel", ValueError, "'novel' is not known from fit. Check the id"),
        (None, "i00", TypeError, "user must be an id, or a table of one row. Got None"),
        ("u00", {"item": "i00"}, TypeError, "item must be an id, or a table"),
        (float("nan"), "i00", ValueError, "user contains NaN"),
        (("a", 1), "i00", TypeError, "user mixes ids of different types"),
    ],
)
def test_what_is_no_pair_is_refused(events, user, item, error, message):
    model = small().fit(events)
    with pytest.raises(error, match=message):
        model.explain(user, item)
