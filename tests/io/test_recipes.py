"""The recipes of docs/exports.md find what the model recommends."""

import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

from tests.builders import random_events, small
from tests.recommender.weighed import coming_back, weighed

PAGE = Path(__file__).parents[2] / "docs" / "exports.md"
EVENTS = random_events(n_users=30, n_items=60, density=0.1)
# ids that the filters of u3 have to quote
ODD = {"i13": "o'13", "i16": '"16"', "i27": "\\n", "i32": "{32}", "i34": "ü 34"}
EVENTS["item"] = EVENTS["item"].replace(ODD)
ALSO_NEEDED = {"pgvector": "psycopg", "pymilvus": "milvus_lite"}


def recipes():
    """Return the code of the page by its name; that of the first is ""."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(
        r"(?:<!-- name: (\w+) -->\n\n)?```python\n(.*?)```", text, re.DOTALL
    )
    assert len(blocks) == text.count("```") / 2
    return dict(blocks)


RECIPES = recipes()


@pytest.fixture
def database():
    """Start a PostgreSQL server in a folder; return the address of a new database."""
    pgserver = pytest.importorskip("pgserver")
    # not tmp_path: the path of a socket has at most 107 characters
    with tempfile.TemporaryDirectory() as folder:
        server = pgserver.get_server(folder)
        yield server.get_uri()
        server.cleanup()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"", "scipy"}))
def test_a_recipe_finds_what_the_model_recommends(name, request, tmp_path, monkeypatch):
    for package in {name, ALSO_NEEDED.get(name, name)}:
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    model = small(sparse_parts=None).fit(EVENTS)
    assert set(ODD.values()) < set(model.seen_items(["u3"])["item"])
    names = {"model": model}
    if name == "pgvector":
        names["database"] = request.getfixturevalue("database")
    exec(RECIPES[""] + RECIPES[name], names)
    np.testing.assert_allclose(names["user"], model.embed_users(["u3"]), atol=1e-6)
    for answer, exclude_seen in (("found", False), ("new", True)):
        top = model.recommend(["u3"], n_neighbors=10, exclude_seen=exclude_seen)
        assert list(names[answer]) == top["item"].tolist()


def test_sparse_vectors_give_the_rest_of_the_score(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    events = coming_back(2000, 100)[["user", "item", "when"]]
    events["user"] = events["user"].str.replace("u003", "u3")
    whole = weighed(time="when", exclude_seen=False, sparse_parts="auto").fit(events)
    assert whole.embed_users(["u3"], sparse=True).nnz
    names = {"model": weighed(time="when").fit(events), "whole": whole}
    exec(RECIPES[""] + RECIPES["scipy"], names)
    for answer, exclude_seen in (("found", False), ("new", True)):
        top = whole.recommend(["u3"], n_neighbors=10, exclude_seen=exclude_seen)
        assert list(names[answer]) == top["item"].tolist()
