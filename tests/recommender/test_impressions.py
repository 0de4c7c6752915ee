"""When impressions join the training."""

import pickle

import numpy as np
import pandas as pd
import pytest
from skorch.callbacks import Callback

from tests.builders import batched
from tests.cases import for_each

pytestmark = pytest.mark.slow


def with_impressions(events):
    """Every user was shown an item of the other group, too."""
    users = events["user"].drop_duplicates()
    other = users.str[1].map({"0": "i10", "1": "i00"})
    shown = pd.DataFrame({"user": users, "item": other})
    y = np.r_[np.ones(len(events)), np.zeros(len(shown))]
    return pd.concat([events, shown], ignore_index=True), y


class Joined(Callback):
    """Collect for each epoch whether impressions took part."""

    def __init__(self):
        self.epochs = []

    def on_epoch_end(self, net, dataset_train=None, **kwargs):
        self.epochs.append(dataset_train.impressions is not None)


def joined(events, **params):
    witness = Joined()
    params = {"callbacks": [witness], "impression_weight": 5.0} | params
    model = batched(**params).fit(*with_impressions(events))
    return witness.epochs, model


@for_each(("start", "first"), [(0, 0), (0.25, 1), (0.99, 3), (1.0, 4)])
def test_impressions_join_after_a_share_of_training(events, start, first):
    took_part, model = joined(events, max_epochs=4, impression_start=start)
    assert took_part == [epoch >= first for epoch in range(4)]
    assert "valid_recall" not in model.history_[0]


def test_impressions_without_weight_change_nothing_but_the_catalog(events):
    params = {"impression_start": 0.0, "impression_weight": 0.0}
    took_part, model = joined(events, **params)
    assert not any(took_part) and "valid_recall" not in model.history_[0]
    # Each item was chosen by somebody, so that the catalog is the same as well.
    plain = batched().fit(events)
    np.testing.assert_array_equal(model.item_embeddings_, plain.item_embeddings_)


def test_early_stopping_waits_for_impressions(events):
    took_part, model = joined(
        events,
        max_epochs=40,
        lr=0.05,
        early_stopping=True,
        validation_fraction=0.3,
        n_iter_no_change=2,
    )
    first = took_part.index(True)
    recalls = [row["valid_recall"] for row in model.history_][first:]
    assert len(recalls) == int(np.argmax(recalls)) + 1 + 2
    assert first == 20  # without waiting it would have stopped long before


def test_early_stopping_does_not_wait_for_what_never_comes(events):
    took_part, _ = joined(
        events,
        max_epochs=40,
        lr=0.05,
        early_stopping=True,
        impression_start=1.0,
        n_iter_no_change=2,
    )
    assert len(took_part) < 20


def test_a_fitted_net_keeps_no_impressions(events):
    _, model = joined(events)
    names = [name for name, _ in model.net_.callbacks_]
    assert "impressions" not in names
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.item_embeddings_, model.item_embeddings_)
