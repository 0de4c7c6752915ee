"""
What they look at is not what they buy
======================================

Visitors look at the large models of a shelf, and buy the small ones. One table holds
both actions. The kind of action is the context, and the request says which is meant.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sktwotower import TwoTowerRecommender

# %%
# A made-up log: 10 shelves, each with 10 large and 10 small models.

rng = np.random.default_rng(0)
rows = []
for visitor in range(300):
    shelf = rng.integers(10)
    for action, size, n in (("view", "large", 6), ("buy", "small", 3)):
        chosen = rng.choice(10, n, replace=False)
        names = [f"{size} {shelf}.{number}" for number in chosen]
        rows.append(pd.DataFrame({"visitor": visitor, "item": names, "action": action}))
log = pd.concat(rows)
model = TwoTowerRecommender(context="action", random_state=0).fit(log)

# %%
# Ask for all visitors: without a word, for views, and for purchases.

small = {}
for action in (None, "view", "buy"):
    top = model.recommend(n_neighbors=3, context={"action": action})
    small[action or "not said"] = 100 * top["item"].str.startswith("small").mean()

_, ax = plt.subplots(layout="constrained")
ax.barh([*small], [100] * 3, label="large models")
ax.barh([*small], small.values(), label="small models")
ax.invert_yaxis()
ax.set(xlabel="% of the recommendations", ylabel="asked for")
ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
ax.set_title("Small models for purchases only", pad=40)
plt.show()
