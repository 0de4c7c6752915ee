"""
What goes with a basket
=======================

A till knows no customers, only receipts. Each receipt is a user of its own, and a new
basket comes with the request.
"""

import matplotlib.pyplot as plt

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import load_online_retail

# %%
# No column of customers is read.

shop = load_online_retail()
receipts = shop.data[["invoice", "product"]].drop_duplicates()
model = TwoTowerRecommender(max_epochs=5, embedding_dim=128, random_state=0)
model.fit(receipts)

# %%
# The basket: a lunch box, and a lunch bag of the same design.

basket = ["22629", "22382"]
top = model.recommend(["new"], n_neighbors=8, history={"new": basket})
top = top.merge(shop.products)
names = shop.products.set_index("product")["description"]
print("In the basket:", *names[basket], sep="\n")

_, ax = plt.subplots(layout="constrained")
ax.barh(top["description"].str.capitalize(), top["score"])
ax.invert_yaxis()
ax.set_xlabel("score")
ax.set_title(f"Goes with {names[basket[0]].lower()}", loc="right")
plt.show()
