"""Requests of one known user or item: the same answers by a shorter way."""

import copy
import functools
import pickle
import threading
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

from sktwotower import EASERecommender, io
from sktwotower.recommender._fitted import FittedTowers
from sktwotower.retrieval._requests import one_known
from sktwotower.runtime._kept import Kept
from tests.builders import chain, first_fast, ordered, random_events, small

EVENTS = random_events(n_users=30, n_items=25)


def numbered(events):
    """Return events with numbers as ids."""
    return events.apply(lambda ids: ids.str[1:].astype(int))


@functools.cache
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


@pytest.fixture(scope="module", params=first_fast(KINDS, 3))
def model(request):
    return fitted(request.param)


@pytest.mark.parametrize("k", first_fast([1, 4, 10**11]))
@pytest.mark.parametrize("exclude", first_fast([True, False]))
def test_answers_are_those_of_the_usual_way(model, k, exclude):
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


def test_the_shorter_way_is_taken(model):
    user = model.user_ids_[0]
    with patch.object(FittedTowers, "search", side_effect=AssertionError):
        model.recommend([user])
        model.kneighbors((user,))
        model.recommend(np.array([user]) if isinstance(user, np.integer) else [user])
    with patch.object(FittedTowers, "search_similar", side_effect=AssertionError):
        model.similar_items([model.item_ids_[0]])


@pytest.mark.parametrize("k", first_fast([1, 4, 10**11]))
def test_similar_items_are_those_of_the_usual_way(model, k):
    removed = model._fitted.items.ids[len(model.item_ids_) :].tolist()
    for item in [*model.item_ids_[:3].tolist(), *removed[:1]]:
        usual = pd.DataFrame({"item": [item]})
        pd.testing.assert_frame_equal(
            model.similar_items([item], k), model.similar_items(usual, k)
        )


def test_positions_of_one_known_user():
    users, numbers = (fitted(k)._fitted.users for k in ("plain", "numbers"))
    for X in (["u3"], ("u3",)):
        assert one_known(users, X) == users.ids.get_loc("u3")
    for X in ([3], [np.int64(3)], np.array([3]), np.array([3], dtype=np.uint8)):
        assert one_known(numbers, X) == 3


@pytest.mark.parametrize(
    "X",
    [None, "u3", [], ["u3", "u4"], ["new"], [3], [None], ["ü"], ["\ud800"], {"u3"}]
    + [{"u3": 1}, np.array([["u3"]]), pd.Series(["u3"]), [["u3"]], [b"u3"]],
)
def test_all_else_goes_the_usual_way(X):
    assert one_known(fitted("plain")._fitted.users, X) is None


@pytest.mark.parametrize(
    "X", [[True], [3.0], [2**70], ["3"], [99], [None], np.array([3.0])]
)
def test_numbers_of_other_types_go_the_usual_way(X):
    assert one_known(fitted("numbers")._fitted.users, X) is None


def test_baselines_have_no_shorter_way():
    model = EASERecommender().fit(EVENTS)
    pd.testing.assert_frame_equal(
        model.recommend(["u3"]), model.recommend(by_table(model, "u3"))
    )


@pytest.mark.parametrize("kind", ["plain", "ordered", "numbers"])
@pytest.mark.parametrize("n", first_fast([1, 3]))
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
    assert len(model._fitted.user_vectors) == len(model.user_ids_)
    assert before == usual_answers(model)
    changed = copy.copy(model)
    assert changed._fitted.user_vectors is model._fitted.user_vectors
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
        assert len(changed._fitted.user_vectors) == 0
        assert one_by_one(changed) == usual_answers(changed)
    assert one_by_one(model) == before


def test_forgotten_users_leave_no_vector():
    model = fitted("plain")
    one_by_one(model)
    model.forget_users(["u3"])
    one_by_one(model)
    assert len(model._fitted.user_vectors) == 29
    pd.testing.assert_frame_equal(
        model.recommend(["u3"]).drop(columns="user"),
        model.recommend(["never"]).drop(columns="user"),
    )


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
        assert len(other._fitted.user_vectors) == 0
        assert one_by_one(other) == one_by_one(model)


def test_the_oldest_vectors_make_room():
    vectors, computed = Kept(max_bytes=3000, min_bytes=1000), []

    def compute(code):
        computed.append(code)
        return np.full(2, code, dtype=np.float32)  # counts 1,000 bytes

    for code in (0, 1, 2, 0, 3, 1, 0):
        assert vectors.get(code, compute).tolist() == [code, code]
        assert len(vectors) <= 3
    assert computed == [0, 1, 2, 3, 0]  # 3 took the place of 0, and 0 that of 1
    assert Kept(max_bytes=1).get(5, compute).tolist() == [5, 5]


def test_kept_vectors_cannot_be_changed():
    vector = Kept().get(0, lambda _: np.ones(2))
    with pytest.raises(ValueError, match="read-only"):
        vector += 1


@pytest.mark.slow
def test_threads_get_the_answers_of_one_thread():
    model = fitted("plain")
    expected = answers(model)
    model._fitted.user_vectors.__init__(max_bytes=5000, min_bytes=1000)  # of five
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
    assert len(model._fitted.user_vectors) == 5
