"""What features say about who chooses what, before training."""

import numpy as np
import pytest
from scipy import sparse

from sktwotower.towers._batches import TrainingSet, UserBatches
from sktwotower.towers._dropout import id_shares
from sktwotower.towers._features_worth import features_worth, profile_auc


def csr(array):
    return sparse.csr_matrix(np.asarray(array, dtype=np.float32))


# Users 0 and 1 choose items 0 to 3, users 2 and 3 items 4 to 7.
CHOSEN = csr(np.kron(np.eye(2), np.ones((2, 4))))
# A level for each half of the items.
TELLING = csr(np.repeat(np.eye(2), 4, axis=0))
# The levels swap places between neighbors: both halves have both.
SILENT = csr(np.tile(np.eye(2), (4, 1)))


def with_ids(features):
    n = features.shape[0]
    return sparse.hstack([sparse.identity(n), features], format="csr", dtype=np.float32)


def many(chosen):
    """Repeat the users until there are enough events."""
    return sparse.vstack(80 * [chosen], format="csr")


def test_the_profile_prefers_what_is_like_the_past():
    # the past has the item's level, and no other user's item has it
    assert profile_auc(CHOSEN, TELLING) == 1.0
    # without the item, the past holds its level once and the other twice. The item
    # compared is of the other half: a tie with the same level, else it wins
    assert profile_auc(CHOSEN, SILENT) == pytest.approx(0.25, abs=0.03)
    # each item has both levels, which have no weight
    assert profile_auc(CHOSEN, csr(np.ones((8, 2)))) == 0.5


def test_nothing_to_compare_with():
    assert profile_auc(csr(np.ones((3, 8))), TELLING) == 0.5


def test_values_do_not_count_as_several_choices():
    assert profile_auc(5 * CHOSEN, SILENT) == profile_auc(CHOSEN, SILENT)


def test_worth_is_the_auc_between_two_bounds(monkeypatch):
    rows = with_ids(TELLING)
    for auc, worth in [(0.3, 0.02), (0.7, 0.02), (0.75, 0.02**0.5), (0.8, 1), (1, 1)]:
        monkeypatch.setattr(
            "sktwotower.towers._features_worth.profile_auc", lambda *_, auc=auc: auc
        )
        assert features_worth(many(CHOSEN), rows) == pytest.approx(worth)


def test_ids_are_not_part_of_what_is_judged():
    assert features_worth(many(CHOSEN), with_ids(TELLING)) == 1.0
    assert features_worth(many(CHOSEN), with_ids(SILENT)) == 0.02


@pytest.mark.parametrize(
    ("chosen", "rows"),
    [
        (CHOSEN, with_ids(SILENT)),  # too few events
        (many(CHOSEN), csr(np.eye(8))),  # ids only
        (many(CHOSEN), csr(np.zeros((8, 3)))),
    ],
)
def test_nothing_to_judge(chosen, rows):
    assert features_worth(chosen, rows) == 1.0


def test_worth_multiplies_the_odds():
    # 10 * 0.5 * 0.2 = 1 against n * 0.5
    np.testing.assert_allclose(id_shares(0.5, [1, 2, 18], 0.2), [2 / 3, 1 / 2, 1 / 10])


@pytest.mark.parametrize(("features", "worth"), [(TELLING, 1.0), (SILENT, 0.02)])
def test_batches_hide_the_ids_of_items_by_their_worth(features, worth):
    chosen = many(CHOSEN)
    data = TrainingSet(csr(np.ones((320, 1))), with_ids(features), chosen, chosen)
    shares = UserBatches(data, id_dropout=0.5).item_dropout.id_shares
    np.testing.assert_allclose(shares, id_shares(0.5, np.full(8, 160), worth))
    # who asks for all or for none gets it
    for given in (0.0, 1.0):
        shares = UserBatches(data, id_dropout=given).item_dropout.id_shares
        assert (shares == given).all()
