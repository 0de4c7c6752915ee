"""What a model with context answers, by each of its methods."""

import copy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.preprocessing import OneHotEncoder
from skorch.callbacks import Callback

from sktwotower.metrics import retrieval_report
from sktwotower.towers import PooledHistory, RecentHistory

from .builders import asking, few, names_of, planted, requests_of, share_found

X = planted()
REQUESTS, BLOCKS = requests_of(X)
TIMED = {"history": "recent", "time": "time"}
CASES = [
    {"history": "pooled"},
    TIMED,
    {"history": None},
    {"history": PooledHistory(second_share=0.3)},
    TIMED | {"history": RecentHistory(second_share=0.3)},
    {"normalize": False, "lr": 0.05, "max_epochs": 20},
    TIMED | {"candidate_sampling": "mixed"},
    {"history": "pooled", "candidate_sampling": "in_batch"},
    {"hidden_layer_sizes": (16,)},
    {"optimizer": "adagrad", "lr": 0.2},
    {"context": ["slot", "device", "time"], "time": "time", "history": "recent"},
]


@pytest.mark.slow
@pytest.mark.parametrize("params", few(CASES))
def test_slot_and_device_decide_on_items(params):
    params = {"lr": 0.1, "batch_size": 32, "max_epochs": 10} | params
    model = asking(**params, sparse_parts="auto").fit(X)
    assert share_found(model, REQUESTS, BLOCKS) > 0.7
    assert share_found(model, REQUESTS[["user"]], BLOCKS) < 0.3
    assert share_found(model, REQUESTS["user"].to_list(), BLOCKS) < 0.3
    by_slot = share_found(model, REQUESTS.drop(columns="device"), BLOCKS)
    assert 0.2 < by_slot < 0.6
    without = clone(model).set_params(context=None).fit(X)
    assert share_found(without, REQUESTS, BLOCKS) < 0.3


@pytest.fixture(scope="module")
def fitted():
    return asking(**TIMED, lr=0.05, max_epochs=8).fit(X)


@pytest.fixture
def model(fitted):
    return copy.deepcopy(fitted)


def test_two_rows_of_one_user_have_two_answers(fitted):
    table = REQUESTS.iloc[[0, 3, 0]]
    found = fitted.recommend(table, n_neighbors=3)
    assert found["user"].eq(table["user"].iloc[0]).all() and len(found) == 9
    tops = found["item"].to_numpy().reshape(3, 3)
    assert len({*tops[0]} & {*tops[1]}) < 2
    assert_array_equal(tops[0], tops[2])


def test_all_methods_take_tables_of_requests(fitted):
    table, k = REQUESTS.iloc[::-7], 4
    vectors, items = fitted.embed_users(table), fitted.embed_items(fitted.item_ids_)
    scores = vectors @ items.T
    best = np.argsort(-scores, axis=1)[:, :k]
    distances, found = fitted.kneighbors(table, k)
    assert_array_equal(found, best)
    expected = 1 - np.take_along_axis(scores, best, 1)
    assert_allclose(distances, expected, atol=1e-5)
    graph = fitted.kneighbors_graph(table, k).toarray()
    assert_array_equal(np.sort(best, 1), np.nonzero(graph)[1].reshape(-1, k))
    assert_allclose(fitted.transform(table), vectors, atol=1e-6)
    ranked = fitted.recommend(table, k)
    assert_array_equal(ranked["item"], fitted.item_ids_[best].ravel())
    assert_array_equal(ranked["user"], table["user"].repeat(k))
    events = table.assign(item=fitted.item_ids_[best[:, 1]])
    each = np.take_along_axis(scores, best, 1)
    assert_allclose(fitted.predict(events), each[:, 1], atol=1e-5)
    only_user = table[["user"]]
    assert_allclose(fitted.transform(only_user), fitted.embed_users(only_user), 1e-6)


def test_order_of_columns_does_not_count(fitted):
    table = REQUESTS.iloc[::9]
    expected = fitted.embed_users(table)
    for order in (["device", "user", "slot"], ["slot", "device", "user"]):
        assert_array_equal(fitted.embed_users(table[order]), expected)
        assert_array_equal(fitted.transform(table[order]), expected)
        assert_array_equal(
            fitted.kneighbors(table[order])[1], fitted.kneighbors(table)[1]
        )


def test_context_for_all_is_a_column_of_one_value(fitted):
    users = ["u03", "u10"]
    context = {"slot": "night", "device": "tv"}
    table = pd.DataFrame({"user": users}).assign(**context)
    expected = fitted.recommend(table, 5)
    assert_frame_equal(fitted.recommend(users, 5, context=context), expected)
    users = table[["user", "slot"]]
    found = fitted.recommend(users, 5, context={"device": "tv"})
    assert_frame_equal(found, expected)
    other = fitted.recommend(["u03"], 5, context={"slot": "noon", "device": "tv"})
    assert len({*other["item"]} & {*expected["item"][:5]}) < 3
    # the shorter way of one user is not taken, and keeps nothing
    alone = fitted.recommend(["u03"], 5)
    assert_frame_equal(fitted.recommend(["u03"], 5, context={}), alone)
    found = fitted.recommend(["u03"], 5, context=context)
    assert_frame_equal(found, expected.iloc[:5])
    assert_frame_equal(fitted.recommend(["u03"], 5), alone)
    everyone = fitted.recommend(None, 1, context=context)
    assert len(everyone) == 60
    assert_frame_equal(
        everyone.query("user in ['u03', 'u10']").reset_index(drop=True),
        expected.query("rank == 1").reset_index(drop=True),
    )


def test_candidates_exclude_and_seen_items_of_requests(fitted):
    table = REQUESTS.iloc[[0, 4, 6]]
    allowed = {"u00": ["i00", "i31", "i05"], "u01": ["i59"]}
    scores = fitted.embed_users(table) @ fitted.embed_items(fitted.item_ids_).T
    items = list(fitted.item_ids_)
    found = fitted.recommend(table, 3, candidates=allowed)
    for row, (user, length) in enumerate([("u00", 3), ("u00", 3), ("u01", 1)]):
        mine = found.iloc[3 * row : 3 * row + length]
        own = scores[row, [items.index(i) for i in allowed[user]]]
        assert_array_equal(mine["item"], np.array(allowed[user])[np.argsort(-own)])
        assert_allclose(mine["score"], np.sort(own)[::-1], atol=1e-5)
    top = fitted.recommend(table, 1)
    left_out = fitted.recommend(table, 1, exclude=top[["user", "item"]])
    assert not (left_out["item"].isin(top["item"])).any()
    seen = X.groupby("user")["item"].agg(set)
    for _, row in fitted.recommend(table, 9, exclude_seen=True).iterrows():
        assert row["item"] not in seen[row["user"]]


def test_held_out_requests_are_ranked_in_their_contexts(fitted):
    held = planted(seed=1).drop(columns="time")
    score, flat = fitted.score(held), fitted.score(held.assign(slot=None, device=None))
    assert score > 2 * flat
    ranking = fitted.rank_held_out(held, n_neighbors=5)
    requests = held[["user", "slot", "device"]].drop_duplicates()
    assert len(ranking.indices) == len(requests)
    report = retrieval_report(fitted, held, k=(10,), baselines={})
    assert report.iloc[0]["recall@10"] == pytest.approx(score)


@pytest.mark.slow
def test_refit_without_context_and_back(model):
    before = model.embed_users(REQUESTS)
    model.set_params(context=None).fit(X)
    users = REQUESTS[["user"]]
    assert_array_equal(model.embed_users(REQUESTS), model.embed_users(users))
    with pytest.raises(ValueError, match="has not learnt from any"):
        model.embed_users(["u00"], context={"slot": "noon"})
    model.set_params(context=["slot", "device"]).fit(X)
    assert_allclose(model.embed_users(REQUESTS), before, atol=1e-5)


def test_contributions_add_up_to_the_score_in_a_context(fitted):
    request = REQUESTS.iloc[[2]]
    for item in ("i00", "i31"):
        table = fitted.explain(request, item)
        score = fitted.predict(request.assign(item=item))[0]
        assert table.attrs["score"] == pytest.approx(score, abs=1e-5)
        assert table["contribution"].sum() == pytest.approx(score, abs=1e-5)
        of_context = table[table["side"] == "context"]
        slot, device = request[["slot", "device"]].iloc[0]
        assert {*of_context["feature"]} == {f"slot_{slot}", f"device_{device}"}
        context = {"slot": slot, "device": device}
        user = request["user"].iloc[0]
        assert_frame_equal(fitted.explain(user, item, context=context), table)
    sides = fitted.explain("u00", "i00")["side"]
    assert "context" not in set(sides)


EXPLAINED = [
    {"history": PooledHistory(second_share=0.3)},
    TIMED | {"history": RecentHistory(second_share=0.4)},
    {"normalize": False},
    {"hidden_layer_sizes": (8,)},
    {"history": None},
]


@pytest.mark.slow
@pytest.mark.parametrize("params", few(EXPLAINED, 2))
def test_contributions_of_all_models_add_up(params):
    model = asking(**params).fit(X)
    context, past = {"slot": "noon", "device": "tv"}, ["i00", "i44"]
    for user, history in (("u00", None), ("u00", past), ("new", past)):
        past = None if history is None else {user: history}
        table = model.explain(user, "i07", past, context=context)
        vectors = model.embed_users([user], past, context=context)
        score = (vectors @ model.embed_items(["i07"]).T).item()
        assert table.attrs["score"] == pytest.approx(score, abs=1e-5)
        assert table["contribution"].sum() == pytest.approx(score, abs=1e-5)
        assert (table["side"] == "context").sum() == 2


def test_importance_of_the_columns_of_a_context(model):
    fitted = model.set_params(n_neighbors=5)
    held = planted(seed=2)
    held["time"] += len(X)
    table = fitted.feature_importance(held, n_neighbors=5, max_users=60, random_state=0)
    of_context = table[table["side"] == "context"].set_index("column")["recall_lost"]
    assert {*of_context.index} == {"slot", "device"}
    assert (of_context > 0.2).all()
    groups = {"both": ["slot", "device"]}
    table = fitted.feature_importance(held, n_neighbors=5, groups=groups)
    both = table.set_index("column").loc["both"]
    assert both["side"] == "context"
    lost = table.attrs["recall"] - both["recall_lost"]
    flat = held.assign(slot=None, device=None)
    assert lost < 0.3 < table.attrs["recall"]
    assert fitted.score(flat) < 0.3


@pytest.mark.each_time("context1-True")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("context", "several"),
    few([(["slot", "device"], False), (["time", "slot"], True), (["slot"], True)], 2),
)
def test_importance_if_a_transformer_mixes_columns(context, several):
    encoder = OneHotEncoder(handle_unknown="ignore")
    if several:
        columns = ([column] for column in context if column != "time")
        encoder = make_column_transformer(*((encoder, each) for each in columns))
    model = asking(context=context, context_transformer=encoder, max_epochs=3, **TIMED)
    held = planted(seed=2)
    held["time"] += len(X)
    table = model.fit(X).feature_importance(held, n_neighbors=5)
    found = {*table.loc[table["side"] == "context", "column"]}
    mixed = not several and "device" in context
    assert found == ({"context"} if mixed else {*context})
    both = {"all of it": context}
    table = model.feature_importance(held, n_neighbors=5, groups=both)
    assert {*table.loc[table["side"] == "context", "column"]} == {"all of it"}
    if mixed:
        with pytest.raises(ValueError, match="Cannot remove 'slot' from the context"):
            model.feature_importance(held, groups={"slot": ["slot"]})


class Counts(Callback):
    """Count epochs."""

    def on_epoch_end(self, net, **kwargs):
        net.n_seen_ = getattr(net, "n_seen_", 0) + 1


def test_early_stopping_weights_and_callbacks():
    model = asking(early_stopping=True, callbacks=[Counts], n_neighbors=5, **TIMED)
    weights = np.where(X["slot"] == "morning", 0, 1.0)
    model.fit(X, sample_weight=weights)
    names = {"slot_noon", "slot_night", "device_phone", "device_tv"}
    assert {*names_of(model)} == names
    assert 1 <= len(model.history_) <= 2
    assert "valid_recall" in model.history_[0]
