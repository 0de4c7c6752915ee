"""The search of the examples: the words it makes, and what its ways to rank find."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "search.py"
CLEAN = {"left_out": 0, "of_others": 0, "typing": 0}


@pytest.fixture(scope="module")
def search():
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("search", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sorted_words(queries):
    return [sorted(query.split()) for query in queries]


def test_queries_without_noise_hold_the_words_in_any_order(search):
    texts = ["RED PAPER PARASOL", "FAN"] * 20
    queries = search.make_queries(texts, **CLEAN)
    assert sorted_words(queries) == [["paper", "parasol", "red"], ["fan"]] * 20
    assert len(set(queries)) > 3
    assert queries == search.make_queries(pd.Series(texts), **CLEAN)


def test_each_kind_of_noise(search):
    texts = ["PAPER PARASOL", "CUP"] * 20
    (*long, _), short = texts[0].lower().split() + [""], "cup"
    one = search.make_queries(texts, **CLEAN | {"left_out": 1})
    assert all(q in long for q in one[::2]) and set(one[1::2]) == {short}
    other = search.make_queries(texts, **CLEAN | {"of_others": 1})
    assert set(" ".join(other).split()) == {*long, short}
    assert any("cup" in q for q in other[::2])
    mistyped = search.make_queries(texts, **CLEAN | {"typing": 1})
    lengths = [sorted(map(len, q.split())) for q in mistyped]
    assert lengths == [[4, 6], [3]] * 20


def test_items_of_one_score_share_the_places(search):
    scores = np.array([[3.0, 2, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0]])
    found = search.found(scores, np.array([1, 2, 0]), k=1)
    assert found.tolist() == [False, False, True]
    assert search.found(scores, np.array([1, 2, 0]), k=2).all()


def test_text_scores_are_cosines_of_words(search):
    scores = search.text_scores(["red", "nothing"], ["red", "red cup", "fan"])
    assert scores[0, 0] == pytest.approx(1) and 0 < scores[0, 1] < 1
    assert scores[0, 2] == 0 and not scores[1].any()


@pytest.mark.slow
def test_the_model_with_words_finds_the_thing_in_the_color_of_the_user(search):
    rng = np.random.default_rng(0)
    colors, things = "RED BLUE PINK GOLD".split(), "CUP FAN BAG PEN CLOCK".split()
    texts = [f"{color} {thing}" for color in colors for thing in things]
    products = pd.DataFrame({"product": np.arange(20) + 100, "description": texts})
    customer, thing = rng.integers(40, size=(2, 1200)) % [[40], [5]]
    product = customer % 4 * 5 + thing
    events = pd.DataFrame(
        {
            "customer": customer,
            "product": product + 100,
            "time": np.arange(1200),
            "words": [things[t].lower() for t in thing],  # never the color
        }
    )
    train, test = search.split(events, n_requests=50)
    assert len(test) == 50 and test["time"].min() > train["time"].max()
    params = {"embedding_dim": 16, "max_epochs": 30}
    model, recall = search.compare(train, test, products, k=1, **params)
    assert recall.columns.tolist() == ["all", "bought before", "first"]
    found = recall["all"]
    assert found["model with words"] > 0.9
    assert found["model without words"] < 0.5
    assert found["TF-IDF of words"] == 0  # four colors of a thing are alike
    top = model.recommend([0, 1], 1, context={"words": "cup"})
    assert top["product"].tolist() == [100, 105]
