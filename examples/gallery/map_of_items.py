"""
A map of the products
=====================

Products are near each other if the same customers bought them. The model has seen no
names, but products of one kind lie together.
"""

import matplotlib.pyplot as plt

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import load_online_retail
from sktwotower.plots import EmbeddingMapDisplay
from sktwotower.preprocessing import k_core

# %%
# Only products with at least 100 customers are shown.

shop = load_online_retail()
X = shop.data[["customer", "product"]].drop_duplicates()
X = X[k_core(X, (10, 100))]
model = TwoTowerRecommender(max_epochs=10, embedding_dim=64, random_state=0).fit(X)

# %%
# Colors show a word in the name of the product.

names = shop.products.set_index("product")["description"]
kinds = names[model.item_ids_].str.extract("(REGENCY|LUNCH|CHRISTMAS|CAKE|BAG)")[0]

_, ax = plt.subplots(layout="constrained")
EmbeddingMapDisplay.from_estimator(
    model, color=kinds.str.lower(), method="tsne", random_state=0, ax=ax
)
ax.get_legend().remove()  # the names are in the map
ax.set_title("Products of one kind lie together")
plt.show()
