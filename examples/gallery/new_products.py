"""
Products that nobody has bought yet
===================================

Half of the products are hidden from the model, as if they came tomorrow. Their names
are enough to find buyers. Popularity says nothing about them.
"""

import matplotlib.pyplot as plt

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import load_online_retail
from sktwotower.model_selection import ColdItemSplit
from sktwotower.plots import RecallCurveDisplay

# %%
# ``id_dropout=1`` hides all ids in training: the model then learns the words.

shop = load_online_retail()
X = shop.data[["customer", "product"]].drop_duplicates()
known, new = next(ColdItemSplit(test_size=0.5, random_state=0).split(X))
train, test = X.iloc[known], X.iloc[new]
test = test[test["customer"].isin(train["customer"])]
model = TwoTowerRecommender(
    items=shop.products, id_dropout=1, max_epochs=6, embedding_dim=128, random_state=0
).fit(train)

# %%
# The catalog of tomorrow has the new products only.

model.set_catalog(shop.products[shop.products["product"].isin(test["product"])])
_, ax = plt.subplots(layout="constrained")
RecallCurveDisplay.from_estimator(
    model, test, name="two towers", max_users=1000, random_state=0, ax=ax, linewidth=3
)
ax.set_title("Names say who will buy new products")
plt.show()
