"""A linear filter next to the towers of a `TwoTowerRecommender`."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from sktwotower import TwoTowerRecommender, io
from sktwotower.towers import PooledHistory, RecentHistory
from tests.builders import batched, chain, first_fast, random_events
from tests.cases import for_each

D, OF_FILTER = 12, 4
X = random_events(n_users=20, n_items=15)
ITEMS = pd.DataFrame(
    {"item": [f"i{i}" for i in range(16)], "kind": list("ab" * 8)}
)  # i15 has no events


def filtered(**params):
    return batched(
        **{"embedding_dim": D, "history": PooledHistory(second_share=0.4)} | params
    )


@pytest.fixture(scope="module")
def fitted():
    return filtered().fit(X)


@pytest.fixture
def model(fitted):
    return copy.deepcopy(fitted)


def plain(**params):
    """Build the same towers without a filter."""
    return batched(
        embedding_dim=D - OF_FILTER, history=PooledHistory(second_share=0), **params
    )


@pytest.mark.parametrize("share", first_fast([0.1, 0.9]))
def test_the_score_is_that_of_the_towers_plus_that_of_the_filter(share):
    model = filtered(history=PooledHistory(second_share=share)).fit(X)
    assert model.second_share_ == share
    towers, width = plain().fit(X), D - OF_FILTER
    assert towers.second_share_ == 0
    # the towers are those of a fit without a filter
    assert_allclose(
        model.item_embeddings_[:, :width] / np.sqrt(1 - share),
        towers.item_embeddings_,
        atol=1e-6,
    )
    assert model.item_embeddings_.shape[1] == D == model.transform(X).shape[1]
    items = model.item_embeddings_[:, width:] / np.sqrt(share)
    users = model.embed_users(model.user_ids_)[:, width:] / np.sqrt(share)
    assert_allclose(np.linalg.norm(users, axis=1), 1, atol=1e-5)
    places = pd.Index(model.user_ids_).get_indexer(X["user"])
    chosen = pd.Index(model.item_ids_).get_indexer(X["item"])
    scores = (users[places] * items[chosen]).sum(axis=1)
    wanted = (1 - share) * towers.predict(X) + share * scores
    assert_allclose(model.predict(X), wanted, atol=1e-5)


@pytest.mark.slow
def test_users_like_one_another_have_one_vector_of_the_filter():
    twice = pd.concat([X, X.loc[X["user"] == "u3"].assign(user="twin")])
    model = filtered().fit(twice)
    pair = model.embed_users(["u3", "twin"])[:, -OF_FILTER:]
    assert_allclose(*pair, atol=1e-6)


@pytest.mark.slow
def test_the_order_of_rows_does_not_matter_to_the_filter():
    shuffled = X.sample(frac=1, random_state=3)
    one, other = (filtered().fit(each).item_embeddings_ for each in (X, shuffled))
    assert_allclose(
        *(v[:, -OF_FILTER:] @ v[:, -OF_FILTER:].T for v in (one, other)), atol=1e-5
    )


@pytest.mark.parametrize(
    "params",
    first_fast(
        [
            {"history": PooledHistory(second_share=0)},
            {"history": "pooled"},  # too few events
            {"history": None},
            {"normalize": False, "temperature": 1.0},
            {"user_tower": nn.LazyLinear(8), "item_tower": nn.LazyLinear(8)},
            {"embedding_dim": 8},  # a third are two, of which none is left
            {"embedding_dim": 45},  # 15 of 15 items
            {"id_dropout": 1, "items": ITEMS},
        ],
        3,
    ),
    ids=lambda params: ", ".join(params),
)
def test_no_filter_where_there_can_be_none(params):
    model = filtered(**params).fit(X)
    assert model.second_share_ == 0


@pytest.mark.slow
def test_no_filter_with_order_or_with_what_was_not_chosen():
    ordered = filtered(time="when", history=RecentHistory(second_share=0)).fit(chain())
    assert ordered.second_share_ == 0
    y = np.r_[0, np.ones(len(X) - 1)]
    assert filtered(impression_weight=5).fit(X, y).second_share_ == 0
    # unless it does not count, as by default
    assert filtered().fit(X, y).second_share_ == 0.4
    assert filtered(impression_weight=0).fit(X, y).second_share_ == 0.4


@pytest.mark.slow
def test_auto_needs_long_vectors_and_gives_a_share_by_the_number_of_events():
    many = random_events(n_users=530, n_items=530, density=0.04)
    params = {"history": "pooled", "max_epochs": 1, "batch_size": 530}
    model = filtered(**params, embedding_dim=384).fit(many)
    n_events = len(many)
    assert n_events > 10_000
    noise = 2 * (n_events / 530) ** -0.5
    weight = 0.06 * noise**-1.5
    assert model.second_share_ == pytest.approx(weight / (1 + weight))
    # in a shorter vector the towers need all entries
    short = filtered(**params, embedding_dim=383).fit(many)
    assert short.second_share_ == 0


@for_each("share", [-0.1, 1, "some"])
def test_a_wrong_share_is_refused(share):
    with pytest.raises(ValueError, match="second_share"):
        filtered(history=PooledHistory(second_share=share)).fit(X)


def test_new_users_with_a_history_have_the_vector_of_the_filter(model):
    past = X.loc[X["user"] == "u3", "item"].tolist()
    known = model.embed_users(["u3"])[0]
    for fold_in in (True, False):
        model.set_params(history=PooledHistory(fold_in=fold_in))
        new = model.embed_users(["new"], history=past)[0]
        assert_allclose(np.linalg.norm(new), 1, atol=1e-6)
        assert_allclose(new[-OF_FILTER:], known[-OF_FILTER:], atol=1e-6)


@pytest.mark.slow
def test_fold_in_moves_what_the_towers_say_only():
    past = X.loc[X["user"] == "u3", "item"].tolist()
    width = D - OF_FILTER
    model, towers = filtered().fit(X), plain().fit(X)
    new = model.embed_users(["new"], history=past)[0]
    alone = towers.embed_users(["new"], history=past)[0]
    assert_allclose(new[:width] / np.sqrt(0.6), alone, atol=1e-5)


def test_an_item_without_events_is_found_by_its_features():
    model = filtered(items=ITEMS).fit(X)
    own = model.item_embeddings_[:, -OF_FILTER:] / np.sqrt(0.4)
    assert_allclose(np.linalg.norm(own, axis=1), 1, atol=1e-5)
    places = pd.Index(model.item_ids_)
    like = own[places.get_indexer([f"i{i}" for i in range(1, 15, 2)])].mean(axis=0)
    new = own[places.get_loc("i15")]
    assert_allclose(new, like / np.linalg.norm(like), atol=1e-4)


@pytest.mark.slow
def test_an_item_that_was_only_shown_is_found_by_its_features():
    shown = pd.concat([X, pd.DataFrame({"user": ["u1"], "item": ["i15"]})])
    y = np.append(np.ones(len(X)), 0)
    model = filtered(items=ITEMS, impression_weight=0).fit(shown, y)
    own = model.item_embeddings_[:, -OF_FILTER:] / np.sqrt(0.4)
    places = pd.Index(model.item_ids_)
    like = own[places.get_indexer([f"i{i}" for i in range(1, 15, 2)])].mean(axis=0)
    new = own[places.get_loc("i15")]
    assert_allclose(new, like / np.linalg.norm(like), atol=1e-4)


@pytest.mark.slow
def test_partial_fit_finds_a_new_item_by_its_features():
    model = filtered(items=ITEMS[:15]).fit(X)
    new = ITEMS[15:], pd.DataFrame({"item": ["i16"], "kind": ["c"]})
    model.set_params(items=pd.concat([ITEMS[:15], *new]))
    model.partial_fit(pd.DataFrame({"user": ["u1", "u2"], "item": ["i15", "i16"]}))
    own = model.item_embeddings_[:, -OF_FILTER:] / np.sqrt(0.4)
    places = pd.Index(model.item_ids_)
    like = own[places.get_indexer([f"i{i}" for i in range(1, 15, 2)])].mean(axis=0)
    known, unknown = own[places.get_indexer(["i15", "i16"])]
    assert_allclose(known, like / np.linalg.norm(like), atol=1e-4)
    assert_allclose(unknown, [0, 0, 1, 0], atol=1e-4)  # no other item is of its kind


def test_partial_fit_trains_the_towers_only(model):
    first = model.item_embeddings_.copy()
    more = pd.DataFrame({"user": ["u1", "v1"], "item": ["j1", "i2"]})
    model.partial_fit(more)
    assert 0 < model.second_share_ < 0.4
    after, n = model.item_embeddings_, len(first)
    assert list(model.item_ids_[n:]) == ["j1"]
    assert_allclose(after[:n, -OF_FILTER:], first[:, -OF_FILTER:], atol=1e-6)
    assert np.abs(after[:n, :-OF_FILTER] - first[:, :-OF_FILTER]).max() > 1e-4
    # a new item has nothing of the filter, and vectors of one length
    users = model.embed_users(model.user_ids_)
    assert_allclose(users[:, -OF_FILTER:] @ after[n, -OF_FILTER:], 0, atol=1e-5)
    assert_allclose(np.linalg.norm(after, axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_a_filter_fades_with_what_partial_fit_learns():
    model, n = filtered().fit(X), len(X)
    items, user = model.item_embeddings_.copy(), model.embed_users(["u3"])[0]
    more = pd.DataFrame({"user": ["v1", "v1", "v2"], "item": ["i1", "i2", "i3"]})
    # a rate of almost zero: only the filter changes
    model.set_params(lr=5e-9).partial_fit(more)
    fade = 1 / (1 + 100 * 3 / n)
    assert model.second_share_ == pytest.approx(0.4 * fade / (0.6 + 0.4 * fade))
    assert_allclose(model.item_embeddings_, items, atol=1e-6)
    now, width = model.embed_users(["u3"])[0], D - OF_FILTER
    length = np.sqrt(0.6 + 0.4 * fade**2)
    assert_allclose(now[:width], user[:width] / length, atol=1e-6)
    assert_allclose(now[width:], user[width:] * fade / length, atol=1e-6)
    assert_allclose(np.linalg.norm(now), 1, atol=1e-6)
    # a history that comes with the request means the same
    past = X.loc[X["user"] == "u3", "item"].tolist()
    new = model.embed_users(["new"], history=past)[0]
    assert_allclose(new[width:], now[width:], atol=1e-6)
    assert_allclose(np.linalg.norm(new), 1, atol=1e-6)
    # and once more, with more events before
    model.partial_fit(more.assign(user="v3"))
    fade /= 1 + 100 * 3 / (n + 3)
    assert model.second_share_ == pytest.approx(0.4 * fade / (0.6 + 0.4 * fade))


@pytest.mark.slow
def test_a_filter_never_fades_to_nothing(model, tmp_path):
    for user in ("v1", "v2", "v3", "v4"):  # one in 5 million would be left
        model.partial_fit(X.assign(user=user + X["user"]))
    assert model.second_share_ == pytest.approx(0.4e-6 / 0.6)
    io.dump(model, tmp_path / "model.sktt")
    again = io.load(tmp_path / "model.sktt")
    assert again.second_share_ == model.second_share_
    assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.slow
def test_a_table_without_rows_leaves_the_filter_as_it_is():
    model = filtered().fit(X).partial_fit(X[:0])
    assert model.second_share_ == pytest.approx(0.4)


@pytest.mark.slow
def test_a_faded_filter_is_kept_in_files_and_explained(tmp_path):
    model = filtered().fit(X).partial_fit(X[:4].assign(user="v1"))
    io.dump(model, tmp_path / "model.sktt")
    again = io.load(tmp_path / "model.sktt")
    assert again.second_share_ == model.second_share_ < 0.4
    assert_array_equal(again.embed_users(["u3"]), model.embed_users(["u3"]))
    place = pd.Index(model.item_ids_).get_loc("i5")
    for user, history in (("u3", None), ("new", ["i1", "i4"])):
        table = model.explain(user, "i5", history=history)
        vector = model.embed_users([user], history=history)[0]
        score = float(vector @ model.item_embeddings_[place])
        assert table.attrs["score"] == pytest.approx(score, abs=1e-5)
        assert table["contribution"].sum() == pytest.approx(score, abs=1e-5)


def test_partial_fit_with_another_length_is_refused(model):
    before = model.predict(X)
    for other in (1, 3, OF_FILTER, 24):  # with up to 4, none is left for the towers
        with pytest.raises(ValueError, match="Restore embedding_dim"):
            model.set_params(embedding_dim=other).partial_fit(X[:3])
    assert_array_equal(model.predict(X), before)
    model.set_params(embedding_dim="auto").partial_fit(X[:3])  # the length of fit
    assert model.item_embeddings_.shape[1] == D


def test_a_forgotten_user_leaves_the_others_as_they_are(model):
    others = [user for user in model.user_ids_ if user != "u3"]
    before = model.embed_users(others)
    model.forget_users(["u3"])
    assert_allclose(model.embed_users(others), before, atol=1e-6)
    assert model.second_share_ == 0.4


def test_a_forgotten_item_leaves_the_others_as_they_are(model):
    before = pd.DataFrame(model.item_embeddings_, index=model.item_ids_)
    model.forget_items(["i3"])
    assert "i3" not in model.item_ids_
    after = pd.DataFrame(model.item_embeddings_, index=model.item_ids_)
    assert_allclose(after, before.loc[after.index], atol=1e-6)


def test_other_catalogs_have_vectors_of_the_filter(model):
    before = pd.DataFrame(model.item_embeddings_, index=model.item_ids_)
    model.set_catalog(["i4", "i1"])
    assert_allclose(model.item_embeddings_, before.loc[["i4", "i1"]], atol=1e-6)


@pytest.mark.slow
def test_warm_start_goes_on_with_the_towers():
    model = filtered(warm_start=True).fit(X)
    first = model.item_embeddings_.copy()
    model.fit(X)
    assert len(model.history_) == 3  # of the last fit
    same = [
        v[:, -OF_FILTER:] @ v[:, -OF_FILTER:].T for v in (first, model.item_embeddings_)
    ]
    assert_allclose(*same, atol=1e-5)
    assert np.abs(first - model.item_embeddings_)[:, :-OF_FILTER].max() > 1e-4
    with pytest.raises(ValueError, match="parts of the model .second_share"):
        model.set_params(history=PooledHistory(second_share=0)).fit(X)


@pytest.mark.slow
def test_files_and_pickles_keep_the_filter(tmp_path):
    model = filtered(items=ITEMS).fit(X)
    io.dump(model, tmp_path / "model.sktt")
    for again in (io.load(tmp_path / "model.sktt"), pickle.loads(pickle.dumps(model))):
        assert again.second_share_ == 0.4
        assert_array_equal(again.predict(X), model.predict(X))
        history = {"history": ["i1", "i2"]}
        new = [m.embed_users(["new"], **history) for m in (again, model)]
        assert_array_equal(*new)
        again.partial_fit(X[:5])
        assert 0 < again.second_share_ < 0.4
        io.dump(again, tmp_path / "later.sktt")
        later = io.load(tmp_path / "later.sktt")
        assert_array_equal(later.predict(X), again.predict(X))


@pytest.mark.slow
@for_each("history", [None, ["i1", "i4", "i7"]])
def test_an_explanation_adds_up_to_the_score(history):
    model = filtered(items=ITEMS).fit(X)
    user = "u3" if history is None else "new"
    table = model.explain(user, "i5", history=history)
    assert table["contribution"].sum() == pytest.approx(table.attrs["score"], abs=1e-5)
    vector = model.embed_users([user], history=history)
    place = pd.Index(model.item_ids_).get_loc("i5")
    wanted = float(vector[0] @ model.item_embeddings_[place])
    assert table.attrs["score"] == pytest.approx(wanted, abs=1e-5)
    # a past item counts for the towers and the filter
    assert (table["side"] == "history").sum() >= 3


@pytest.mark.slow
def test_early_stopping_hides_its_events_from_the_filter():
    model = filtered(early_stopping=True, validation_fraction=0.5).fit(X)
    everything = filtered().fit(X)
    own = [m.item_embeddings_[:, -OF_FILTER:] for m in (model, everything)]
    grams = [v @ v.T for v in own]
    assert np.abs(grams[0] - grams[1]).max() > 1e-3


def test_the_estimator_shows_the_length_of_its_vectors(model):
    assert "256" in TwoTowerRecommender()._repr_html_()
    assert str(D) in model._repr_html_()
