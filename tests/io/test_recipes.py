"""The recipes of docs/exports.rst find what the model recommends."""

import re
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tests.builders import random_events, small

PAGE = Path(__file__).parents[2] / "docs" / "exports.rst"
EVENTS = random_events(n_users=30, n_items=60, density=0.1)


def recipes():
    """Return the code of the page by its name; that of the first is ""."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(
        r"\.\. code-block:: python\n(?:   :name: (\w+)\n)?\n((?: {4}.*\n|\n)+)", text
    )
    assert len(blocks) == text.count("code-block::")
    return {name: textwrap.dedent(code) for name, code in blocks}


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
@pytest.mark.parametrize("name", sorted(set(RECIPES) - {""}))
def test_a_recipe_finds_what_the_model_recommends(name, request, tmp_path, monkeypatch):
    pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    model = small().fit(EVENTS)
    names = {"model": model}
    if name == "pgvector":
        pytest.importorskip("psycopg")
        names["database"] = request.getfixturevalue("database")
    exec(RECIPES[""] + RECIPES[name], names)
    top = model.recommend(["u3"], n_neighbors=10, exclude_seen=False)
    assert list(names["found"]) == top["item"].tolist()
    np.testing.assert_allclose(names["user"], model.embed_users(["u3"]), atol=1e-6)
    if name == "pgvector":
        unseen = model.recommend(["u3"], n_neighbors=10, exclude_seen=True)
        assert names["new"] == unseen["item"].tolist()
