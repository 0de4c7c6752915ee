"""A lock of each estimator."""

import pickle

from sklearn.base import clone

from sktwotower import ClickRateRecommender
from sktwotower._tables._one_writer import one_writer


def test_each_estimator_has_one_that_nothing_else_has():
    model = ClickRateRecommender()
    lock = one_writer(model)
    assert one_writer(model) is lock
    for other in (clone(model), pickle.loads(pickle.dumps(model))):
        assert one_writer(other) is not lock
    with lock, one_writer(model):  # a call may change the model by another one
        assert vars(model) == vars(ClickRateRecommender())
