"""
A customer who is new
=====================

No new fit is needed: what a new customer chose comes with the request. One purchase
says more than the country.
"""

import matplotlib.pyplot as plt

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import load_online_retail
from sktwotower.metrics import recall_at_k
from sktwotower.model_selection import ColdUserSplit

# %%
# A fifth of the customers are hidden from the model.

shop = load_online_retail()
X = shop.data[["customer", "product"]].drop_duplicates()
known, new = next(ColdUserSplit(test_size=0.2, random_state=0).split(X))
train, test = X.iloc[known], X.iloc[new]
model = TwoTowerRecommender(
    users=shop.customers, max_epochs=10, embedding_dim=128, random_state=0
).fit(train)

# %%
# What comes after the tenth purchase is to be found: the next ten products.

test = test[test["product"].isin(train["product"])]
place = test.groupby("customer").cumcount()
later = test[(place >= 10) & (place < 20)]
counts = {"country only": 0, "last purchase": 1, "last 3": 3, "last 10": 10}
found = []
for n in counts.values():
    last = test[(place >= 10 - n) & (place < 10)] if n else None
    ranking = model.rank_held_out(later, n_neighbors=20, history=last)
    found.append(100 * recall_at_k(ranking.truth, ranking.indices, k=20))

_, ax = plt.subplots(layout="constrained")
ax.bar(counts.keys(), found)
ax.set(xlabel="what is known", ylabel="% of the next ten in the list")
ax.set_title("One purchase says more than the country")
plt.show()
