"""A third kind of history, defined in this file alone: attention over the last items.

No file of the package knows of it. Each thing that a model can do works with it, or is
refused in one sentence.
"""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sktwotower import TwoTowerRecommender
from sktwotower.inspection import explain
from sktwotower.io import dump, export_onnx, load
from sktwotower.model_selection import LastNSplit
from sktwotower.runtime import load as load_served
from sktwotower.towers import History, PooledHistory, RecentHistory
from tests.cases import for_each


class Attention(torch.nn.Module):
    """One head: the latest item asks, all items answer."""

    def __init__(self, width):
        super().__init__()
        self.query = torch.nn.Linear(width, width, bias=False)
        self.key = torch.nn.Linear(width, width, bias=False)
        self.decay = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, vectors, lags, is_item):
        asks = self.query(vectors[:, -1:])
        answers = (asks @ self.key(vectors).mT).squeeze(1) / math.sqrt(vectors.shape[2])
        answers = answers - self.decay * lags
        answers = answers.masked_fill(~is_item, -1e9)
        weights = answers.softmax(1) * is_item
        return (weights[..., None] * vectors).sum(1)


class AttentionHistory(History):
    def __init__(self, max_length=4, second_share=0.0):
        self.max_length = max_length
        self.second_share = second_share

    def module(self, width):
        return Attention(width)


class Useless(torch.nn.Module):
    def forward(self, vectors, lags, is_item):
        return 0 * vectors.sum(1)


class UselessHistory(History):
    second_share = 0.0

    def module(self, width):
        return Useless()


N_ITEMS = 12


def cycles(n_users=60, n_events=9, seed=0):
    """Return events of users who walk around a circle of items, one after the other."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(N_ITEMS, size=n_users)
    items = (starts[:, None] + np.arange(n_events)) % N_ITEMS
    return pd.DataFrame(
        {
            "user": np.repeat(np.arange(n_users), n_events),
            "item": items.ravel(),
            "step": np.tile(np.arange(n_events), n_users),
        }
    )


def recommender(history=None, **params):
    params = {
        "time": "step",
        "embedding_dim": 16,
        "max_epochs": 15,
        "exclude_seen": False,
        "validation_events": None,
        "sparse_parts": None,
        "context": None,
        "random_state": 0,
    } | params
    return TwoTowerRecommender(history=history or AttentionHistory(), **params)


@pytest.fixture(scope="module")
def model():
    return recommender().fit(cycles())


@pytest.fixture
def changed(model, tmp_path):
    """A copy of the model, as files make it."""
    dump(model, tmp_path / "model.sktt")
    return load(tmp_path / "model.sktt", towers={"history": AttentionHistory()})


def next_of(model, item, **given):
    history = pd.DataFrame({"user": "new", "item": [item - 1, item], "step": [1, 2]})
    return model.recommend(["new"], 1, history=history, **given)["item"].item()


def test_it_learns_the_order_that_a_useless_one_does_not_see(model):
    assert model.history_kind_ == "AttentionHistory"
    hits = sum(next_of(model, item) == (item + 1) % N_ITEMS for item in range(1, 11))
    useless = recommender(UselessHistory()).fit(cycles())
    blind = sum(next_of(useless, item) == (item + 1) % N_ITEMS for item in range(1, 11))
    assert hits >= 9 and blind <= 3


def test_only_the_latest_items_count_and_requests_equal_known_users(model):
    X = cycles()
    past = X[X["user"] == 3]
    vectors = model.embed_users(["new"], history=past.assign(user="new"))
    latest = past.tail(4).assign(user="new")
    np.testing.assert_allclose(
        vectors, model.embed_users(["new"], history=latest), atol=1e-6
    )
    several = pd.concat([past.assign(user="new"), past.tail(1).assign(user="other")])
    np.testing.assert_allclose(
        model.embed_users(["new", "other", "nobody"], history=several)[:1],
        vectors,
        atol=1e-6,
    )


def test_early_stopping_with_validation():
    stopped = recommender(early_stopping=True, n_iter_no_change=2).fit(cycles())
    assert "valid_recall" in stopped.history_[0]


def test_defaults_weigh_it_beside_other_parts():
    fitted = TwoTowerRecommender(
        time="step",
        history=AttentionHistory(second_share="auto"),
        embedding_dim=16,
        max_epochs=3,
        random_state=0,
    ).fit(cycles(n_users=120))
    assert fitted.history_kind_ == "AttentionHistory"
    assert len(fitted.recommend([0], 3)) == 3


def test_further_events_are_learnt_and_known(changed):
    more = pd.DataFrame({"user": [1000] * 3, "item": [4, 5, 6], "step": [20, 21, 22]})
    changed.partial_fit(more)
    assert changed.recommend([1000], 1)["item"].item() == 7
    assert changed.history_kind_ == "AttentionHistory"


def test_forgetting_and_a_new_catalog(changed):
    changed.forget_users([3])
    assert 3 not in changed.user_ids_
    changed.forget_items([0])
    assert 0 not in changed.item_ids_
    changed.set_catalog([5, 6, 7])
    assert set(changed.recommend([1], 3)["item"]) == {5, 6, 7}


def test_the_explanation_adds_up_to_the_score(model):
    table = explain(model, 3, 5)
    scores = model.predict(pd.DataFrame({"user": [3], "item": [5]}))
    assert table["contribution"].sum() == pytest.approx(scores[0], abs=1e-5)
    assert (table["side"] == "history").sum() == 4


def test_files_need_the_same_history_again(model, tmp_path):
    path = tmp_path / "model.sktt"
    dump(model, path)
    with pytest.raises(ValueError, match="Give it to load: towers={'history'"):
        load(path)
    with pytest.raises(ValueError, match=r"Got one of .*UselessHistory in towers"):
        load(path, towers={"history": UselessHistory()})
    with pytest.raises(ValueError, match=r"\(max_length=4, .*Got one with \(max_len"):
        load(path, towers={"history": AttentionHistory(max_length=2)})
    again = load(path, towers={"history": AttentionHistory(np.int64(4))})
    users = model.user_ids_[:5]
    np.testing.assert_array_equal(model.embed_users(users), again.embed_users(users))


def test_the_runtime_and_onnx_refuse_it(model, tmp_path):
    path = tmp_path / "model.sktt"
    dump(model, path)
    with pytest.raises(ValueError, match="a history of your own, which needs torch"):
        load_served(path)
    with pytest.raises(TypeError, match="one of AttentionHistory. Export it with"):
        export_onnx(model, tmp_path / "user.onnx", side="user")


def test_other_parameters_change_no_fitted_model(changed):
    before = changed.embed_users([3])
    changed.set_params(history__max_length=1)
    np.testing.assert_array_equal(changed.embed_users([3]), before)
    changed.partial_fit(pd.DataFrame({"user": [5], "item": [7], "step": [20]}))
    assert changed.net_.module_.max_history == 4


def test_a_fit_goes_on_from_its_weights():
    X = cycles(n_users=20)
    model = recommender(warm_start=True).fit(X)
    first = model.history_[0]["train_loss"]
    assert model.fit(X).history_[0]["train_loss"] < first / 2


def test_its_part_has_its_name(model):
    assert list(model.weights_.index) == ["towers, AttentionHistory"]


@for_each("length", [0, 2.5, "all"])
def test_a_wrong_number_of_past_items_is_refused(length):
    with pytest.raises(
        ValueError, match="'max_length' parameter of AttentionHistory must be an int"
    ):
        recommender(AttentionHistory(length)).fit(cycles(n_users=5))


def test_it_sees_order():
    class Unordered(AttentionHistory):
        sees_order = False

    with pytest.raises(ValueError, match="Unordered must have sees_order = True"):
        recommender(Unordered()).fit(cycles(n_users=5))


def test_it_is_cloned_and_searched():
    search = GridSearchCV(
        recommender(max_epochs=2),
        {"history__max_length": [1, 3]},
        cv=LastNSplit(1, time="step"),
    )
    search.fit(cycles())
    assert search.best_estimator_.history.max_length in (1, 3)
    assert clone(search.best_estimator_).history.max_length in (1, 3)


@for_each(
    "module, error, message",
    [
        (lambda width: "attention", TypeError, "must return a torch.nn.Module"),
        (torch.nn.Linear, ValueError, "failed on vectors"),
        (lambda width: Narrow(), ValueError, r"must return \(n, width\)"),
    ],
)
def test_what_is_no_module_of_a_history_is_refused(module, error, message):
    class Wrong(History):
        def module(self, width):
            return module(width) if module is not torch.nn.Linear else Failing()

    with pytest.raises(error, match=message):
        recommender(Wrong()).fit(cycles())


class Narrow(torch.nn.Module):
    def forward(self, vectors, lags, is_item):
        return vectors[:, 0, :1]


class Failing(torch.nn.Module):
    def forward(self, vectors):
        return vectors


@pytest.mark.parametrize("name", ["pooled", "recent"])
def test_short_names_stand_for_objects(name, tmp_path):
    history = {"pooled": PooledHistory(), "recent": RecentHistory()}[name]
    named = recommender(name, max_epochs=1).fit(cycles())
    fitted = recommender(history, max_epochs=1).fit(cycles())
    assert fitted.history_kind_ == name
    users = fitted.user_ids_
    np.testing.assert_array_equal(named.embed_users(users), fitted.embed_users(users))
    dump(fitted, tmp_path / "model.sktt")
    again = load(tmp_path / "model.sktt")
    assert type(again.history) is type(history)
    again.partial_fit(cycles(n_users=2))


def test_a_history_has_the_parameters_of_its_kind(tmp_path):
    X = cycles(n_users=20)
    history = RecentHistory(max_length=3, half_life=5, second_share=0.25)
    fitted = recommender(history, max_epochs=1).fit(X)
    assert fitted.half_life_ == 5.0
    assert fitted.second_share_ == pytest.approx(0.25)
    dump(fitted, tmp_path / "model.sktt")
    again = load(tmp_path / "model.sktt")
    assert again.history.get_params() == history.get_params()
    assert again.set_params(history__half_life=7).fit(X).half_life_ == 7.0


def test_a_pooled_history_has_a_second_share_too():
    history = PooledHistory(second_share=0.25)
    fitted = recommender(history, max_epochs=1, embedding_dim=9, time=None)
    assert fitted.fit(cycles()).second_share_ == pytest.approx(0.25)


@for_each(
    "history, error, message",
    [
        (RecentHistory(max_length=0), ValueError, "'max_length' .* RecentHistory"),
        (RecentHistory(half_life=-1), ValueError, "half_life must be > 0"),
        (RecentHistory, TypeError, r"not an object: RecentHistory\(\)"),
        (torch.nn.LSTM, ValueError, "'history' parameter"),
    ],
)
def test_what_a_history_cannot_be(history, error, message):
    with pytest.raises(error, match=message):
        recommender(history).fit(cycles(n_users=5))


def test_it_needs_a_time():
    with pytest.raises(ValueError, match=r"AttentionHistory\(\) needs the order"):
        recommender(time=None).fit(cycles())
