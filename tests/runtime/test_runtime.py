"""Answers of a file with numpy only, compared with those of the estimator."""

import json
import subprocess
import sys
import threading
import warnings
from contextlib import nullcontext as no_error
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import TwoTowerRecommender, runtime
from sktwotower.io import dump
from sktwotower.towers import PooledHistory
from tests.builders import ordered, random_events, small
from tests.cases import for_each
from tests.io.builders import (
    MODELS,
    contexts_of,
    file_of,
    find,
    forged,
    in_context,
    members_of,
)
from tests.io.mutations import DAMAGES, FORGERIES

TOWERS = [
    "pooled",
    "recent",
    "filtered",
    "sparse parts",
    "recent only",
    "side table",
    "no history",
    "context",
    "context in order",
]
OTHERS = "ease", "popularity", "two stages"


def written(model, folder, **how):
    path = folder / "model.sktt"
    dump(model, path, **how)
    return path


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Return a function that returns what serves one of the models."""
    kept = {}

    def get(name):
        if name not in kept:
            path = tmp_path_factory.mktemp("runtime") / "model.sktt"
            path.write_bytes(file_of(name))
            kept[name] = runtime.load(path)
        return kept[name]

    return get


def assert_answers(model, other, user, **asked):
    """Check one answer against that of the estimator."""
    given = dict(asked)
    for name in ("history", "exclude"):
        if given.get(name) is not None:
            given[name] = {user: given[name]}
    expected = model.recommend([user], 5, **given)
    ids, scores = other.recommend(user, 5, **asked)
    assert ids.tolist() == expected["item"].tolist()
    assert_allclose(scores, expected["score"], atol=1e-5)
    assert scores.dtype == np.float32


@pytest.mark.parametrize("name", TOWERS)
def test_answers_are_those_of_the_estimator(name, served):
    model, other = MODELS[name], served(name)
    items = model.item_ids_.tolist()
    contexts = [None, *(each for each in contexts_of(model) if each)]
    histories = [
        None,
        [items[1]],
        [items[2], items[0], items[2]],
        ["nothing", items[3]],
    ]
    for user in [*model.user_ids_.tolist(), "somebody"]:
        for history in histories:
            for context in contexts:
                asked = {"history": history, "context": context}
                assert_answers(model, other, user, **asked)
    assert_array_equal(other.item_ids_, model.item_ids_)
    assert_array_equal(other.user_ids_, model.user_ids_)


@for_each("name", TOWERS)
def test_filters(name, served):
    model, other = MODELS[name], served(name)
    items = model.item_ids_.tolist()
    for user in [model.user_ids_[0], "somebody"]:
        assert_answers(model, other, user, exclude=items[:2])
        assert_answers(model, other, user, candidates=items[::2])
        assert_answers(model, other, user, candidates=items[:4], exclude=items[3:])
        assert_answers(model, other, user, exclude_seen=False)
        assert_answers(model, other, user, diversity=0.6)
        assert_answers(model, other, user, where={"item": items[1:6]})


RULES = [
    {"where": {"color": "red"}},
    {"where": {"price": (1.0, 2.0)}},
    {"where": {"tags": ["a", "c"]}, "exclude": ["i0"]},
    {"where": {"since": (None, np.datetime64("2020-06-01"))}},
    {"where": {"new": True}, "candidates": ["i0", "i2", "i5", "i7"]},
    {"max_per": {"color": 1}},
    {"max_per": {"level": 1, "color": 2}, "diversity": 0.4},
    {"where": {"color": "red"}, "max_per": {"level": 1}, "diversity": 1},
]


def test_rules_of_a_list(served):
    for rule in RULES:
        model = MODELS["side table"]
        for user in [*model.user_ids_.tolist(), "somebody"]:
            assert_answers(model, served("side table"), user, **rule)


def test_a_function_gets_the_columns_of_the_item_table(served):
    found = {}

    def red(table):
        found.update(table)
        return table["color"] == "red"

    ids, _ = served("side table").recommend("somebody", where=red)
    assert {*found} == {"item", *MODELS["side table"].items.columns}
    table = MODELS["side table"].items.set_index("item")
    assert (table.loc[ids, "color"] == "red").all() and len(ids) == 6


@pytest.mark.parametrize("name", TOWERS)
def test_vectors_and_scores(name, served):
    model, other = MODELS[name], served(name)
    users, items = model.user_ids_.tolist(), model.item_ids_.tolist()
    # torch computes those of many users at once
    assert_allclose(other.embed(users), model.embed_users(users), atol=1e-6)
    assert_array_equal(other.item_embeddings_, model.item_embeddings_)
    pairs = pd.DataFrame({"user": users[0], "item": items})
    for column in {*model.feature_names_in_} - {*pairs}:
        pairs[column] = None
    scores = other.score(users[0], items)
    pairs = pairs[model.feature_names_in_]
    assert_allclose(scores, model.predict(pairs), atol=1e-5)
    with pytest.raises(
        TypeError, match="score takes one user. Got 2: call it for each"
    ):
        other.score(users[:2], items)
    expected = model.similar_items([items[2]], 3)
    ids, scores = other.similar_items(items[2], 3)
    assert ids.tolist() == expected["similar_item"].tolist()
    assert_allclose(scores, expected["score"], atol=1e-5)
    alike = model.similar_users([users[0]], 3)
    ids, scores = other.similar_users(users[0], 3)
    assert_allclose(scores, alike["score"], atol=1e-5)
    for user in users[:3]:
        assert other.seen(user).tolist() == model.seen_items([user])["item"].tolist()


@for_each("name", ["pooled", "recent"])
def test_several_users(name, served):
    other = served(name)
    users = [*other.user_ids_[:3].tolist(), "somebody"]
    history = {users[1]: other.item_ids_[:2].tolist(), "nobody": ["x"]}
    exclude = {users[0]: other.item_ids_[3:5].tolist()}
    ids, scores = other.recommend(users, 4, history=history, exclude=exclude)
    assert len(ids) == len(scores) == 4
    for place, user in enumerate(users):
        asked = {"history": history.get(user), "exclude": exclude.get(user)}
        alone, alone_scores = other.recommend(user, 4, **asked)
        assert_array_equal(ids[place], alone)
        assert_array_equal(scores[place], alone_scores)
    vectors = other.embed(users, history=history)
    assert_array_equal(vectors[1], other.embed(users[1], history=history[users[1]]))
    assert other.recommend([]) == ([], [])
    assert other.embed([]).shape == (0, other.item_embeddings_.shape[1])


def test_integers_as_ids(tmp_path):
    events = random_events()
    codes = {each: 10 * i for i, each in enumerate(sorted({*events["user"]}))}
    events = events.assign(user=events["user"].map(codes))
    events["item"] = pd.factorize(events["item"])[0] + 5
    model = small().fit(events)
    other = runtime.load(written(model, tmp_path))
    for user in (0, np.int64(10), 20.0, 5, -1, 10**30, "0", True):
        known = user if not isinstance(user, str | bool) and user < 10**9 else 5
        expected = model.recommend([int(known)], 3)["item"].tolist()
        assert other.recommend(user, 3)[0].tolist() == expected
    candidates = np.array([5, 7, 8])
    assert_answers(model, other, 10, candidates=candidates, exclude_seen=False)
    assert_answers(model, other, 10, history=[6, 99, 7])


@pytest.mark.filterwarnings("ignore:A user is known as")
def test_numbers_of_all_kinds_as_ids(tmp_path):
    events = pd.DataFrame({"user": [0, 0, 1, 1, 2], "item": [0, 1, 1, 2, 0]})
    model = small().fit(events)
    other = runtime.load(written(model, tmp_path))
    assert other.seen(1).tolist() == [1, 2] and other.seen(0).tolist() == [0, 1]
    for one in (
        1.0,
        np.float32(1),
        np.uint8(1),
        Decimal(1),
        Decimal("1.0"),
        Fraction(1),
    ):
        assert other.seen(one).tolist() == [1, 2]
        assert model.recommend([one])["item"].tolist() == [0]
        assert other.recommend(one)[0].tolist() == [0]
    # equal to 0 and 1 in Python, yet no ids of theirs
    for unknown in (True, False, np.True_, 1.5, Decimal("1.5"), b"1", "1"):
        assert other.seen(unknown).tolist() == []
        assert len(model.recommend([unknown])) == len(other.recommend(unknown)[0]) == 3


def test_bytes_as_ids(tmp_path):
    model = small().fit(pd.DataFrame({"user": [b"a", b"a", b"b"], "item": [*"xyx"]}))
    other = runtime.load(written(model, tmp_path))
    for user in (b"a", np.bytes_(b"a")):
        assert len(model.recommend([user])) == len(other.recommend(user)[0]) == 0
    assert model.recommend([np.bytes_(b"b")])["item"].tolist() == ["y"]


NO_IDS = [np.inf, -np.inf, np.float32("inf"), 1j, frozenset("a"), object()]
NO_IDS += ["\ud800"] * (pd.__version__ > "3")  # pandas 2 stores any str as it is
NO_IDS += [int, None, np.nan, pd.NaT, pd.NA, Decimal("nan"), Decimal("sNaN")]


@for_each("name", ["user", "history", "exclude", "candidates"])
def test_what_is_no_id_is_refused_as_by_the_estimator(name, served):
    model, other = MODELS["pooled"], served("pooled")
    for value in NO_IDS:
        user = value if name == "user" else "u1"
        given = {} if name == "user" else {name: [value]}
        with pytest.raises((TypeError, ValueError)):
            model.recommend([user], **given)
        with pytest.raises((TypeError, ValueError), match=" user | item "):
            other.recommend(user, **given)


def test_several_values_are_no_id(served):
    for history in ([("i1", "i2")], [range(3)], [["i1"]]):
        with pytest.raises((TypeError, ValueError)):
            MODELS["pooled"].recommend(["u1"], history=history)
        with pytest.raises(TypeError, match="An item must be an id"):
            served("pooled").recommend("u1", history=history)


def test_ids_of_another_type_are_warned_of(served, tmp_path):
    text = served("pooled")
    numbers = small().fit(random_events().replace(r"\D", "", regex=True).astype(int))
    number = runtime.load(written(numbers, tmp_path))
    with pytest.warns(UserWarning, match="^A user is known as a number: convert ids"):
        number.recommend("3")
    with pytest.warns(UserWarning, match="^An item is known as a number"):
        number.recommend(3, history=["1"])
    codes = small().fit(random_events().replace(r"\D", "", regex=True))
    code = runtime.load(written(codes, tmp_path))
    with pytest.warns(UserWarning, match="^A user is known as text: convert ids"):
        code.recommend(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for new in ("99", "new", "", 10**30, -1, 99, 10**5000, "9" * 5000):
            text.recommend(new), number.recommend(new), code.recommend(new)


def test_messages_do_not_repeat_long_values(served):
    long = {f"u{i}": ["i1"] for i in range(1000)}
    for asked in (
        {"history": long},
        {"exclude": long},
        {"user": ["u1"], "history": [1]},
    ):
        with pytest.raises(TypeError) as error:
            served("pooled").recommend(**{"user": "u1", **asked})
        assert len(str(error.value)) < 300


def test_dates_as_ids(tmp_path):
    events = random_events()
    days = pd.date_range("2024-01-01", periods=30)
    places = pd.factorize(events["item"])[0]
    model = small().fit(events.assign(item=days[places]))
    other = runtime.load(written(model, tmp_path))
    ids, _ = other.recommend("u1", 3, history=[days[0].to_pydatetime()])
    expected = model.recommend(["u1"], 3, history={"u1": [days[0]]})
    assert_array_equal(ids, expected["item"].to_numpy())


def test_items_that_have_left_the_catalog(tmp_path):
    model = small(items=None).fit(random_events())
    gone = model.item_ids_[2]
    model.set_catalog([each for each in model.item_ids_ if each != gone][::-1])
    other = runtime.load(written(model, tmp_path))
    assert gone not in other.item_ids_
    for user in [*model.user_ids_, "somebody"]:
        assert_answers(model, other, user)
        assert_answers(model, other, user, history=[gone])
    expected = model.similar_items([gone], 3)["similar_item"].tolist()
    assert other.similar_items(gone, 3)[0].tolist() == expected
    with pytest.raises(ValueError, match="candidates.*not in the catalog"):
        other.recommend("u1", candidates=[gone])
    assert other.knows_items([gone, "no", "i1"]).tolist() == [True, False, True]
    assert other.knows_items([]).shape == (0,)
    with pytest.raises(TypeError, match="items must be a list of ids"):
        other.knows_items("i1")


@pytest.mark.parametrize("fold_in", [True, False])
def test_fold_in_is_as_the_parameter_says(fold_in, tmp_path):
    model = (
        small().fit(random_events()).set_params(history=PooledHistory(fold_in=fold_in))
    )
    other = runtime.load(written(model, tmp_path))
    history = model.item_ids_[:4].tolist()
    vector = other.embed("somebody", history=history)
    expected = model.embed_users(["somebody"], history={"somebody": history})[0]
    assert_allclose(vector, expected, atol=1e-6)
    folded = runtime.load(
        written(model.set_params(history=PooledHistory(fold_in=True)), tmp_path)
    )
    differs = np.abs(folded.embed("somebody", history=history) - vector).max() > 1e-4
    assert differs == (not fold_in)


@pytest.mark.parametrize("flag", [True, np.False_])
def test_flags_are_those_of_the_model(flag, tmp_path):
    model = small(exclude_seen=flag, history=PooledHistory(fold_in=flag)).fit(
        random_events()
    )
    other = runtime.load(written(model, tmp_path))
    assert len(other.recommend("u0")[0]) == (0 if flag else 9)  # who has seen all nine
    history = model.item_ids_[:4].tolist()
    for user in ["u0", "u1", "somebody"]:
        assert_answers(model, other, user)
        assert_answers(model, other, user, history=history)
        assert_answers(model, other, user, exclude_seen=not flag)


@pytest.mark.parametrize("history", [[], ["nothing"]], ids=["empty", "unknown"])
def test_the_last_event_is_known_if_a_history_adds_none(history, tmp_path):
    gaps = np.resize([1, 2, 4, 8, 16, 32], 200).cumsum()
    X = random_events(n_users=25, n_items=8, density=1.0).assign(when=gaps)
    model = ordered(context="when", exclude_seen=False, max_epochs=8, lr=0.3).fit(X)
    other = runtime.load(written(model, tmp_path))
    later = {"when": X["when"][X["user"] == "u3"].max() + 3}
    expected = other.embed("u3", context=later)
    assert_array_equal(other.embed("u3", history=history, context=later), expected)
    with pytest.warns(UserWarning, match="changes nothing") if history else no_error():
        asked = model.embed_users(["u3"], history={"u3": history}, context=later)
    assert_allclose(asked[0], expected, atol=1e-6)
    unknown = other.embed("u3", history=["i0"], context=later)
    assert np.abs(unknown - expected).max() > 0.01


@pytest.mark.parametrize(
    "dtype, mmap, verify", [("float16", True, False), ("int8", False, True)]
)
def test_other_files(dtype, mmap, verify, tmp_path):
    model = MODELS["filtered"]
    path = written(model, tmp_path, vector_dtype=dtype)
    other = runtime.load(path, mmap=mmap, verify=verify)
    from sktwotower.io import load

    assert_answers(load(path), other, "u1")


# What loading needs


def in_a_fresh_process(code, path):
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


CODE = """
import json, sys
from pathlib import Path
from sktwotower import runtime
model = runtime.load(sys.argv[1], mmap=True)
ids, _ = model.recommend("u1", 3, history=["i1"], context=CONTEXT)
model.recommend("u1", where={"color": "red"}, diversity=0.5)
model.similar_items("i1")
heavy = "torch sklearn scipy pandas skorch narwhals pynndescent numba tqdm joblib"
loaded = sorted(set(heavy.split()) & set(sys.modules))
status = Path("/proc/self/status")  # on Linux
lines = status.read_text().splitlines() if status.exists() else []
kilobytes = sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
print(json.dumps([ids.tolist(), loaded, kilobytes / 1024]))
"""


def test_numpy_is_enough(tmp_path):
    events = in_context(random_events())
    table = MODELS["side table"].items
    model = small(items=table, context=["place", "words"], embedding_dim=12)
    model.fit(events)
    context = {"place": "work", "words": "old chair"}
    code = CODE.replace("CONTEXT", repr(context))
    ids, loaded, megabytes = in_a_fresh_process(code, written(model, tmp_path))
    assert loaded == []
    assert megabytes < 120  # with torch it is more than twice that
    history = {"u1": ["i1"]}
    expected = model.recommend(["u1"], 3, history=history, context=context)
    assert ids == expected["item"].tolist()


# What is refused


@pytest.mark.parametrize("name", OTHERS)
def test_other_recommenders(name, tmp_path):
    path = tmp_path / "model"
    path.write_bytes(file_of(name))
    with pytest.raises(ValueError, match=type(MODELS[name]).__name__):
        runtime.load(path)


def test_towers_of_the_user(tmp_path):
    from tests.io.test_towers import Normed

    model = small(item_tower=Normed).fit(random_events())
    with pytest.raises(ValueError, match="module of your own.*ONNX"):
        runtime.load(written(model, tmp_path))


def test_transformers_of_the_user(tmp_path):
    from sklearn.preprocessing import OneHotEncoder

    events = in_context(random_events())
    transformer = OneHotEncoder(handle_unknown="ignore")
    model = small(context=["place"], context_transformer=transformer)
    model.fit(events.assign(place=events["place"].fillna("none")))
    with pytest.raises(ValueError, match="context_transformer that is not"):
        runtime.load(written(model, tmp_path))
    # that of items has been used already
    model = small(item_transformer=transformer).fit(random_events())
    other = runtime.load(written(model, tmp_path))
    assert_answers(model, other, "u1")


def test_a_model_that_is_not_fitted(tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        runtime.load(written(TwoTowerRecommender(), tmp_path))


def test_later_formats_and_cut_files(tmp_path):
    path, data = tmp_path / "model", file_of("pooled")

    def later(meta):
        meta["format_version"] += 1

    path.write_bytes(forged(members_of(data), later))
    with pytest.raises(ValueError, match="later version"):
        runtime.load(path)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="not a valid zip file"):
        runtime.load(path)
    with pytest.raises(TypeError, match="path must be"):
        runtime.load(3)
    with pytest.raises(FileNotFoundError):
        runtime.load(tmp_path / "none")


FORGED_CONTEXTS = [
    ("features.LevelEncoder", "names", ["a"], "column names"),
    ("features.LevelEncoder", "kind", "number", "kind must be one of"),
    ("features.RequestContext", "columns", ["place"], "of its columns|distinct"),
    ("features.RequestContext", "own_width", 1, "features in"),
    ("recommender.FittedTowers", "context", None, "a context that the model sees"),
]


def test_contexts_that_do_not_fit(tmp_path):
    for kind, part, value, message in FORGED_CONTEXTS:
        path = tmp_path / "model"

        def change(meta, kind=kind, part=part, value=value):
            places = find(
                meta["model"], lambda key, each: key == "type" and each == kind
            )
            for node, _ in [*places]:
                node["parts"][part] = value

        path.write_bytes(forged(members_of(file_of("context")), change))
        with pytest.raises(ValueError, match=message):
            runtime.load(path)


def check_files(n, path, first_seed):
    """Load damaged and forged files; return how many were refused."""
    n_refused = 0
    for seed in range(first_seed, first_seed + n):
        name, rng = TOWERS[seed % len(TOWERS)], np.random.default_rng(seed)
        turn, is_damaged = divmod(seed // len(TOWERS), 2)
        changes = DAMAGES if is_damaged else FORGERIES
        path.write_bytes(changes[turn % len(changes)](file_of(name), rng))
        try:
            other = runtime.load(path, mmap=bool(seed % 2), verify=bool(seed % 3))
        except ValueError as error:
            assert len(str(error)) > 20
            n_refused += 1
            continue
        model = MODELS[name]
        for user in [*model.user_ids_[:2], "somebody"]:
            for context in [None, *(c for c in contexts_of(model) if c)]:
                try:
                    other.recommend(user, 3, history=["i1"], context=context)
                except Exception as error:
                    assert isinstance(error, ValueError | TypeError), error
    return n_refused


@pytest.mark.slow
def test_some_damaged_and_forged_files(tmp_path):
    assert check_files(80, tmp_path / "model", first_seed=0) > 40


@pytest.mark.fuzz
@pytest.mark.slow
def test_thousands_of_damaged_and_forged_files(tmp_path):
    assert check_files(5000, tmp_path / "model", first_seed=1000) > 2500


# Bad input


TABLE = pd.DataFrame({"user": ["u1"], "item": ["i1"]})


BAD_REQUESTS = [
    ({"user": None}, ValueError, "missing"),
    ({"user": float("nan")}, ValueError, "missing"),
    ({"user": {}}, TypeError, "must be an id"),
    ({"user": np.array("u1")}, TypeError, "A user must be an id"),
    ({"user": np.array([["u1"]])}, TypeError, "A user must be an id"),
    ({"n": 0}, ValueError, "n must be an integer >= 1"),
    ({"n": True}, TypeError, "n must be an integer"),
    ({"n": 2.5}, TypeError, "n must be an integer"),
    ({"history": "i1"}, TypeError, "history must be a list"),
    ({"history": 3}, TypeError, "history must be a list"),
    ({"history": TABLE}, TypeError, "history must be a list"),
    ({"user": TABLE}, TypeError, "must be an id"),
    ({"history": [None]}, ValueError, "missing"),
    ({"history": [[1]]}, TypeError, "must be an id"),
    ({"exclude": {"u1": []}}, TypeError, "exclude must be a list"),
    ({"candidates": ["i1", "x"]}, ValueError, "1 of candidates.*'x'"),
    ({"exclude_seen": 1}, TypeError, "exclude_seen must be a bool"),
    ({"context": {"hour": 3}}, ValueError, "has not learnt from any"),
    ({"where": {"colour": 1}}, ValueError, "Did you mean 'color'"),
    ({"where": 3}, TypeError, "where must be"),
    ({"max_per": {"color": 0}}, ValueError, "max_per"),
    ({"diversity": -0.1}, ValueError, "diversity"),
    ({"user": ["u1"], "history": ["i1"]}, TypeError, "dict of users"),
    ({"user": ["u1", None]}, ValueError, "missing"),
]


def test_bad_requests(served):
    for asked, error, message in BAD_REQUESTS:
        other = served("side table")
        with pytest.raises(error, match=message):
            other.recommend(**{"user": "u1", **asked})
        assert len(other.recommend("u1")[0])


def test_documented_answers(served):
    other = served("side table")
    ids, scores = other.recommend("u1", where={"price": (100, None)})
    assert len(ids) == len(scores) == 0
    assert len(other.recommend("u1", candidates=[])[0]) == 0
    ids, _ = other.recommend("u1", 10**6, exclude_seen=False)
    assert len(ids) == len(other.item_ids_)
    new, of_nothing = other.recommend("x"), other.recommend("x", history=["nothing"])
    assert_array_equal(new[0], of_nothing[0])
    with pytest.raises(ValueError, match="'nothing' is not known"):
        other.similar_items("nothing")
    with pytest.raises(ValueError, match="not known from fit.*'nothing'"):
        other.score("u1", ["i1", "nothing"])
    assert len(other.seen("x")) == 0


BAD_CONTEXTS = [
    ({"plce": "work"}, "'plce', which is not a context column"),
    ({"tags": 3}, "3 for 'tags'"),
    ([], "must be a dict"),
]


def test_bad_contexts(served):
    for context, message in BAD_CONTEXTS:
        with pytest.raises((TypeError, ValueError), match=message):
            served("context").recommend("u1", context=context)


# Threads


def test_threads_share_it_and_a_second_model_takes_its_place(served):
    current = [served("pooled")]
    models = [served("pooled"), served("filtered")]
    expected = {
        id(m): {u: m.recommend(u, 4)[0].tolist() for u in m.user_ids_} for m in models
    }
    wrong, ended = [], threading.Event()

    def ask():
        while not ended.is_set():
            model = current[0]
            for user in model.user_ids_:
                if model.recommend(user, 4)[0].tolist() != expected[id(model)][user]:
                    wrong.append(user)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(200):
        current[0] = models[turn % 2]
    ended.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_it_returns_can_be_changed_by_the_caller(served):
    other = served("pooled")
    vector = other.embed("u1")
    vector[:] = 0
    assert np.abs(other.embed("u1")).max() > 0
    ids, scores = other.recommend("u1")
    ids[:], scores[:] = "x", 0
    assert "x" not in other.recommend("u1")[0]


@pytest.mark.parametrize("shift", [0, 2**63])
def test_unsigned_ids_of_64_bits_are_told_apart(shift, tmp_path):
    ids = np.array([0, 1, 2, 5], np.uint64) + np.uint64(shift)
    X = pd.DataFrame({"user": ids, "item": ids})
    other = runtime.load(written(small().fit(X), tmp_path))
    wanted = [shift + place for place in range(6)]
    expected = [True, True, True, False, False, True]
    assert other.knows_items(wanted).tolist() == expected
    assert other.knows_items(np.array(wanted, np.uint64)).tolist() == expected
    assert other.knows_items([-1, 2**64]).tolist() == [False, False]
    assert [len(other.seen(user)) for user in wanted] == [*map(int, expected)]
