"""
Forget a user
=============

A customer wants to be forgotten. ``forget_users`` removes the id, the purchases and the
weights. All others get the same answers as before.
"""

import matplotlib.pyplot as plt

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import load_online_retail

shop = load_online_retail()
X = shop.data[["customer", "product"]].drop_duplicates()
model = TwoTowerRecommender(max_epochs=5, embedding_dim=64, random_state=0).fit(X)

# %%
# Customer 12748 leaves. The others stay.

asked = [12748, *model.user_ids_[:5].tolist()]
before = model.recommend(asked, n_neighbors=20, exclude_seen=False)
model.forget_users([12748])
after = model.recommend(asked, n_neighbors=20, exclude_seen=False)
print("known:", 12748 in model.user_ids_)
print("purchases:", len(model.seen_items([12748])))

both = before.merge(after, on=["customer", "product"])
same = both["customer"].value_counts().reindex(asked, fill_value=0)
_, ax = plt.subplots(layout="constrained")
ax.barh([f"customer {who}" for who in asked], same, color=["C1"] + 5 * ["C0"])
ax.invert_yaxis()
ax.set(xlabel="products of the 20 that are still recommended", xticks=range(0, 21, 5))
ax.set_title("Only the first one was forgotten")
plt.show()
