"""Requests of one known user or item: the same answers by a shorter way."""

import copy
import pickle
import threading

import numpy as np
import pandas as pd
import pytest

from sktwotower import io
from tests.builders import chain, ordered, random_events, small
from tests.cases import for_each
from tests.shared import once

EVENTS = random_events(n_users=30, n_items=25)


def numbered(events):
    """Return events with numbers as ids."""
    return events.apply(lambda ids: ids.str[1:].astype(int))


@once
def once_fitted(kind):
    if kind == "ordered":
        return ordered().fit(chain())
    if kind == "numbers":
        return small().fit(numbered(EVENTS))
    model = small(normalize=kind != "unscaled")
    if kind == "tree":
        from sklearn.neighbors import NearestNeighbors

        model.set_params(neighbors=NearestNeighbors(algorithm="ball_tree"))
    model.fit(EVENTS)
    return model.set_catalog(model.item_ids_[::-2]) if kind == "catalog" else model


def fitted(kind):
    return copy.deepcopy(once_fitted(kind))


KINDS = ["plain", "ordered", "numbers", "catalog", "unscaled", "tree"]


def by_table(model, user):
    """Return the user as a table, which is read in the usual way."""
    return pd.DataFrame({"user": [user]})


COUNTS = [(1, True), (4, False), (10**11, True)]


@for_each("kind", KINDS)
def test_answers_are_those_of_the_usual_way(kind):
    model = fitted(kind)
    for k, exclude in COUNTS:
        check_usual(model, k, exclude)


def check_usual(model, k, exclude):
    for user in model.user_ids_[:3].tolist():
        usual = by_table(model, user)
        want = {"n_neighbors": k, "exclude_seen": exclude}
        for _ in range(2):  # the second time the vector is kept
            pd.testing.assert_frame_equal(
                model.recommend([user], **want), model.recommend(usual, **want)
            )
        now = copy.copy(model).set_params(exclude_seen=exclude)
        found, expected = now.kneighbors([user], k), now.kneighbors(usual, k)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@for_each("kind", KINDS)
@for_each("k", [4])
def test_similar_items_are_those_of_the_usual_way(kind, k):
    model = fitted(kind)
    removed = ["i1"] if kind == "catalog" and "i1" not in model.item_ids_ else []
    for item in [*model.item_ids_[:3].tolist(), *removed]:
        usual = pd.DataFrame({"item": [item]})
        pd.testing.assert_frame_equal(
            model.similar_items([item], k), model.similar_items(usual, k)
        )


@for_each("kind", ["ordered", "numbers"])
@for_each("n", [3])
def test_a_history_of_one_user_in_any_form_is_the_same(kind, n):
    model = fitted(kind)
    items = model.item_ids_[[2, 0, 1][:n]].tolist()
    # a dict of two users is read in the usual way
    other = model.user_ids_[5]
    for user in [model.user_ids_[4], model.user_ids_[4] * 100]:
        usual = model.recommend([user], history={user: items, other: items})
        user = user.item() if isinstance(user, np.integer) else user
        for history in (items, tuple(items), {user: items}, {user: tuple(items)}):
            pd.testing.assert_frame_equal(
                model.recommend([user], history=history), usual
            )


def test_a_history_without_effect_is_still_warned_about():
    model = fitted("plain")
    with pytest.warns(UserWarning, match="changes nothing: 0 of its 2 items are known"):
        model.recommend(["u3"], history=["no", "none"])
    with pytest.warns(UserWarning, match="changes nothing: 1 of its 1 items are known"):
        model.recommend(["u3"], history={"u4": ["i3"]})


def answers(model):
    return {u: model.recommend([u]).to_dict("list") for u in model.user_ids_.tolist()}


def usual_answers(model):
    table = model.recommend(pd.DataFrame({"user": model.user_ids_}), n_neighbors=25)
    return {u: part["item"].tolist() for u, part in table.groupby("user")}


def one_by_one(model):
    return {
        u: found
        for u in model.user_ids_.tolist()
        if (found := model.recommend([u], n_neighbors=25)["item"].tolist())
    }


@pytest.mark.parametrize("rules", [{}, {"diversity": 0.5}])
def test_a_file_of_one_known_user_holds_the_table(tmp_path, rules):
    model, file = fitted("plain"), tmp_path / "one.parquet"
    model.recommend(["u03"], 3, path=file, **rules)
    expected = model.recommend(["u03"], 3, **rules)
    pd.testing.assert_frame_equal(pd.read_parquet(file), expected, check_dtype=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "ordered"])
def test_kept_vectors_are_dropped_with_the_fitted_state(kind):
    model = fitted(kind)
    before = one_by_one(model)  # fills the kept vectors
    assert before == usual_answers(model)
    changed = copy.copy(model)
    more = {"user": ["u00"] * 3 + ["zoe"], "item": ["i03", "i04", "i05", "i03"]}
    more = pd.DataFrame(more | {"when": [90, 91, 92, 93]})
    if kind == "plain":
        more = random_events(n_users=30, n_items=25, seed=1)
    for change in (
        lambda: changed.partial_fit(more),
        lambda: changed.set_catalog(changed.item_ids_[1:]),
        lambda: changed.forget_users(changed.user_ids_[:3]),
        lambda: changed.fit(chain() if kind == "ordered" else EVENTS[:-20]),
    ):
        change()
        assert one_by_one(changed) == usual_answers(changed)
    assert one_by_one(model) == before


@pytest.mark.slow
def test_kept_vectors_are_in_no_file(tmp_path):
    model = fitted("plain")
    io.dump(model, tmp_path / "before")
    size = len(pickle.dumps(model))
    one_by_one(model)
    io.dump(model, tmp_path / "after")
    again, deep = pickle.loads(pickle.dumps(model)), copy.deepcopy(model)
    assert len(pickle.dumps(model)) == size
    assert (tmp_path / "before").stat().st_size == (tmp_path / "after").stat().st_size
    for other in (again, deep, io.load(tmp_path / "after")):
        assert one_by_one(other) == one_by_one(model)


@pytest.mark.slow
def test_threads_get_the_answers_of_one_thread():
    model = fitted("plain")
    expected = answers(model)
    users, wrong = model.user_ids_.tolist(), []

    def ask(seed):
        for user in np.random.default_rng(seed).choice(users, 40).tolist():
            if model.recommend([user]).to_dict("list") != expected[user]:
                wrong.append(user)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.slow
def test_answers_next_to_changes_are_of_one_state():
    """A list is that of before or after a change, never one of both."""
    model = copy.deepcopy(fitted("plain"))
    items, users = model.item_ids_.tolist(), model.user_ids_.tolist()
    catalogs = [items, items[::2]]
    allowed = [answers(model.set_catalog(catalog)) for catalog in catalogs]
    is_over, wrong = threading.Event(), []

    def ask(seed):
        rng = np.random.default_rng(seed)
        while not is_over.is_set():
            user = users[rng.integers(len(users))]
            answer = model.recommend([user]).to_dict("list")
            if answer not in [each[user] for each in allowed]:
                wrong.append(user)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(20):
        model.set_catalog(catalogs[turn % 2])
    is_over.set()
    for thread in threads:
        thread.join()
    assert wrong == []


FORMS = [("u3",), np.array(["u3"]), pd.Series(["u3"])]


def test_one_user_in_any_form_is_the_same():
    for X in FORMS:
        model = fitted("plain")
        pd.testing.assert_frame_equal(model.recommend(X), model.recommend(["u3"]))


NUMBERS = [[3], [np.int64(3)], np.array([3], dtype=np.uint8), np.array([3.0])]


def test_one_number_of_any_type_is_the_same():
    for X in NUMBERS:
        model = fitted("numbers")
        expected = model.recommend(by_table(model, 3))
        pd.testing.assert_frame_equal(model.recommend(X), expected, check_dtype=False)


@for_each("X", [["new"], ["\u00fc"], {"u3": 1}])
def test_who_is_not_known_is_new(X):
    model = fitted("plain")
    if isinstance(X, dict):
        with pytest.raises(TypeError):
            model.recommend(X)
        return
    found = model.recommend(X).drop(columns="user")
    expected = model.recommend(["nobody"]).drop(columns="user")
    pd.testing.assert_frame_equal(found, expected)
