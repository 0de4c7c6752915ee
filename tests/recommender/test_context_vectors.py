"""The vector of a request is that of the user, changed by the context, by hand."""

import copy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from torch import nn

from sktwotower import TowerVectorizer
from sktwotower.towers import PooledHistory, RecentHistory

from .builders import asked_by_hand, asking, few, names_of, planted, requests_of

X = planted(12, 6)
DAYS = pd.to_datetime("2024-01-30") + pd.to_timedelta(np.arange(len(X)) % 40, "D")
X["number"] = np.linspace(-2, 5, len(X))
X["date"] = DAYS
X["tags"] = [["a", "b"], ["b"], ["c", "a"], []] * (len(X) // 4)
X["words"] = ["red shoes", "blue shoes", "red hat", "green hat"] * (len(X) // 4)
X["level"] = X["slot"]
TIMED = {"history": "recent", "time": "time"}
HISTORIES = {
    "pooled": {"history": "pooled"},
    "recent": TIMED | {"history": RecentHistory(second_share=0.3)},
    "none": {"history": None},
    "filtered": {"history": PooledHistory(second_share=0.3)},
}


class Own(nn.Module):
    """A user tower of one's own."""

    def __init__(self, n):
        super().__init__()
        self.layer = nn.Linear(n, 16)

    def forward(self, rows):
        return self.layer(rows.to_dense())


KINDS = {
    "level": None,
    "number": None,
    "date": None,
    "tags": None,
    "words": TowerVectorizer(kinds={"words": "text"}),
    "device": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=7),
}
CASES = [
    ("tags", "recent", False, False),
    ("number", "pooled", True, False),
    ("date", "none", False, True),
    ("words", "filtered", True, False),
    ("device", "pooled", True, False),
    ("level", "recent", True, True),
    *((kind, history, True, False) for history in HISTORIES for kind in KINDS),
]


@pytest.mark.parametrize(("kind", "history", "normalize", "own"), few(CASES, 6))
def test_the_vector_of_a_request_by_hand(kind, history, normalize, own):
    towers = {}
    if own:
        towers["user_tower"] = Own(12)
    model = asking(
        context=kind,
        context_transformer=KINDS[kind],
        normalize=normalize,
        max_epochs=2,
        **HISTORIES[history],
        **towers,
    ).fit(X)
    requests = X[["user", kind]].iloc[::-1]
    u = model.embed_users(requests["user"])
    transformer = model.context_transformer_
    rows = transformer.transform(requests[[kind]])
    rows = np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows)
    expected = asked_by_hand(model, u, rows)
    found = model.embed_users(requests)
    assert np.abs(found - u).max() > 0.01
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def model():
    return asking(**TIMED).fit(X)


def test_levels_are_ones(model):
    names = names_of(model)
    requests, _ = requests_of(X)
    rows = np.zeros((len(requests), len(names)))
    asked = requests[["slot", "device"]].to_numpy()
    for row, (slot, device) in enumerate(asked):
        rows[row, [names.index(f"slot_{slot}"), names.index(f"device_{device}")]] = 1
    u = model.embed_users(requests["user"])
    expected = asked_by_hand(model, u, rows)
    assert_allclose(model.embed_users(requests), expected, rtol=1e-5, atol=1e-6)


def test_requests_alone_and_in_any_order_have_the_same_vectors(model):
    requests, _ = requests_of(X)
    together = model.embed_users(requests)
    order = np.random.default_rng(0).permutation(len(requests))
    assert_allclose(model.embed_users(requests.iloc[order]), together[order], atol=1e-6)
    for place in (0, 5, 17):
        one = model.embed_users(requests.iloc[[place]])
        assert_allclose(one, together[[place]], atol=1e-6)
        user, *cells = requests.iloc[place]
        context = dict(zip(("slot", "device"), cells, strict=True))
        one = model.embed_users([user], context=context)
        assert_allclose(one, together[[place]], atol=1e-6)


def test_all_that_is_unknown_is_the_vector_of_the_user(model):
    users = X[["user"]].drop_duplicates()
    expected = model.embed_users(users["user"].to_list())
    for cell in (None, np.nan, pd.NA, pd.NaT, "never seen", 3):
        requests = users.assign(slot=cell, device=pd.Series([cell] * len(users)))
        assert_array_equal(model.embed_users(requests), expected)
    assert_array_equal(model.embed_users(users), expected)
    assert_array_equal(model.embed_users(users.assign(item="i00")), expected)
    unknown = {"slot": None, "device": "never seen"}
    assert_array_equal(model.embed_users(users, context=unknown), expected)
    assert_array_equal(model.embed_users(users, context={}), expected)
    some = requests_of(X)[0].iloc[:6]
    known = model.embed_users(some)
    some.loc[[1, 3], ["slot", "device"]] = None
    mixed = model.embed_users(some)
    assert_array_equal(mixed[[1, 3]], model.embed_users(some["user"])[[1, 3]])
    assert_allclose(mixed[[0, 2, 4]], known[[0, 2, 4]], atol=1e-6)


@pytest.mark.parametrize("history", few(HISTORIES, 2))
def test_new_users_with_a_history_in_a_context(history):
    model = asking(**HISTORIES[history]).fit(X)
    names = names_of(model)
    row = np.zeros((1, len(names)))
    row[0, names.index("slot_noon")] = 1
    for user in ("new", "u03"):
        past = {user: ["i00", "i03", "i31"]}
        u = model.embed_users([user], history=past)
        context = {"slot": "noon"}
        found = model.embed_users([user], history=past, context=context)
        assert_allclose(found, asked_by_hand(model, u, row), rtol=1e-5, atol=1e-6)
        table = pd.DataFrame({"user": [user], "slot": ["noon"]})
        assert_allclose(model.embed_users(table, history=past), found, atol=1e-6)
    assert not np.array_equal(u, model.embed_users(["u03"])) or history == "none"


@pytest.mark.slow
def test_custom_transformers_get_no_missing_cells():
    scaled = asking(context="number", context_transformer=StandardScaler())
    model = scaled.fit(X)
    u = model.embed_users(["u00"])
    mean, deviation = X["number"].mean(), X["number"].std(ddof=0)
    found = model.embed_users(["u00"], context={"number": 4.0})
    expected = asked_by_hand(model, u, [[(4 - mean) / deviation]])
    assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert_array_equal(model.embed_users(["u00"], context={"number": np.nan}), u)


def test_copies_and_refits_answer_alike(model):
    requests, _ = requests_of(X)
    expected = model.embed_users(requests)
    assert_array_equal(copy.deepcopy(model).embed_users(requests), expected)
