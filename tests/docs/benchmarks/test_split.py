"""Whether a held-out part is a random one."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from bench_split import drawn, spread  # noqa: E402


def events(n_users=200, n_each=20, n_items=40):
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(n_users), n_each)
    items = np.concatenate(
        [rng.choice(n_items, n_each, replace=False) for _ in range(n_users)]
    )
    return users, items


def test_the_spread_of_a_random_part_is_one():
    users, items = events()
    rng = np.random.default_rng(1)
    held = np.arange(len(users)) % 4 == 0
    found = [spread(drawn(held, users, rng), users, items) for _ in range(50)]
    assert np.mean(found) == pytest.approx(1, abs=0.1)


def test_a_part_of_certain_items_is_far_from_random():
    users, items = events()
    held = items < 10
    assert spread(held, users, items) > 20
    other = drawn(held, users, np.random.default_rng(0))
    assert (np.bincount(users, other) == np.bincount(users, held)).all()
    assert spread(other, users, items) < 2
