"""Changes of training that ablations measure, worked out by hand."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import sparse

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import _other_training  # noqa: E402
from _other_training import CHANGES  # noqa: E402

from sktwotower.towers._losses import SampledSoftmaxLoss, Targets  # noqa: E402
from sktwotower.towers._spectrum import Spectrum  # noqa: E402
from sktwotower.towers.parts._filter import LinearFilter  # noqa: E402

USERS, ITEMS = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])


def loss_of(weights=(1.0, 1.0)):
    """Return the loss, whose first user chose item 0 and whose second chose item 1."""
    offsets, chosen = torch.tensor([0, 1, 2]), torch.tensor([0, 1])
    users = USERS.clone().requires_grad_()
    targets = Targets(offsets, chosen, torch.tensor(weights), total_weight=2.0)
    value = SampledSoftmaxLoss(temperature=0.5)(users, ITEMS, targets)
    value.backward()
    return value.item(), users.grad.flatten().tolist()


def test_a_loss_cut_at_a_rank_weighs_positives(monkeypatch):
    monkeypatch.setattr(_other_training, "RANK", 2)
    before = loss_of()
    with CHANGES["cut_at_rank"]():
        cut = loss_of()
    # The second places have the scores .6 and .8; the chosen items have 1 and .8.
    weights = [1 / (1 + torch.tensor(-0.4 / 0.3).exp()).item(), 0.5]
    value, grad = loss_of(weights)
    assert cut[0] == pytest.approx(value)
    assert cut[1] == pytest.approx(grad)
    assert cut[0] < before[0]
    assert loss_of() == before  # the change ends with its block


OTHERS = {"cut_at_rank", "filter_as_ease"}


@pytest.mark.parametrize("name", [name for name in CHANGES if name not in OTHERS])
def test_a_change_of_training_changes_vectors_inside_its_block_only(name):
    import pandas as pd

    from sktwotower import TwoTowerRecommender

    chain = [(u, f"i{(u + n) % 5}", n) for u in range(9) for n in range(4)]
    events = pd.DataFrame(chain, columns=["user", "item", "time"])

    def vectors():
        model = TwoTowerRecommender(
            time="time", max_epochs=2, half_life=None, random_state=0
        )
        return model.fit(events).item_embeddings_.tolist()

    before = vectors()
    with CHANGES[name]():
        assert vectors() != before
    assert vectors() == before


def test_a_filter_as_ease_has_the_weights_of_ease(monkeypatch):
    rng = np.random.default_rng(0)
    chosen = rng.random((30, 7)) < 0.4
    users, items = chosen.sum(axis=1), chosen.sum(axis=0)
    normalized = chosen / np.sqrt(np.maximum(users, 1))[:, None] / np.sqrt(items)
    _, values, vectors = np.linalg.svd(normalized, full_matrices=False)
    monkeypatch.setattr(_other_training, "PENALTY", 0.3)
    plan = SimpleNamespace(recipe=SimpleNamespace(embedding_dim=9, device="cpu"))
    rows = SimpleNamespace(item_rows=sparse.identity(7, format="csr"))
    with CHANGES["filter_as_ease"]():
        part = LinearFilter.start(
            plan, rows, lambda k: Spectrum(vectors.T, values, items)
        )
    past, item = part.history.weight, part.item_tower.sparse.weight
    found = (past[:, :7] @ item[:, :7].T).detach().numpy()
    found *= np.sqrt(items)[:, None] / np.sqrt(items)
    inverse = np.linalg.inv(normalized.T @ normalized + 0.3 * np.eye(7))
    expected = -inverse / np.diag(inverse)
    others = ~np.eye(7, dtype=bool)
    ratio = found[others] / expected[others]
    assert ratio[0] > 0
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
