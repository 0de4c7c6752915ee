"""
The first parameter to tune
===========================

A low ``temperature`` stresses the candidates with the highest scores. Scikit-learn's
search compares its values, with splits in time.
"""

import matplotlib.pyplot as plt
from sklearn.model_selection import GridSearchCV

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import load_online_retail
from sktwotower.metrics import make_retrieval_scorer
from sktwotower.model_selection import TimeSplit, search_space

# %%
# ``search_space`` names what to tune first, and within which range.

print(search_space(3))

shop = load_online_retail()
X = shop.data[["customer", "product", "time"]].drop_duplicates(["customer", "product"])
X = X[X["customer"] % 2 == 0]  # half of the customers, to be quick
search = GridSearchCV(
    TwoTowerRecommender(max_epochs=10, embedding_dim=64, random_state=0),
    {"temperature": [0.03, 0.05, 0.1, 0.2, 0.4, 0.8]},
    cv=TimeSplit(0.2, time="time", drop_unseen_users=True, drop_unseen_items=True),
    scoring=make_retrieval_scorer("ndcg@20"),
    refit=False,
).fit(X)

_, ax = plt.subplots(layout="constrained")
values = search.cv_results_["param_temperature"].astype(float)
ax.semilogx(values, search.cv_results_["mean_test_score"], "o-", linewidth=3)
ax.set_xticks(values, values)
ax.minorticks_off()
ax.set(xlabel="temperature", ylabel="NDCG@20")
ax.set_title(f"NDCG is highest at temperature {search.best_params_['temperature']}")
plt.show()
