"""What short fits share: their parameters, and what is to be found."""

import numpy as np
from scipy import sparse

from sktwotower._tables._event_table import EventTable
from sktwotower.recommender._short_fit import shortened, to_find
from sktwotower.towers._recipe import Recipe
from tests.builders import small


def test_known_pairs_and_unknown_items_are_not_to_be_found():
    past = EventTable.of(np.array([0, 1]), np.array([0, 1]), (2, 4)).chosen_pairs()
    truth = sparse.csr_matrix(np.array([[1, 1, 0, 1], [0, 1, 0, 0]], np.float32))
    found = to_find(truth, past, np.array([True, True, False, False]))
    assert found.toarray().tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]


def test_short_fits_hide_and_correct_what_the_long_one_does():
    kept = {"iterator_train__correction": None, "iterator_train__feature_dropout": 0.1}
    others = {"iterator_train__n_negatives": 9, "max_epochs": 70}
    recipe = shortened(Recipe.of(small(net_params=kept | others)), normalize=False)
    assert recipe.net_params == kept and not recipe.normalize
    assert shortened(Recipe.of(small())).net_params == {}
