import numpy as np
import pandas as pd
import pytest

from sktwotower import TwoTowerRecommender
from sktwotower.baselines import PopularityRecommender

# users of no fit are asked for with some of their items
N_USERS, N_NEW, N_ITEMS = 400, 100, 150


def choices_without_order(seed):
    """Return choices by taste and popularity: one item says little of a taste."""
    rng = np.random.default_rng(seed)
    popularity = -np.log(np.arange(1, N_ITEMS + 1))
    tastes, items = rng.normal(size=(N_USERS, 6)), rng.normal(size=(N_ITEMS, 6))
    utility = popularity + 0.6 * tastes @ items.T
    utility += rng.gumbel(size=utility.shape)
    n_chosen = rng.poisson(30, N_USERS) + 2
    order = np.argsort(-utility, axis=1)
    rows = [
        (f"u{user:03}", f"i{item:03}")
        for user in range(N_USERS)
        for item in order[user, : n_chosen[user]]
    ]
    events = pd.DataFrame(rows, columns=["user", "item"])
    return events.sample(frac=1, random_state=seed)


def hits_of_new(model, given, others):
    """Return the share of ten items each that new users choose, given one item each."""
    lists = model.recommend(given["user"].tolist(), 10, history=given)
    pairs = lists[["user", "item"]].merge(others)
    return len(pairs) / len(lists)


@pytest.mark.fuzz
def test_a_new_user_with_one_item_is_not_served_worse_than_by_best_sellers():
    hits = []
    for seed in range(3):
        X = choices_without_order(seed)
        is_new = X["user"] < f"u{N_NEW:03}"
        train, new = X[~is_new], X[is_new]
        is_first = ~new["user"].duplicated()
        models = (
            TwoTowerRecommender(random_state=seed, max_epochs=5),
            (PopularityRecommender()),
        )
        asked = new[is_first], new[~is_first]
        hits.append([hits_of_new(model.fit(train), *asked) for model in models])
    ours, best_sellers = np.mean(hits, axis=0)
    assert ours > 0.99 * best_sellers
