"""Of which parts a model consists, before any of them exists."""

import pytest
from scipy import sparse
from torch import nn

from sktwotower.towers._recipe import Recipe
from sktwotower.towers.parts import SharedSpectrum, _plan, lengths, main_kind
from sktwotower.towers.parts._filter import LinearFilter
from sktwotower.towers.parts._given import GivenTowers
from sktwotower.towers.parts._pooled import PooledTowers
from sktwotower.towers.parts._recent import RecentTowers
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
    assert lengths(8, two) == [4, 4] and lengths(7, two) == [4, 3]
    assert lengths(2, two) == [1, 1] and lengths("auto", two) == [128, 128]
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
