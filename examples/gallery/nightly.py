"""
Learn what is new
=================

A model that learns new purchases stays up to date. ``examples/nightly.py`` is the whole
job of a night.
"""

import matplotlib.pyplot as plt

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import load_online_retail
from sktwotower.plots import PrequentialDisplay

shop = load_online_retail()
X = shop.data[["customer", "product", "time"]].drop_duplicates(["customer", "product"])
model = TwoTowerRecommender(max_epochs=10, embedding_dim=64, random_state=0)

# %%
# The first half of the purchases is learnt at once. Then every two weeks are a test:
# models that have not seen their purchases rank the products. Then they are learnt.

_, ax = plt.subplots(layout="constrained")
PrequentialDisplay.from_estimator(
    model,
    X,
    time="time",
    freq="14D",
    scoring="recall@20",
    strategies=["frozen", "partial_fit"],
    ax=ax,
    linewidth=3,
)
ax.set(xlabel="start of the two weeks", ylabel="recall@20 of the two weeks")
ax.set_title("Without learning, recall falls")
plt.show()
