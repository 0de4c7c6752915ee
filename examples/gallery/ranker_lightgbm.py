"""
A ranker of LightGBM behind the search
======================================

The first stage retrieves candidates, and LightGBM orders them. The picture shows which
features it uses. Without LightGBM the ranker is that of scikit-learn.
"""

import matplotlib.pyplot as plt

from sktwotower import EASERecommender, TwoStageRecommender
from sktwotower.datasets import load_online_retail
from sktwotower.model_selection import TimeSplit

try:
    from lightgbm import LGBMRanker

    ranker = LGBMRanker(n_estimators=50, num_leaves=7, n_jobs=1, verbose=-1)
except ImportError:
    ranker = None  # HistGradientBoostingClassifier

shop = load_online_retail()
X = shop.data[["customer", "product", "time"]].drop_duplicates(["customer", "product"])
split = TimeSplit(0.2, time="time", drop_unseen_users=True, drop_unseen_items=True)
train, test = (X.iloc[rows] for rows in next(split.split(X)))

# %%
# The ranker learns from what customers bought after the candidates were found.

model = TwoStageRecommender(
    EASERecommender(), ranker, n_candidates=50, time="time", random_state=0
).fit(train)
lost = model.feature_importance(test, n_repeats=1, random_state=0)

_, ax = plt.subplots(layout="constrained")
errors = [lost["ndcg_lost"] - lost["lower"], lost["upper"] - lost["ndcg_lost"]]
ax.barh(lost["group"], lost["ndcg_lost"], xerr=errors, ecolor="gray")
ax.invert_yaxis()
ax.set_xlabel("NDCG lost without it, 95 % interval")
ax.set_title(f"{lost['group'].iloc[0].capitalize()} counts most", loc="right")
plt.show()
