"""
How much should a service explore?
==================================

A log of lists that are partly drawn by chance tells what other lists would have earned.
The less chance there is in it, the wider the interval.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sktwotower import PopularityRecommender, TwoTowerRecommender
from sktwotower.datasets import make_interactions
from sktwotower.metrics import off_policy_value

# %%
# A made shop shows best sellers, two to a visitor. A simulation knows how often each
# visitor chooses each item:

shop = make_interactions(1000, 60, interactions_per_user=8, random_state=0)
events = shop.data[["user", "item"]]
chances = np.minimum(5 * shop.item_probabilities[shop.user_cluster], 1)
rng = np.random.default_rng(0)


def shown(lists):
    """Add what visitors do: 1 where they choose the item."""
    chance = chances[lists["user"], lists["item"]]
    return lists.assign(reward=(rng.random(len(lists)) < chance) * 1)


sellers = PopularityRecommender().fit(events)
towers = TwoTowerRecommender(random_state=0).fit(events)
visitors = np.repeat(sellers.user_ids_, 4)

# %%
# The same shop with more and more chance in its lists. Each log gives an estimate of
# what two towers would earn, before anybody sees their lists. The mean weight is near 1
# if the log shows what the towers show:

rows = []
for temperature in [0.01, 0.014, 0.02, 0.03, 0.05, 0.1]:
    log = shown(sellers.recommend(visitors, 2, explore=temperature, random_state=0))
    value = off_policy_value(towers, log, explore=0.2)
    rows.append(value.table.loc["self-normalized"].rename(temperature))
    rows[-1]["logged"] = value.table.loc["logged", "value"]
    rows[-1]["mean weight"] = value.by_rank.loc[2, "mean weight"]
values = pd.DataFrame(rows).rename_axis("temperature")
values[["logged", "value", "lower", "upper", "mean weight"]].round(3)

# %%
# What the towers earn if their lists are shown, which only a simulation can tell. All
# intervals hold it. Here chance costs the shop nothing: best sellers are not what most
# visitors want.

earned = shown(towers.recommend(visitors, 2, explore=0.2, random_state=1))
earned = earned["reward"].sum() / len(visitors)

_, ax = plt.subplots(layout="constrained")
ax.fill_between(values.index, values["lower"], values["upper"], alpha=0.25)
ax.plot(values.index, values["value"], marker="o", label="two towers, estimated")
ax.axhline(earned, color="gray", linestyle=":", label="two towers, if shown")
ax.plot(values.index, values["logged"], marker="o", label="the lists of the log")
ax.set_xscale("log")
ax.set(xlabel="temperature of the lists of the log", ylabel="choices per visit")
ax.legend()
ax.set_title("Chance in the log narrows the interval")
plt.show()
