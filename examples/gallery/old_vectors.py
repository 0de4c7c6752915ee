"""
Old vectors after a new fit
===========================

Vectors of two fits have nothing to do with each other. ``align_to`` turns those of the
new one, so that stored vectors of customers can be searched in the new index.
"""

import matplotlib.pyplot as plt
import numpy as np

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import load_online_retail

X = load_online_retail().data[["customer", "product", "time"]]
settings = {"max_epochs": 10, "embedding_dim": 64, "sparse_parts": None}
monday = X.loc[X["time"] < "2011-11-28", ["customer", "product"]]
older = TwoTowerRecommender(**settings, random_state=0).fit(monday)

# %%
# A week later the model is fitted anew, with another seed.

week_after = X.loc[X["time"] < "2011-12-05", ["customer", "product"]]
model = TwoTowerRecommender(**settings, random_state=1).fit(week_after)
before = model.recommend(older.user_ids_)
model.align_to(older)
same = before.equals(model.recommend(older.user_ids_))
print("the lists of the model are the same:", same)
print(model.alignment_.round(2))

# %%
# How much of a list of ten stays if one side is a week old?

figures = model.alignment_[["overlap_old_items", "overlap_old_users"]]
_, ax = plt.subplots(layout="constrained")
places = np.arange(2)
ax.bar(places, figures.loc["before"], 0.4, label="not aligned")
ax.bar(places + 0.4, figures.loc["after"], 0.4, label="aligned")
ax.set_xticks(places + 0.2, ["old products", "old customers"])
ax.set(ylabel="share of the new list", ylim=(0, 1))
ax.set_title("Aligned, old vectors stay in use")
ax.legend()
plt.show()
