"""
Sessions without an account
===========================

Nobody logs in, but the products of one visit belong together. Each visit is a user of
its own. The list gets better with every product that the visitor has looked at.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import load_online_retail
from sktwotower.metrics import recall_at_k
from sktwotower.model_selection import ColdUserSplit
from sktwotower.preprocessing import session_ids

# %%
# A pause of more than an hour ends a visit.

events = load_online_retail().data.query("time >= '2011-10-01'")
gap = pd.Timedelta("1h")
events["visit"] = session_ids(events, gap=gap, time="time", user_id="customer")
visits = events[["visit", "product"]].drop_duplicates()

# %%
# Hold out whole visits, as the visitors of tomorrow are new.

known, new = next(ColdUserSplit(test_size=0.2, random_state=0).split(visits))
train, test = visits.iloc[known], visits.iloc[new]
model = TwoTowerRecommender(max_epochs=20, embedding_dim=128, random_state=0)
model.fit(train)

# %%
# The first n products of a visit are known, and the rest is to be found.

test = test[test["product"].isin(train["product"])]
place = test.groupby("visit").cumcount()
later = test[place >= 10]  # the same purchases are to be found for every n
counts = np.arange(1, 11)
found = []
for n in counts:
    first = test[(place < n) & test["visit"].isin(later["visit"])]
    ranking = model.rank_held_out(later, n_neighbors=20, history=first)
    found.append(100 * recall_at_k(ranking.truth, ranking.indices, k=20))

_, ax = plt.subplots(layout="constrained")
ax.plot(counts, found, "o-", linewidth=3)
ax.set_ylim(0)
ax.set(xlabel="products known", ylabel="% of the later ones in the list")
ax.set_title("Each product makes the list better")
plt.show()
