"""Recommenders with sparse parts: one score, whoever computes it."""

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.neighbors import NearestNeighbors

from sktwotower import io, runtime
from sktwotower.recommender import _judge
from sktwotower.towers.sparse_parts import _sparse_part, candidates_of
from tests.builders import small

from .habits import (
    EVENTS,
    N_ITEMS,
    N_USERS,
    events_of,
    fitted,
    model_of,
    popular,
    requests_of,
    scores_by_hand,
    sparse_of,
)

pytestmark = pytest.mark.slow

HABITS = sorted(EVENTS)
RTOL, ATOL = 1e-6, 1e-5
USERS = [f"u{number:02}" for number in range(20)]


def shares_of(model):
    """Return the share of each part in the score, the mean of all knots."""
    weights = model.weights_.drop(columns="ndcg@20 added", errors="ignore")
    return weights.abs().mean(axis=1)


def assert_same_lists(one, two):
    assert_array_equal(one["user"], two["user"])
    assert_array_equal(one["item"], two["item"])
    assert_allclose(one["score"], two["score"], rtol=RTOL, atol=ATOL)


# Which parts a model has


def test_there_are_none_of_too_many_pairs(monkeypatch):
    monkeypatch.setattr(_judge, "MAX_SPARSE_EVENTS", len(EVENTS["pairs"]()) - 100)
    assert sparse_of(fitted("pairs")) is None
    monkeypatch.setattr(_judge, "MAX_SPARSE_EVENTS", len(EVENTS["pairs"]()))
    assert sparse_of(fitted("pairs")) is not None


def test_what_goes_together_is_a_matter_of_the_linear_model():
    names = set(shares_of(model_of("pairs")).index)
    assert "linear model of past items" in names
    assert not names & {"successors of past items", "had before"}
    # the other one of a pair is the best item for somebody who had one
    model = model_of("pairs")
    lists = model.recommend(["new"], 1, history={"new": ["i06"]})
    assert lists["item"].tolist() == ["i07"]
    assert shares_of(model)["linear model of past items"] > 0.05


def test_what_follows_is_a_matter_of_successors():
    model = model_of("sequences")
    shares = shares_of(model)
    assert shares["successors of past items"] > 0.1
    others = shares.reindex(["linear model of past items", "walks from past items"])
    assert shares["successors of past items"] > others.fillna(0).max()
    assert "had before" not in shares
    lists = model.recommend(["new"], 1, history={"new": ["i20", "i03"]})
    assert lists["item"].tolist() == ["i10"]


def test_what_users_choose_again_is_a_matter_of_their_own_items():
    shares = shares_of(model_of("repeats"))
    own = ["had before", "how often had", "had lately"]
    assert shares.reindex(own).sum() > 0.3
    users = model_of("repeats").user_ids_
    lists = model_of("repeats").recommend(users, 2)
    had = set(map(tuple, events_of("repeats")[["user", "item"]].to_numpy()))
    pairs = map(tuple, lists[["user", "item"]].to_numpy())
    assert np.mean([pair in had for pair in pairs]) > 0.95
    # lists without what users had cannot need them
    other = fitted("repeats", exclude_seen=True)
    assert not {*own} & {*shares_of(other).index}


def test_where_only_popularity_counts_sparse_parts_count_little():
    for seed in range(2):
        model = small(max_epochs=4).fit(popular(seed))
        shares = shares_of(model)
        vectors = shares.index.str.contains("towers|popularity")
        assert shares[~vectors].sum() < 0.1


def test_what_counts_without_past_items_only_is_left_out():
    judge = SimpleNamespace(sparse=[object()])
    weights = np.zeros((5, 1))
    weights[0] = 1  # to users without past items, sparse parts add nothing
    assert _judge.Judge._with_weights(judge, weights, np.zeros(1)) == (None, [])


def test_none_are_wanted():
    model = fitted("pairs", sparse_parts=None)
    assert sparse_of(model) is None
    assert all("past items" not in name for name in model.weights_.index)
    lists = model.recommend(model.user_ids_, 5)
    users = model.embed_users(lists["user"]).astype(float)
    items = model.embed_items(lists["item"]).astype(float)
    assert_allclose(lists["score"], (users * items).sum(axis=1), rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("value", ["ease", True, 3, []])
def test_bad_values(value):
    with pytest.raises(
        (TypeError, ValueError), match="'sparse_parts' parameter .*'auto'"
    ):
        fitted("pairs", sparse_parts=value)


@pytest.mark.parametrize(
    "params",
    [
        {"history": None},
        {"normalize": False},
        {"second_share": 0},
        {"validation_events": None},
        {"early_stopping": True},
        {"max_epochs": 1},
    ],
    ids=str,
)
def test_where_nothing_is_kept_back_there_are_none(params):
    model = fitted("pairs", **params)
    assert sparse_of(model) is None
    lists = model.recommend(model.user_ids_, 5)
    table = lists[["user", "item"]]
    assert_allclose(model.predict(table), lists["score"], rtol=RTOL, atol=ATOL)


# One score


@pytest.mark.parametrize("name", HABITS)
def test_scores_are_those_of_the_formula(name):
    model = model_of(name)
    users = model.user_ids_.tolist()
    expected = scores_by_hand(model, users)
    table = requests_of(name, users, model.item_ids_)
    assert_allclose(model.predict(table), expected.ravel(), rtol=RTOL, atol=ATOL)
    # all items, also those that somebody had
    lists = model.recommend(users, N_ITEMS, exclude_seen=False)
    assert len(lists) == expected.size
    found = lists.pivot(index="user", columns="item", values="score")
    assert_allclose(found.loc[users, model.item_ids_], expected, rtol=RTOL, atol=ATOL)
    assert (lists.groupby("user")["score"].diff().dropna() <= 0).all()


@pytest.mark.parametrize("name", HABITS)
def test_lists_are_those_of_a_few_users_at_a_time(name, monkeypatch):
    model = model_of(name)
    expected = model.recommend(n_neighbors=5)
    monkeypatch.setattr(_sparse_part, "MAX_USERS", 7)
    assert_same_lists(model.recommend(n_neighbors=5), expected)
    few = {user: model.item_ids_[: 3 + place] for place, user in enumerate(USERS)}
    chosen = model.recommend(USERS, 3, candidates=few)
    monkeypatch.undo()
    assert_same_lists(chosen, model.recommend(USERS, 3, candidates=few))


@pytest.mark.parametrize("name", HABITS)
def test_one_user_at_a_time(name):
    model = model_of(name)
    users = [*model.user_ids_.tolist(), "new"]
    together = model.recommend(users, 7)
    alone = [model.recommend([user], 7) for user in users]
    assert_same_lists(pd.concat(alone, ignore_index=True), together)
    distances, places = model.kneighbors(users[:-1], 7)
    known = together[together["user"] != "new"]
    assert_array_equal(model.item_ids_[places].ravel(), known["item"])
    assert_allclose(1 - distances.ravel(), known["score"], rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("name", HABITS)
def test_explanations_add_up(name):
    model = model_of(name)
    users = model.user_ids_[:3].tolist()
    items = model.item_ids_[:6].tolist()
    scores = scores_by_hand(model, users)
    for row, user in enumerate(users):
        for column, item in enumerate(items):
            why = model.explain(user, item)
            assert_allclose(
                why["contribution"].sum(), scores[row, column], rtol=RTOL, atol=ATOL
            )
    history = {"new": [items[3], items[0], items[3]]}
    for item in items:
        table = requests_of(name, ["new"], [item])
        why = model.explain("new", item, history=history["new"])
        score = model.predict(table, history=history)[0]
        assert_allclose(why["contribution"].sum(), score, rtol=RTOL, atol=ATOL)


def test_explanations_name_the_past_item():
    events = events_of("pairs")
    model = model_of("pairs")
    own = events.loc[events["user"] == "u03", "item"]
    left_out = own.iloc[0]
    partner = f"i{int(left_out[1:]) ^ 1:02}"
    why = model.explain("new", partner, history=own.tolist())
    of_past = why[why["side"] == "history"].set_index("feature")["contribution"]
    assert of_past.idxmax() == left_out


@pytest.mark.parametrize("max_history", [2, 1000])
def test_sparse_parts_see_all_events(max_history):
    model = fitted("sequences", max_history=max_history)
    assert sparse_of(model) is not None
    users = model.user_ids_.tolist()[:10]
    scores = scores_by_hand(model, users)
    table = requests_of("sequences", users, model.item_ids_)
    assert_allclose(model.predict(table), scores.ravel(), rtol=RTOL, atol=ATOL)
    for column, item in enumerate(model.item_ids_[:10]):
        why = model.explain(users[0], item)
        assert_allclose(
            why["contribution"].sum(), scores[0, column], rtol=RTOL, atol=ATOL
        )


# Files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return the file of each model, by its habit."""
    folder = tmp_path_factory.mktemp("files")
    paths = {name: folder / f"{name}.sktt" for name in HABITS}
    for name, path in paths.items():
        io.dump(model_of(name), path)
    return paths


@pytest.mark.parametrize("name", HABITS)
def test_a_file_has_the_same_model(name, files):
    model, other = model_of(name), io.load(files[name])
    assert_same_lists(
        other.recommend(model.user_ids_, 7), model.recommend(model.user_ids_, 7)
    )
    pd.testing.assert_frame_equal(other.weights_, model.weights_)
    for ours, theirs in zip(
        sparse_of(model).parts, sparse_of(other).parts, strict=True
    ):
        assert type(ours) is type(theirs)
        if ours.matrix is not None:
            assert_array_equal(ours.matrix.toarray(), theirs.matrix.toarray())
    assert sparse_of(other).n_events == sparse_of(model).n_events


@pytest.mark.parametrize("name", HABITS)
def test_the_runtime_gives_the_same_lists(name, files):
    model, served = model_of(name), runtime.load(files[name])
    items = model.item_ids_.tolist()
    lists = model.recommend(model.user_ids_, 7).groupby("user")
    for user, expected in lists:
        ids, scores = served.recommend(user, 7)
        assert_array_equal(ids, expected["item"])
        assert_allclose(scores, expected["score"], rtol=RTOL, atol=ATOL)
        table = requests_of(name, [user], items)
        assert_allclose(
            served.score(user, items), model.predict(table), rtol=RTOL, atol=ATOL
        )
    # histories of new and of known users, with unknown and repeated items
    for user in ("new", "u05"):
        for past in ([items[3]], [items[1], "nothing", items[8], items[1]], []):
            asked = {"history": {user: past}}
            expected = model.recommend([user], 7, **asked)
            ids, scores = served.recommend(user, 7, history=past)
            assert_array_equal(ids, expected["item"])
            assert_allclose(scores, expected["score"], rtol=RTOL, atol=ATOL)
            table = requests_of(name, [user], items)
            expected = model.predict(table, **asked)
            found = served.score(user, items, history=past)
            assert_allclose(found, expected, rtol=RTOL, atol=ATOL)
    rules = {"candidates": items[3:20], "exclude": items[4:6]}
    ids, scores = served.recommend("u05", 7, **rules)
    rules["exclude"] = {"u05": rules["exclude"]}
    expected = model.recommend(["u05"], 7, **rules)
    assert_array_equal(ids, expected["item"])
    assert_allclose(scores, expected["score"], rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("name", HABITS)
def test_copies(name):
    model = model_of(name)
    users = model.user_ids_[:20]
    expected = model.recommend(users, 5)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert_same_lists(other.recommend(users, 5), expected)
    again = clone(model)
    assert again.sparse_parts == "auto" and not hasattr(again, "user_ids_")
    assert_same_lists(again.fit(events_of(name)).recommend(users, 5), expected)


# Lists with rules


@pytest.mark.parametrize("name", HABITS)
def test_rules_choose_among_the_same_scores(name):
    model = model_of(name)
    items = model.item_ids_.tolist()
    users = model.user_ids_[:12].tolist()
    scores = pd.DataFrame(scores_by_hand(model, users), index=users, columns=items)
    own = {user: items[place : place + 9] for place, user in enumerate(users)}

    def check(lists, allowed_of, k=5):
        for user in users:
            of_user = lists[lists["user"] == user]
            expected = scores.loc[user, allowed_of(user)].nlargest(k)
            assert_allclose(of_user["score"], expected, rtol=RTOL, atol=ATOL)
            assert_allclose(
                scores.loc[user, of_user["item"]], expected, rtol=RTOL, atol=ATOL
            )
            assert set(of_user["item"]) <= set(allowed_of(user))

    few = items[5:30:3]
    anything = {"exclude_seen": False}
    for several in (users, users[:1]):
        users = several
        lists = model.recommend(users, 5, candidates=few, **anything)
        check(lists, lambda user: few)
        lists = model.recommend(users, 5, candidates=own, **anything)
        check(lists, lambda user: own[user])
        lists = model.recommend(users, 5, exclude=own, **anything)
        check(lists, lambda user: [each for each in items if each not in own[user]])


def test_rules_of_an_item_table():
    table = pd.DataFrame({"item": [f"i{item:02}" for item in range(N_ITEMS)]})
    table["kind"] = np.array(["a", "b", "c", "d"])[np.arange(N_ITEMS) % 4]
    kinds = table.set_index("item")["kind"]
    model = fitted("pairs", items=table, item_features=[])
    assert sparse_of(model) is not None
    users = model.user_ids_[:12].tolist()
    scores = pd.DataFrame(
        scores_by_hand(model, users), index=users, columns=model.item_ids_
    )
    anything = {"exclude_seen": False}
    lists = model.recommend(users, 5, where={"kind": ["a", "c"]}, **anything)
    spread = model.recommend(users, 4, max_per={"kind": 1}, **anything)
    for user in users:
        of_user = scores.loc[user]
        expected = of_user[kinds.loc[of_user.index].isin(["a", "c"]).to_numpy()]
        found = lists.loc[lists["user"] == user, "score"]
        assert_allclose(found, expected.nlargest(5), rtol=RTOL, atol=ATOL)
        best_of_kind = of_user.groupby(kinds).max().sort_values(ascending=False)
        found = spread.loc[spread["user"] == user, "score"]
        assert_allclose(found, best_of_kind, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("name", HABITS)
@pytest.mark.parametrize("neighbors", ["nndescent", NearestNeighbors()], ids=str)
def test_any_index_gives_the_same_lists(name, neighbors):
    model = copy.deepcopy(model_of(name)).set_params(neighbors=neighbors)
    model.set_catalog(model.item_ids_.tolist())
    expected = model_of(name).recommend(model.user_ids_, 5)
    assert_same_lists(model.recommend(model.user_ids_, 5), expected)
    alone = [model.recommend([user], 5) for user in model.user_ids_[:10]]
    assert_same_lists(pd.concat(alone, ignore_index=True), expected[:50])


# Users and items at the edge


def test_users_who_had_everything():
    events = events_of("pairs")
    everything = pd.DataFrame({"item": [f"i{item:02}" for item in range(N_ITEMS)]})
    events = pd.concat([events, everything.assign(user="all")], ignore_index=True)
    model = small(max_epochs=4).fit(events)
    assert sparse_of(model) is not None
    assert model.recommend(["all"], 5).empty
    assert len(model.recommend(["all", "u01"], 5)) == 5
    lists = model.recommend(["all"], N_ITEMS, exclude_seen=False)
    expected = np.sort(scores_by_hand(model, ["all"])[0])[::-1]
    assert_allclose(lists["score"], expected, rtol=RTOL, atol=ATOL)


def test_two_items():
    users = [f"u{user:02}" for user in range(N_USERS)]
    events = pd.DataFrame({"user": users * 2, "item": ["tea", "jam"] * N_USERS})
    for params in ({}, {"exclude_seen": False}):
        model = small(max_epochs=4, **params).fit(events)
        assert len(model.recommend(["new"], 3)) == 2
        assert len(model.recommend([users[0]], 3, exclude_seen=False)) == 2
        scores = scores_by_hand(model, users[:2])
        table = requests_of("pairs", users[:2], model.item_ids_)
        assert_allclose(model.predict(table), scores.ravel(), rtol=RTOL, atol=ATOL)


def test_items_without_neighbors():
    events = events_of("pairs")
    alone = pd.DataFrame({"user": ["hermit"], "item": ["cave"]})
    model = small(max_epochs=4).fit(pd.concat([events, alone], ignore_index=True))
    place = model.item_ids_.tolist().index("cave")
    for part in sparse_of(model).parts:
        assert part.matrix[place].nnz == part.matrix[:, place].nnz == 0
    lists = model.recommend(["hermit"], N_ITEMS)
    expected = scores_by_hand(model, ["hermit"])[0]
    expected = np.sort(np.delete(expected, place))[::-1]
    assert_allclose(lists["score"], expected, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("name", HABITS)
def test_events_of_unknown_items(name):
    model = model_of(name)
    table = requests_of(name, model.user_ids_[:3], ["nothing", "i03"])
    with pytest.warns(UserWarning, match="fit has not seen"):
        both = model.predict(table)
    known = table["item"] == "i03"
    assert_allclose(both[known], model.predict(table[known]), rtol=RTOL, atol=ATOL)
    with pytest.warns(UserWarning, match="fit has not seen"):
        assert_allclose(
            model.predict(table[~known]), both[~known], rtol=RTOL, atol=ATOL
        )


# Changes of a fitted model


@pytest.mark.parametrize("name", HABITS)
def test_items_leave_the_catalog_and_come_back(name):
    model = copy.deepcopy(model_of(name))
    users = model.user_ids_.tolist()
    everything = model.item_ids_.tolist()
    scores = pd.DataFrame(scores_by_hand(model, users), index=users, columns=everything)
    table = requests_of(name, users, everything)
    expected = model.predict(table)
    some = everything[::-1][:25:2]
    model.set_catalog(some)
    assert sorted(model.item_ids_) == sorted(some)
    assert_allclose(model.predict(table), expected, rtol=RTOL, atol=ATOL)
    lists = model.recommend(users, len(some), exclude_seen=False)
    found = lists.pivot(index="user", columns="item", values="score").loc[users, some]
    assert_allclose(found, scores[some], rtol=RTOL, atol=ATOL)
    model.set_catalog(everything)
    assert_same_lists(model.recommend(users, 7), model_of(name).recommend(users, 7))


@pytest.mark.parametrize("name", HABITS)
@pytest.mark.parametrize("left_before", [False, True])
def test_nothing_of_forgotten_items_is_left_in_a_matrix(name, left_before):
    model = copy.deepcopy(model_of(name))
    everything = model.item_ids_.tolist()
    if left_before:  # items whose places are beyond the catalog
        model.set_catalog(everything[:5:-1])
    before = {
        item: place for place, item in enumerate(model._fitted.items.ids.tolist())
    }
    old = [part.matrix for part in sparse_of(model).parts]
    gone = [everything[place] for place in (0, 7, 8, 31)]
    model.forget_items(gone)
    now = model._fitted.items.ids.tolist()
    assert not {*gone} & {*now} and len(now) == N_ITEMS - 4
    places = [before[item] for item in now]
    for matrix, part in zip(old, sparse_of(model).parts, strict=True):
        if matrix is None:
            continue
        expected = matrix.toarray()[np.ix_(places, places)]
        assert_array_equal(part.matrix.toarray(), expected)
        assert part.matrix.nnz == np.count_nonzero(expected)
    # as many events as are left; with a fiftieth more, they are computed anew
    events = events_of(name)
    n_left = len(events if "when" in events else events.drop_duplicates())
    n_left -= events["item"].isin(gone).sum()
    assert sparse_of(model).n_events == n_left
    users = model.user_ids_[:10].tolist()
    table = requests_of(name, users, model.item_ids_)
    scores = scores_by_hand(model, users)
    assert_allclose(model.predict(table), scores.ravel(), rtol=RTOL, atol=ATOL)


def matrices_of(events, name, item_ids):
    """Return candidate parts of events, computed from the table alone, by kind."""
    from sktwotower._tables._event_table import EventTable

    users = pd.factorize(events["user"])[0]
    items = pd.Index(item_ids).get_indexer(events["item"])
    shape = users.max() + 1, len(item_ids)
    times = events["when"].to_numpy() if "when" in events else np.zeros(len(events))
    lags = EventTable.of(users, items, shape, times).in_order().lags()
    seen = lags.copy()
    seen.sum_duplicates()
    seen.data[:] = 1
    parts = candidates_of(seen, lags if "when" in events else None, False)
    return {type(part): part for part in parts}


def assert_matrices_are_of(model, events, name):
    """Check that matrices are those of a table of events."""
    parts = matrices_of(events, name, model._fitted.items.ids)
    for part in sparse_of(model).parts:
        if part.matrix is not None:
            expected = parts[type(part)].matrix.toarray()
            assert_allclose(part.matrix.toarray(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", HABITS)
def test_matrices_are_those_of_all_events(name):
    model = model_of(name)
    assert_matrices_are_of(model, events_of(name), name)
    events = events_of(name)
    n_events = len(events if "when" in events else events.drop_duplicates())
    assert sparse_of(model).n_events == n_events


@pytest.mark.parametrize("name", HABITS)
def test_matrices_are_as_if_forgotten_users_had_never_been(name):
    model = copy.deepcopy(model_of(name))
    gone = model.user_ids_[::3].tolist()
    model.forget_users(gone)
    events = events_of(name)
    left = events[~events["user"].isin(gone)]
    assert_matrices_are_of(model, left, name)
    users = model.user_ids_.tolist()
    table = requests_of(name, users, model.item_ids_)
    assert_allclose(
        model.predict(table), scores_by_hand(model, users).ravel(), rtol=RTOL, atol=ATOL
    )


@pytest.mark.parametrize("name", HABITS)
def test_nothing_is_left_of_all_users_but_one(name, tmp_path):
    model = copy.deepcopy(model_of(name))
    model.forget_users(model.user_ids_[1:].tolist())
    one = model.user_ids_[0]
    events = events_of(name)
    had = events.loc[events["user"] == one, "item"].unique()
    places = model._fitted.items.ids.get_indexer(had)
    for part in sparse_of(model).parts:
        if part.matrix is not None:
            entries = part.matrix.tocoo()
            assert {*entries.row, *entries.col} <= {*places}
    lists = model.recommend([one, "new"], 3)
    assert len(lists) == 6
    io.dump(model, tmp_path / "model.sktt")
    again = io.load(tmp_path / "model.sktt").recommend([one, "new"], 3)
    assert_same_lists(again, lists)


def further(name, share, with_new):
    """Return further events: those of another seed, of users and items that are new."""
    n_events = int(share * len(events_of(name)))
    events = EVENTS[name](seed=1).head(n_events)
    if "when" in events:
        events["when"] += 20
    if with_new:
        events["user"] = "new " + events["user"]
        is_new = np.arange(len(events)) % 5 == 0
        events["item"] = events["item"].where(~is_new, "new " + events["item"])
    return events


@pytest.mark.parametrize("name", HABITS)
@pytest.mark.parametrize("with_new", [False, True])
def test_matrices_are_computed_anew_of_enough_further_events(name, with_new):
    model = copy.deepcopy(model_of(name))
    events = further(name, 0.2, with_new)
    model.partial_fit(events)
    together = pd.concat([events_of(name), events], ignore_index=True)
    assert_matrices_are_of(model, together, name)
    users = model.user_ids_.tolist()
    table = requests_of(name, users, model.item_ids_)
    scores = scores_by_hand(model, users)
    assert_allclose(model.predict(table), scores.ravel(), rtol=RTOL, atol=ATOL)
    lists = model.recommend(users, 5, exclude_seen=False)
    best = -np.sort(-scores, axis=1)[:, :5]
    assert_allclose(lists["score"], best.ravel(), rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("name", HABITS)
def test_of_few_further_events_the_past_counts_at_once(name):
    model = copy.deepcopy(model_of(name))
    events = further(name, 0.012, with_new=True)
    model.partial_fit(events)
    n_items = len(model.item_ids_)
    assert n_items > N_ITEMS == len(model_of(name).item_ids_)
    # the matrices are the same, at the places that items have now
    places = model._fitted.items.ids.get_indexer(model_of(name).item_ids_)
    for part, old in zip(
        sparse_of(model).parts, sparse_of(model_of(name)).parts, strict=True
    ):
        if old.matrix is not None:
            matrix = part.matrix.toarray()
            assert matrix.shape == (n_items, n_items)
            assert_array_equal(matrix[np.ix_(places, places)], old.matrix.toarray())
            assert part.matrix.nnz == old.matrix.nnz
    assert sparse_of(model).n_events == sparse_of(model_of(name)).n_events
    users = model.user_ids_.tolist()
    table = requests_of(name, users, model.item_ids_)
    scores = scores_by_hand(model, users)
    assert_allclose(model.predict(table), scores.ravel(), rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("name", HABITS)
def test_warm_start_keeps_weights_and_takes_the_new_events(name):
    model = copy.deepcopy(model_of(name)).set_params(warm_start=True)
    weights = sparse_of(model).weights
    together = [events_of(name), further(name, 0.3, with_new=False)]
    together = pd.concat(together, ignore_index=True)
    model.fit(together)
    assert_array_equal(sparse_of(model).weights, weights)
    assert_matrices_are_of(model, together, name)
    users = model.user_ids_.tolist()
    table = requests_of(name, users, model.item_ids_)
    scores = scores_by_hand(model, users)
    assert_allclose(model.predict(table), scores.ravel(), rtol=RTOL, atol=ATOL)


def test_new_items_in_the_catalog():
    items = [f"i{item:02}" for item in range(N_ITEMS)]
    table = pd.DataFrame({"item": items, "kind": ["a", "b"] * (N_ITEMS // 2)})
    model = fitted("pairs", items=table)
    more = pd.DataFrame({"item": ["new", "i05", "newer", "i30"], "kind": ["a"] * 4})
    users = model.user_ids_.tolist()
    model.set_catalog(more)
    learnt = model._fitted
    assert len(learnt.items) == N_ITEMS + 2
    assert sparse_of(model).n_items == N_ITEMS + 2
    for part in sparse_of(model).parts:
        for item in ("new", "newer"):
            place = learnt.items.ids.get_loc(item)
            assert part.matrix[place].nnz == part.matrix[:, place].nnz == 0
    table = requests_of("pairs", users, model.item_ids_)
    scores = scores_by_hand(model, users)
    assert_allclose(model.predict(table), scores.ravel(), rtol=RTOL, atol=ATOL)
    model.forget_items(["new", "i05"])
    assert sparse_of(model).n_items == N_ITEMS
    scores = scores_by_hand(model, users)
    table = requests_of("pairs", users, model.item_ids_)
    assert_allclose(model.predict(table), scores.ravel(), rtol=RTOL, atol=ATOL)
