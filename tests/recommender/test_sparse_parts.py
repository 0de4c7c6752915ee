"""Recommenders with sparse parts: one score, whoever computes it."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.neighbors import NearestNeighbors

from sktwotower import EASERecommender, TwoTowerRecommender, io, runtime
from sktwotower.metrics import ndcg_at_k
from sktwotower.towers import RecentHistory
from tests.builders import small
from tests.cases import for_each

from .habits import (
    EVENTS,
    N_ITEMS,
    N_USERS,
    SPARSE,
    events_of,
    fitted,
    has_sparse_parts,
    items_of,
    model_of,
    popular,
    requests_of,
)

pytestmark = pytest.mark.slow

HABITS = sorted(EVENTS)
RTOL, ATOL = 1e-6, 1e-5


def shares_of(model):
    """Return the share of each part in the score, the mean of all knots."""
    weights = model.weights_.drop(columns="ndcg@20 added", errors="ignore")
    return weights.abs().mean(axis=1)


def assert_same_lists(one, two):
    assert_array_equal(one["user"], two["user"])
    assert_array_equal(one["item"], two["item"])
    assert_allclose(one["score"], two["score"], rtol=RTOL, atol=ATOL)


def check_one_score(model, name, users):
    """Check that lists, predictions and explanations say the same; return the scores.

    They are a table of users and items.
    """
    items = model.item_ids_.tolist()
    lists = model.recommend(users, len(items), exclude_seen=False)
    assert len(lists) == len(users) * len(items)
    assert (lists.groupby("user")["score"].diff().dropna() <= 0).all()
    scores = items_of(lists).loc[users, items]
    table = requests_of(name, users, items)
    predicted = model.predict(table)
    assert_allclose(predicted, scores.to_numpy().ravel(), rtol=RTOL, atol=ATOL)
    why = model.explain(users[0], items[-1])
    expected = scores.loc[users[0], items[-1]]
    assert_allclose(why["contribution"].sum(), expected, rtol=RTOL, atol=ATOL)
    return scores


# Which parts a model has


def test_what_goes_together_is_a_matter_of_the_linear_model():
    model = model_of("pairs")
    names = set(shares_of(model).index)
    assert "linear model of past items" in names
    assert not names & {"successors of past items", "had before"}
    # the other one of a pair is the best item for somebody who had one
    lists = model.recommend(["new"], 1, history={"new": ["i06"]})
    assert lists["item"].tolist() == ["i07"]
    assert shares_of(model)["linear model of past items"] > 0.05


def sixty_users_of_pairs(seed):
    """Return events of users who have both items of random pairs, and those left out.

    One item of two pairs of each user is left out: only what goes together tells it.
    """
    rng = np.random.default_rng(seed)
    rows = []
    held = []
    for user in range(60):
        firsts = 2 * rng.choice(40, size=9, replace=False)
        rows += [(user, item) for item in firsts]
        rows += [(user, item) for item in firsts[2:] + 1]
        held += [(user, item) for item in firsts[:2] + 1]
    columns = ["user", "item"]
    return pd.DataFrame(rows, columns=columns), pd.DataFrame(held, columns=columns)


@for_each("seed", range(3))
def test_sixty_users_suffice_for_what_only_a_linear_model_knows(seed):
    train, held = sixty_users_of_pairs(seed)
    ndcg = []
    for model in (TwoTowerRecommender(random_state=0), EASERecommender()):
        ranking = model.fit(train).rank_held_out(held, n_neighbors=10)
        ndcg.append(ndcg_at_k(ranking.truth, ranking.indices, 10, per_user=True))
    loss = ndcg[1] - ndcg[0]
    assert loss.mean() <= 2 * loss.std() / np.sqrt(len(loss))


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
    model = model_of("repeats")
    own = ["had before", "how often had", "had lately"]
    assert shares_of(model).reindex(own).sum() > 0.3
    lists = model.recommend(model.user_ids_, 2)
    had = set(map(tuple, events_of("repeats")[["user", "item"]].to_numpy()))
    pairs = map(tuple, lists[["user", "item"]].to_numpy())
    assert np.mean([pair in had for pair in pairs]) > 0.95
    # lists without what users had cannot need them
    other = fitted("repeats", exclude_seen=True)
    assert not {*own} & {*shares_of(other).index}


def test_where_only_popularity_counts_sparse_parts_count_little():
    shares = shares_of(small(max_epochs=4).fit(popular()))
    vectors = shares.index.str.contains("towers|popularity")
    assert shares[~vectors].sum() < 0.1


@for_each("value", ["ease", True])
def test_bad_values(value):
    error = TypeError, ValueError
    with pytest.raises(error, match="'sparse_parts' parameter .*'auto'"):
        fitted("pairs", sparse_parts=value)


@for_each(
    "params",
    [{"sparse_parts": None}, {"history": None}, {"validation_events": None}],
    ids=str,
)
def test_where_none_are_wanted_or_nothing_is_kept_back_there_are_none(params):
    model = fitted("pairs", **params)
    assert not has_sparse_parts(model)
    lists = model.recommend(model.user_ids_, 5)
    users = model.embed_users(lists["user"]).astype(float)
    items = model.embed_items(lists["item"]).astype(float)
    assert_allclose(lists["score"], (users * items).sum(axis=1), rtol=RTOL, atol=ATOL)


# One score


@for_each("name", HABITS)
def test_all_ways_to_ask_have_one_score_more_than_that_of_vectors(name):
    model = model_of(name)
    users = model.user_ids_.tolist()
    scores = check_one_score(model, name, users)
    products = model.embed_users(users) @ model.item_embeddings_.T
    assert np.abs(scores.to_numpy() - products).max() > 0.01
    together = model.recommend([*users, "new"], 7)
    asked = [*users[:12], "new"]
    alone = pd.concat([model.recommend([user], 7) for user in asked])
    expected = together[together["user"].isin(asked)]
    assert_same_lists(alone, expected)
    distances, places = model.kneighbors(users, 7)
    known = together[together["user"] != "new"]
    assert_array_equal(model.item_ids_[places].ravel(), known["item"])
    assert_allclose(1 - distances.ravel(), known["score"], rtol=RTOL, atol=ATOL)
    # so do blocks of as many users as one looks up at a time
    many = model.recommend(users * 6, 7)
    assert_array_equal(many["item"], np.tile(known["item"], 6))


@for_each("name", HABITS)
def test_explanations_add_up(name):
    model = model_of(name)
    items, users = model.item_ids_[:6].tolist(), model.user_ids_[:2].tolist()
    table = requests_of(name, users, items)
    for (user, item), score in zip(
        table[["user", "item"]].to_numpy(), model.predict(table), strict=True
    ):
        why = model.explain(user, item)
        assert_allclose(why["contribution"].sum(), score, rtol=RTOL, atol=ATOL)
    history = {"new": [items[3], items[0], items[3]]}
    table = requests_of(name, ["new"], items)
    for item, score in zip(items, model.predict(table, history=history), strict=True):
        why = model.explain("new", item, history=history["new"])
        assert_allclose(why["contribution"].sum(), score, rtol=RTOL, atol=ATOL)


def test_explanations_name_the_past_item():
    events = events_of("pairs")
    own = events.loc[events["user"] == "u03", "item"]
    left_out = own.iloc[0]
    partner = f"i{int(left_out[1:]) ^ 1:02}"
    why = model_of("pairs").explain("new", partner, history=own.tolist())
    of_past = why[why["side"] == "history"].set_index("feature")["contribution"]
    assert of_past.idxmax() == left_out


def test_sparse_parts_see_all_events():
    model = fitted("sequences", history=RecentHistory(max_length=2))
    assert has_sparse_parts(model)
    check_one_score(model, "sequences", model.user_ids_[:10].tolist())
    why = model.explain("u00", model.item_ids_[0])
    past = why[why["side"] == "history"]
    assert past["lag"].max() == 10


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
def test_files_and_copies_have_the_same_model(name, files):
    model = model_of(name)
    expected = model.recommend(model.user_ids_, 7)
    copies = pickle.loads(pickle.dumps(model)), copy.deepcopy(model)
    for other in (io.load(files[name]), *copies):
        assert_same_lists(other.recommend(model.user_ids_, 7), expected)
        pd.testing.assert_frame_equal(other.weights_, model.weights_)
    again = clone(model)
    assert again.sparse_parts == "auto" and not hasattr(again, "user_ids_")
    assert_same_lists(again.fit(events_of(name)).recommend(n_neighbors=7), expected)


@for_each("name", HABITS)
def test_the_runtime_gives_the_same_lists(name, files):
    model, served = model_of(name), runtime.load(files[name])
    items = model.item_ids_.tolist()
    for user, expected in model.recommend(model.user_ids_[:15], 7).groupby("user"):
        ids, scores = served.recommend(user, 7)
        assert_array_equal(ids, expected["item"])
        assert_allclose(scores, expected["score"], rtol=RTOL, atol=ATOL)
    table = requests_of(name, ["u03"], items)
    scores = served.score("u03", items)
    assert_allclose(scores, model.predict(table), rtol=RTOL, atol=ATOL)
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


# Lists with rules


@for_each("name", ["pairs", "repeats"])
def test_rules_choose_among_the_same_scores(name):
    model = model_of(name)
    items = model.item_ids_.tolist()
    users = model.user_ids_[:12].tolist()
    scores = check_one_score(model, name, users)
    own = {user: items[place : place + 9] for place, user in enumerate(users)}

    def check(several, allowed_of, **rules):
        lists = model.recommend(several, 5, exclude_seen=False, **rules)
        for user in several:
            of_user = lists[lists["user"] == user].set_index("item")["score"]
            expected = scores.loc[user, allowed_of(user)].nlargest(5)
            assert_allclose(of_user, expected, rtol=RTOL, atol=ATOL)
            of_items = scores.loc[user, of_user.index]
            assert_allclose(of_items, expected, rtol=RTOL, atol=ATOL)
            assert set(of_user.index) <= set(allowed_of(user))

    few = items[5:30:3]
    for several in (users, users[:1]):
        check(several, lambda user: few, candidates=few)
        check(several, lambda user: own[user], candidates=own)
        left = {user: [each for each in items if each not in own[user]] for user in own}
        check(several, left.get, exclude=own)


def test_rules_of_an_item_table_choose_among_the_same_scores():
    table = pd.DataFrame({"item": [f"i{item:02}" for item in range(N_ITEMS)]})
    table["kind"] = np.array(["a", "b", "c", "d"])[np.arange(N_ITEMS) % 4]
    kinds = table.set_index("item")["kind"]
    model = fitted("pairs", items=table, item_features=[])
    users = model.user_ids_[:12].tolist()
    scores = check_one_score(model, "pairs", users)
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


@for_each("name", ["pairs", "repeats"])
def test_another_index_gives_the_same_lists(name):
    model = copy.deepcopy(model_of(name)).set_params(neighbors=NearestNeighbors())
    model.set_catalog(model.item_ids_.tolist())
    expected = model_of(name).recommend(model.user_ids_, 5)
    assert_same_lists(model.recommend(model.user_ids_, 5), expected)
    alone = [model.recommend([user], 5) for user in model.user_ids_[:5]]
    assert_same_lists(pd.concat(alone, ignore_index=True), expected[:25])


# Users and items at the edge


def test_users_who_had_everything_and_items_without_neighbors():
    everything = pd.DataFrame({"item": [f"i{item:02}" for item in range(N_ITEMS)]})
    alone = pd.DataFrame({"user": ["hermit"], "item": ["cave"]})
    events = pd.concat([events_of("pairs"), everything.assign(user="all"), alone])
    model = small(max_epochs=4).fit(events)
    assert has_sparse_parts(model)
    assert model.recommend(["all"], 5)["item"].tolist() == ["cave"]
    assert len(model.recommend(["all", "u01"], 5)) == 6
    scores = check_one_score(model, "pairs", ["all", "hermit", "u01"])
    lists = model.recommend(["hermit"], N_ITEMS + 1)
    expected = scores.loc["hermit"].drop("cave").sort_values(ascending=False)
    assert_allclose(lists["score"], expected, rtol=RTOL, atol=ATOL)


@for_each("params", [{}, {"exclude_seen": False}], ids=str)
def test_two_items(params):
    users = [f"u{user:02}" for user in range(N_USERS)]
    events = pd.DataFrame({"user": users * 2, "item": ["tea", "jam"] * N_USERS})
    model = small(max_epochs=4, **params).fit(events)
    assert len(model.recommend(["new"], 3)) == 2
    check_one_score(model, "pairs", users[:2])


@for_each("name", HABITS)
def test_events_of_unknown_items_leave_scores_of_known_ones(name):
    model = model_of(name)
    table = requests_of(name, model.user_ids_[:3], ["nothing", "i03"])
    with pytest.warns(UserWarning, match="fit has not seen"):
        both = model.predict(table)
    known = table["item"] == "i03"
    assert_allclose(both[known], model.predict(table[known]), rtol=RTOL, atol=ATOL)


# Changes of a fitted model


@for_each("name", HABITS)
def test_items_leave_the_catalog_and_come_back(name):
    model = copy.deepcopy(model_of(name))
    users, everything = model.user_ids_.tolist(), model.item_ids_.tolist()
    before = check_one_score(model, name, users)
    some = everything[::-1][:25:2]
    model.set_catalog(some)
    scores = check_one_score(model, name, users)
    assert_allclose(scores[some], before[some], rtol=RTOL, atol=ATOL)
    model.set_catalog(everything)
    assert_same_lists(model.recommend(users, 7), model_of(name).recommend(users, 7))


@for_each("name", HABITS)
@for_each("left_before", [False, True])
def test_of_forgotten_items_only_what_others_owe_to_them_is_gone(name, left_before):
    model = copy.deepcopy(model_of(name))
    everything = model.item_ids_.tolist()
    before = check_one_score(model, name, ["new"])
    if left_before:  # items whose places are beyond the catalog
        model.set_catalog(everything[:5:-1])
    gone = [everything[place] for place in (0, 7, 8, 31)]
    model.forget_items(gone)
    assert not {*gone} & {*model.item_ids_}
    users = model.user_ids_[:10].tolist()
    check_one_score(model, name, users)
    scores = check_one_score(model, name, ["new"])
    assert_allclose(scores, before[scores.columns], rtol=RTOL, atol=ATOL)
    past = {"new": [item for item in everything if item not in gone][10:14]}
    table = requests_of(name, ["new"], model.item_ids_)
    found = model.predict(table, history=past)
    expected = model_of(name).predict(table, history=past)
    assert_allclose(found, expected, rtol=0.01, atol=0.01)  # others fold in


def with_a_group():
    """Return pairs, and those of a group who chose a lamp together with a cave."""
    group = [f"g{number}" for number in range(12)]
    caves = pd.DataFrame({"user": np.repeat(group, 2), "item": ["lamp", "cave"] * 12})
    return pd.concat([events_of("pairs"), caves], ignore_index=True), group


def owed_to_lamp(model):
    """Return what having had a lamp adds to the score of a cave."""
    table = requests_of("pairs", ["new"], ["cave"])
    scores = [model.predict(table, history={"new": past}) for past in (["lamp"], [])]
    vectors = [
        model.embed_users(["new"], history={"new": past})
        @ model.embed_items(["cave"])[0]
        for past in (["lamp"], [])
    ]
    return (scores[0] - vectors[0]).item() - (scores[1] - vectors[1]).item()


def test_nothing_is_left_of_what_only_forgotten_users_chose_together(tmp_path):
    events, group = with_a_group()
    model = small(max_epochs=4).fit(events)
    lists = model.recommend(["new"], 1, history={"new": ["lamp"]})
    assert lists["item"].tolist() == ["cave"]
    assert owed_to_lamp(model) > 0.05
    model.forget_users(group)
    assert owed_to_lamp(model) == pytest.approx(0, abs=1e-6)
    check_one_score(model, "pairs", model.user_ids_[:5].tolist())
    io.dump(model, tmp_path / "model.sktt")
    again = io.load(tmp_path / "model.sktt")
    assert_same_lists(again.recommend(n_neighbors=5), model.recommend(n_neighbors=5))


def test_nothing_is_left_of_all_users_but_one():
    model = copy.deepcopy(model_of("repeats"))
    model.forget_users(model.user_ids_[1:].tolist())
    assert len(model.recommend([model.user_ids_[0], "new"], 3)) == 6


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


@for_each("name", HABITS)
@for_each("share", [0.2, 0.012])
def test_further_events_of_new_users_and_items_have_one_score(name, share):
    model = copy.deepcopy(model_of(name))
    model.partial_fit(further(name, share, with_new=True))
    assert len(model.item_ids_) > N_ITEMS
    users = model.user_ids_.tolist()
    check_one_score(model, name, [*users[:3], *users[-3:]])
    # known users had what they had
    why = model.explain("u00", model.item_ids_[0])
    assert (why["side"] == "history").any()


def test_what_further_events_put_together_goes_together():
    model = copy.deepcopy(model_of("pairs"))
    events, _ = with_a_group()
    model.partial_fit(events[len(events_of("pairs")) :])
    assert owed_to_lamp(model) > 0.05
    # of a few events, the past counts at once
    few = pd.DataFrame({"user": ["late"] * 2, "item": ["i06", "i11"]})
    model = copy.deepcopy(model_of("pairs")).partial_fit(few)
    top = model.recommend(["late"], 2)["item"]
    assert set(top) == {"i07", "i10"}


def test_a_catalog_that_grows_too_large_for_a_linear_model_keeps_that_of_before():
    model = copy.deepcopy(model_of("pairs"))
    assert "linear model of past items" in model.weights_.index
    numbers = [str(n) for n in range(4000)]
    users = pd.Series(numbers).radd("new user ")
    model.partial_fit(pd.DataFrame({"user": users, "item": users.str[4:]}))
    check_one_score(model, "pairs", ["u00", "u01", "new user 7"])


@for_each("name", HABITS)
def test_warm_start_keeps_weights_and_takes_the_new_events(name):
    model = copy.deepcopy(model_of(name)).set_params(warm_start=True)
    is_sparse = model.weights_.index.str.contains(SPARSE)
    before = model.weights_[is_sparse]
    events = further(name, 0.3, with_new=False)
    model.fit(pd.concat([events_of(name), events], ignore_index=True))
    pd.testing.assert_frame_equal(model.weights_[is_sparse], before)
    check_one_score(model, name, model.user_ids_[:10].tolist())


def test_new_items_in_the_catalog_have_one_score():
    items = [f"i{item:02}" for item in range(N_ITEMS)]
    table = pd.DataFrame({"item": items, "kind": ["a", "b"] * (N_ITEMS // 2)})
    model = fitted("pairs", items=table)
    more = pd.DataFrame({"item": ["new", "i05", "newer", "i30"], "kind": ["a"] * 4})
    users = model.user_ids_.tolist()
    model.set_catalog(more)
    scores = check_one_score(model, "pairs", users)
    assert_allclose(scores["new"], scores["newer"], rtol=RTOL, atol=ATOL)
    model.forget_items(["new", "i05"])
    left = check_one_score(model, "pairs", users)["newer"]
    had = events_of("pairs").query("item == 'i05'")["user"]
    left = left.drop(had)
    assert_allclose(left, scores.loc[left.index, "newer"], rtol=RTOL, atol=ATOL)
