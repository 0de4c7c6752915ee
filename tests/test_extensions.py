"""What the guide defines outside the package goes through all that a model does."""

import ast
import sys
import types
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sktwotower import TowerVectorizer, TwoTowerRecommender, io, runtime

GUIDE = Path(__file__).parents[1] / "docs" / "guide"
DEFINITIONS = ast.Import, ast.ImportFrom, ast.ClassDef


@contextmanager
def from_page(page, module):
    """Let a module exist in the block: imports and classes of a page's first code."""
    text = (GUIDE / page).read_text("utf-8")
    code = text.partition("```python\n")[2].partition("```")[0]
    tree = ast.parse(code)
    tree.body = [node for node in tree.body if isinstance(node, DEFINITIONS)]
    made = types.ModuleType(module)
    exec(compile(tree, page, "exec"), vars(made))
    sys.modules[module] = made  # where pickles and files look for its classes
    yield made
    del sys.modules[module]


@pytest.fixture(scope="module")
def loss():
    with from_page("extend_loss.md", "my_loss") as made:
        criterion = {"criterion": made.Pairwise, "criterion__margin": 0.5}
        yield {"net_params": criterion}, "my_loss.Pairwise"


@pytest.fixture(scope="module")
def kind():
    rows = np.arange(15)
    hours = np.where(rows > 2, rows, np.nan)
    with from_page("extend_columns.md", "my_kind") as made:
        params = {
            "users": pd.DataFrame({"user": np.arange(20), "hour": np.arange(20)}),
            "items": pd.DataFrame({"item": rows, "hour": hours}),
        }
        for side in ("user", "item"):
            kinds = {"hour": made.Cycle(24)}
            params[f"{side}_transformer"] = TowerVectorizer(kinds=kinds)
        yield params, "my_kind.Cycle"


def random_pairs(n, seed):
    rng = np.random.default_rng(seed)
    columns = {"user": rng.integers(0, 20, n), "item": rng.integers(0, 15, n)}
    return pd.DataFrame(columns)


def lives_on(model):
    """Return what a fitted model answers after all that may happen to it."""
    answers = [model.recommend([3], 4), model.recommend(history={"new": [1, 2]})]
    model.partial_fit(random_pairs(40, seed=1))
    answers.append(model.explain(3, 5))
    model.forget_users([4]).forget_items([6])
    answers.append(model.recommend([3], 4))
    answers.append(model.similar_items([7], 3))
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("extension", ["loss", "kind"])
def test_a_model_with_an_extension_learns_is_stored_and_lives_on(
    extension, request, tmp_path
):
    params, name = request.getfixturevalue(extension)
    path = tmp_path / "model.sktt"
    sizes = {"embedding_dim": 8, "max_epochs": 4, "hidden_layer_sizes": ()}
    stopping = {"n_iter_no_change": 1, "validation_fraction": 0.2}
    model = TwoTowerRecommender(**sizes, **stopping, **params, random_state=0)
    model.fit(random_pairs(300, seed=0))
    io.dump(model, path)
    served, _ = runtime.load(path).recommend(3, 4)
    read = io.load(path, trusted=[name])
    expected = lives_on(model)
    assert served.tolist() == expected[0]["item"].tolist()
    for before, after in zip(expected, lives_on(read), strict=True):
        pd.testing.assert_frame_equal(after, before)


@pytest.mark.slow
def test_a_new_item_is_encoded_by_a_kind_of_the_user(kind):
    params, _ = kind
    model = TwoTowerRecommender(embedding_dim=8, max_epochs=1, **params, random_state=0)
    model.fit(random_pairs(300, seed=0))
    new = pd.DataFrame({"item": [99], "hour": [23.0]})
    one, other = (model.embed_items(new.assign(hour=hour)) for hour in (23.0, 11.0))
    assert not np.allclose(one, other)
    model.set_catalog(new)
    assert model.recommend([3], 1, exclude_seen=False)["item"].tolist() == [99]
