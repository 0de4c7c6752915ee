"""The same code on a GPU; skipped where there is none."""

import pickle

import numpy as np
import pytest
import torch

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import make_interactions

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="torch finds no CUDA device"
)


@pytest.fixture(scope="module")
def events():
    return make_interactions(n_users=200, n_items=100, n_impressions=2, random_state=0)


def fitted(events, device, **params):
    params = {"impression_weight": 5.0, "random_state": 0} | params
    model = TwoTowerRecommender(
        embedding_dim=16, max_epochs=10, device=device, **params
    )
    return model.fit(events.data, events.target)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"candidate_sampling": "mixed", "n_negatives": 20, "batch_size": 16},
        {"early_stopping": True},
        {"optimizer": "adamw", "hidden_layer_sizes": (8,)},
        {"history": None, "normalize": False},
    ],
)
def test_training_on_a_gpu_is_as_good_as_on_a_cpu(events, params):
    scores = {
        device: fitted(events, device, **params).score(events.data, events.target)
        for device in ("cpu", "cuda")
    }
    assert scores["cuda"] == pytest.approx(scores["cpu"], abs=0.05)


def test_a_model_of_a_gpu_answers_after_a_pickle(events):
    model = fitted(events, "cuda")
    again = pickle.loads(pickle.dumps(model))
    for one, other in zip(model.kneighbors(), again.kneighbors(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert next(model.net_.module_.parameters()).device.type == "cuda"


def test_the_generator_of_the_gpu_is_left_as_it_was(events):
    before = torch.cuda.get_rng_state()
    fitted(events, "cuda")
    assert torch.equal(before, torch.cuda.get_rng_state())
