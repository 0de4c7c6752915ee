"""Of which parts a model consists, before any of them exists."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse
from torch import nn

from sktwotower._tables import _memory
from sktwotower.towers._recipe import Recipe
from sktwotower.towers.parts import SharedSpectrum, _plan, lengths, main_kind
from sktwotower.towers.parts._filter import LinearFilter
from sktwotower.towers.parts._plan import Plan
from sktwotower.towers.parts._trained import GivenTowers, PooledTowers, RecentTowers
from tests.builders import small


@pytest.mark.parametrize(
    ("params", "kind"),
    [
        ({"history": "recent"}, RecentTowers),
        ({"history": "pooled"}, PooledTowers),
        ({"history": None}, PooledTowers),
        ({"history": "recent", "item_tower": nn.LazyLinear(8)}, GivenTowers),
        ({"history": "pooled", "user_tower": nn.LazyLinear(8)}, GivenTowers),
    ],
    ids=str,
)
def test_the_first_part_follows_from_the_history_and_from_towers_given(params, kind):
    assert main_kind(Recipe.of(small(**params))) is kind


def test_parts_share_the_length_of_a_vector():
    two, filtered = [RecentTowers, PooledTowers], [PooledTowers, LinearFilter]
    assert lengths(8, two) == [6, 2] and lengths(7, two) == [6, 1]
    assert lengths(2, two) == [1, 1] and lengths("auto", two) == [192, 64]
    assert lengths(12, filtered) == [8, 4] and lengths(13, filtered) == [9, 4]
    assert lengths("auto", filtered) == [256, 128]
    assert lengths(13, [GivenTowers]) == [13]
    assert lengths("auto", [PooledTowers]) == [256]


def test_parts_share_singular_vectors_that_are_computed_once(monkeypatch):
    asked = []

    def spy(chosen, size, seed):
        asked.append((size, seed))
        return "a spectrum"

    monkeypatch.setattr(_plan, "spectrum_of", spy)
    spectrum = SharedSpectrum(sparse.csr_matrix((30, 20)), 6, seed=3)
    assert [spectrum(k) for k in (4, 6, 2)] == ["a spectrum"] * 3
    assert asked == [(6, 3)]


class OneMillion:
    """A kind of part with a million weights."""

    is_trained = True

    @staticmethod
    def count_weights(recipe, events):
        return 10**6


class Computed(OneMillion):
    is_trained = False


@pytest.mark.parametrize(
    ("params", "n_items", "millions"),
    [
        # two parts, gradients of one, 128 rows of 6,000 numbers
        ({}, 3, 2 + 1 + 0.768),
        # vectors of the items in two types, which are computed after the training
        ({}, 10**6, 2 + 2 * 6_000),
        ({"optimizer": "adam"}, 3, 2 + 3 + 0.768),
        ({"early_stopping": True}, 3, 2 + 2 + 0.768),
        ({"user_tower": object, "item_tower": object}, 10**6, 2 + 1),
    ],
)
def test_all_parts_must_fit_into_memory_together(
    params, n_items, millions, monkeypatch
):
    side = SimpleNamespace(rows=np.zeros((3, 3)))
    positives = SimpleNamespace(shape=(3, n_items))
    events = SimpleNamespace(users=side, items=side, positives=positives, contexts=None)
    recipe = Recipe.of(small(**{"embedding_dim": 3_000} | params))
    plans = [Plan(kind, 0.5, recipe, events) for kind in (OneMillion, Computed)]
    monkeypatch.setattr(_memory, "SMALL", 0)
    monkeypatch.setattr(_memory, "memory_of_process", lambda: 4e6 * millions)
    _plan._check_size(plans)
    monkeypatch.setattr(_memory, "memory_of_process", lambda: 4e6 * millions - 1)
    with pytest.raises(ValueError, match="embedding_dim=6000 .* and 3 of items, take"):
        _plan._check_size(plans)
