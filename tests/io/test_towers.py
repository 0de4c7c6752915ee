"""Towers of the user, which files hold without their class."""

import copy

import pytest
import torch
from torch import nn

from sktwotower.io import dump, load
from tests.builders import first_fast, random_events, small

from .builders import again, assert_same_answers


class Normed(nn.Module):
    """A tower with a buffer of integers, that of the batch norm."""

    def __init__(self, n_features=None):
        super().__init__()
        self.linear = (
            nn.LazyLinear(8) if n_features is None else nn.Linear(n_features, 8)
        )
        self.norm = nn.BatchNorm1d(8)

    def forward(self, rows):
        return self.norm(self.linear(rows))


TOWERS = {
    "module": Normed(),
    "class": Normed,
    "function": lambda n: Normed(n),
    "lazy layer": nn.LazyLinear(8),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.sktt"


@pytest.mark.each_time(
    "user_tower-module",
    "user_tower-function",
    "item_tower-class",
    "item_tower-lazy layer",
)
@pytest.mark.parametrize("kind", first_fast(TOWERS))
@pytest.mark.parametrize("side", first_fast(["user_tower", "item_tower"]))
def test_a_tower_of_the_user_gets_the_weights_of_the_file(kind, side, path):
    tower = TOWERS[kind]
    model = small(**{side: tower}).fit(random_events())
    read = again(model, path, load_params={"towers": {side: tower}})
    assert_same_answers(model, read)
    assert getattr(read, side) is tower
    again_fitted = copy.copy(model)
    for each in (again_fitted, read):
        each.partial_fit(random_events())
    assert_same_answers(again_fitted, read)


def test_a_missing_tower_is_named(path):
    dump(small(item_tower=Normed).fit(random_events()), path)
    message = "item_tower of the class tests.io.test_towers.Normed.*towers={'item_tow"
    with pytest.raises(ValueError, match=message):
        load(path)
    with pytest.raises(ValueError, match=message):
        load(path, towers={"user_tower": Normed})
    with pytest.raises(ValueError, match="towers must be a dict.*Got.*'items'"):
        load(path, towers={"items": Normed})
    with pytest.raises(TypeError, match="towers must be a dict.*Got 3"):
        load(path, towers=3)
    for call in (load, lambda unfit: dump(small(), unfit)):
        with pytest.raises(TypeError, match="path must be a str or a path-like.* 3"):
            call(3)


@pytest.mark.slow
@pytest.mark.parametrize("tower", [nn.LazyLinear(7), nn.Sequential(Normed())])
def test_another_tower_is_refused(tower, path):
    dump(small(item_tower=Normed).fit(random_events()), path)
    with pytest.raises(ValueError, match="is not the one that was written"):
        load(path, towers={"item_tower": tower})


@pytest.mark.slow
def test_a_tower_that_is_no_module_is_refused(path):
    dump(small(item_tower=Normed).fit(random_events()), path)
    for tower in (3, lambda n: "tower"):
        with pytest.raises((TypeError, ValueError), match="item_tower must be"):
            load(path, towers={"item_tower": tower})


@pytest.mark.slow
def test_reading_changes_no_random_state_of_torch(path):
    dump(small(hidden_layer_sizes=(4,)).fit(random_events()), path)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    load(path)
    assert torch.rand(1) == expected
