"""
Why this product?
=================

A score is a sum of parts: past purchases, and words of the product. ``explain`` returns
them in words. Blue parts are purchases, orange ones belong to the product.
"""

import matplotlib.pyplot as plt

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import load_online_retail

shop = load_online_retail()
X = shop.data[["customer", "product"]].drop_duplicates()
model = TwoTowerRecommender(
    items=shop.products, max_epochs=10, embedding_dim=128, random_state=0
).fit(X)

# %%
# A new customer bought a cake stand and a teacup.

bought = {"new": ["22423", "22699"]}
first = model.recommend(["new"], history=bought)["product"][0]
why = model.explain("new", first, history=bought, names="description")
print(why[["side", "reason", "contribution"]].round(3))

top = why.head(7)
colors = top["side"].map({"history": "C0", "item": "C1", "user": "C2"})
_, ax = plt.subplots(layout="constrained")
ax.barh(top["reason"].str.lower(), top["contribution"], color=colors)
ax.invert_yaxis()
ax.set_xlabel("part of the score")
name = shop.products.set_index("product")["description"][first]
ax.set_title(f"Why {name.lower()}?", loc="right")
plt.show()
