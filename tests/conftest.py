import numpy as np
import pandas as pd
import pytest
import torch

# Tiny tensors: more threads only wait for one another.
torch.set_num_threads(1)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def events():
    """Two groups of ten users; each user chose four of the six items of the group."""
    rng = np.random.default_rng(0)
    rows = [
        (f"u{group}{user}", f"i{group}{item}")
        for group in range(2)
        for user in range(10)
        for item in rng.choice(6, 4, replace=False)
    ]
    return pd.DataFrame(rows, columns=["user", "item"])


def pytest_collection_modifyitems(items):
    # In a new environment the neighbor graph compiles for a minute and a half: begin
    # with it, so that other tests can run in parallel.
    items.sort(key=lambda item: item.path.name != "test_indexes.py")
