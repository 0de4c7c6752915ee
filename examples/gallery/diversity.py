"""
Lists that differ more
======================

The nearest items are often alike: six lunch bags in a row. With ``diversity`` the items
of a list differ more. The picture shows what that costs.
"""

import matplotlib.pyplot as plt

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import load_online_retail
from sktwotower.model_selection import TimeSplit
from sktwotower.plots import RecallDiversityDisplay

shop = load_online_retail()
X = shop.data[["customer", "product", "time"]].drop_duplicates(["customer", "product"])
split = TimeSplit(0.2, time="time", drop_unseen_users=True, drop_unseen_items=True)
train, test = (X.iloc[rows] for rows in next(split.split(X)))
model = TwoTowerRecommender(max_epochs=10, embedding_dim=128, random_state=0)
model.fit(train)

# %%
# Each point is a value of ``recommend(..., diversity=...)``: 0 is the plain order.

_, ax = plt.subplots(layout="constrained")
RecallDiversityDisplay.from_estimator(
    model, test, max_users=400, random_state=0, ax=ax, markersize=10
)
ax.set_title("Much diversity costs recall")
plt.show()
