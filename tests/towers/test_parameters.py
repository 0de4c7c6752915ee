"""The table of parameters, and the recipes that are made of it."""

import copy
import pickle
from dataclasses import fields

import numpy as np
import pytest

from sktwotower import TwoTowerRecommender
from sktwotower._sklearn_compat import StrOptions, validate_parameter_constraints
from sktwotower.recommender._catalog import IndexRecipe
from sktwotower.recommender._events import TableRecipe
from sktwotower.towers._auto import AUTO, SECOND_PAIR
from sktwotower.towers._recipe import BATCH_PARAMETERS, Recipe, RecommenderParameters

PARAMETERS = {each.name: each.metadata for each in fields(RecommenderParameters)}
RECIPES = {"tables": TableRecipe, "training": Recipe, "index": IndexRecipe}
# "auto" is checked where it is read for others: half-lives and neighbors.
MAY_BE_AUTO = set(
    "history second_share embedding_dim dropout temperature candidate_sampling "
    "reward_scale impression_weight cold_item_weight max_epochs batch_size time_unit "
    "validation_events sparse_parts".split()
)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_holds_its_parameters(name):
    kind, model = RECIPES[name], TwoTowerRecommender(n_neighbors=np.int64(7))
    recipe = kind.of(model)
    expected = [k for k, each in PARAMETERS.items() if name in each.get("recipes", ())]
    assert list(recipe._asdict()) == expected
    params = model.get_params(deep=False)
    assert all(value == params[key] for key, value in recipe._asdict().items())
    changed = recipe._replace(**{expected[0]: "x"})
    assert type(changed) is kind and changed[0] == "x" and recipe[0] != "x"
    assert pickle.loads(pickle.dumps(recipe)) == copy.copy(recipe) == recipe
    with pytest.raises(AttributeError):
        setattr(recipe, expected[0], "x")


def test_recipes_hold_no_numbers_of_numpy():
    given = {"hidden_layer_sizes": [np.int64(8)], "net_params": {"lr": np.float32(1)}}
    recipe = Recipe.of(TwoTowerRecommender(n_neighbors=np.int64(7), **given))
    assert type(recipe.n_neighbors) is type(recipe.hidden_layer_sizes[0]) is int
    assert type(recipe.net_params["lr"]) is float


@pytest.mark.parametrize("kind", [*AUTO, "second pair"])
def test_auto_stands_for_values_that_are_allowed(kind):
    values = SECOND_PAIR if kind == "second pair" else AUTO[kind]
    allowed = TwoTowerRecommender._parameter_constraints
    validate_parameter_constraints(allowed, values, "auto")
    assert MAY_BE_AUTO >= values.keys() and "auto" not in values.values()


@pytest.mark.parametrize("name", PARAMETERS)
def test_only_what_is_auto_may_be_auto(name):
    constraint = PARAMETERS[name]["values"]
    allowed = constraint != "no_validation" and any(
        isinstance(each, StrOptions) and "auto" in each.options for each in constraint
    )
    assert allowed == (name in MAY_BE_AUTO)


def test_defaults_of_batches_are_allowed():
    for name, each in BATCH_PARAMETERS.items():
        given = {name: each.default}
        validate_parameter_constraints({name: list(each.values)}, given, "batches")
