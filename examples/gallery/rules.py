"""
Rules of a shop
===============

A list may hold products up to five pounds only, and two of a kind at most. ``where=``
and ``max_per=`` belong to the request, so rules change without a new fit.
"""

import matplotlib.pyplot as plt

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import load_online_retail

# %%
# Rules read the columns of the table of products.

shop = load_online_retail()
price = shop.data.groupby("product")["unit_price"].median().rename("price")
products = shop.products.merge(price, on="product")
kinds = "(TEACUP|TEA PLATE|TEAPOT|CAKE|JUG|BOWL|TIN|TRAY)"
products["kind"] = products["description"].str.extract(kinds)[0]
X = shop.data[["customer", "product"]].drop_duplicates()
model = TwoTowerRecommender(
    items=products, max_epochs=5, embedding_dim=128, random_state=0
).fit(X)

# %%
# The same customer, without rules and with two of them.

who = {"X": ["new"], "history": {"new": ["22423", "22699"]}, "n_neighbors": 8}
free = model.recommend(**who)
ruled = model.recommend(**who, where={"price": (None, 5)}, max_per={"kind": 2})

_, ax = plt.subplots(layout="constrained")
for left, top in ((0, free), (1, ruled)):
    top = top.merge(products, on="product")
    ax.barh(top["rank"], 0.96, left=left - 0.48)
    for row in top.itertuples():
        text = f"{row.description.capitalize()}\n£{row.price:.2f}"
        ax.text(left - 0.45, row.rank, text, va="center", color="black", size="small")
ax.invert_yaxis()
ax.spines[:].set_visible(False)
ax.set(
    xticks=[0, 1],
    xticklabels=["no rules", "up to £5, two of a kind"],
    yticks=range(1, 9),
)
ax.tick_params(length=0, labeltop=True, labelbottom=False)
ax.set_title("Two rules change the list")
plt.show()
