"""The examples of the methods that `TwoStageRecommender` inherits.

Input: events that suffice to train a ranker.
Output: the examples by method, for `own_examples`.
"""

__all__ = ["PRINTED"]

FITTED = """
>>> import numpy as np
>>> from sktwotower import PopularityRecommender, TwoStageRecommender
>>> shelves = [["tea", "jam", "bread", "honey", "rusks", "cocoa"],
...            ["rake", "hose", "seeds", "spade", "pots", "soil"]]
>>> rng = np.random.default_rng(0)
>>> X = [[user, item] for user in range(60)
...      for item in rng.permutation(shelves[user % 2])[:4]]
>>> model = TwoStageRecommender(PopularityRecommender(), random_state=0).fit(X)
"""

PRINTED = {
    "forget_users": FITTED
    + """\
>>> model = model.forget_users([0])
>>> 0 in model.user_ids_
False
>>> model.seen_items([0])
Empty DataFrame
Columns: [user, item]
Index: []
""",
    "kneighbors": FITTED
    + """\
>>> distances, indices = model.kneighbors([0, 1], n_neighbors=3)
>>> model.item_ids_[indices]
array([['tea', 'jam', 'rake'],
       ['rake', 'spade', 'tea']], dtype=object)
>>> distances.round(2)
array([[0.  , 0.5 , 0.67],
       [0.  , 0.5 , 0.67]], dtype=float32)
""",
    "kneighbors_graph": FITTED
    + """\
>>> graph = model.kneighbors_graph([0, 1], n_neighbors=2)
>>> [model.item_ids_[row.indices].tolist() for row in graph]
[['tea', 'jam'], ['rake', 'spade']]
""",
    "rank_held_out": FITTED
    + """\
>>> later = [[0, "tea"], [1, "spade"]]
>>> ranking = model.rank_held_out(later, n_neighbors=3)
>>> model.item_ids_[ranking.indices]  # the first three of each customer
array([['tea', 'jam', 'rake'],
       ['rake', 'spade', 'tea']], dtype=object)
>>> ranking.truth.toarray().sum(axis=1)  # how many each of them chose
array([1., 1.])
""",
    "recommend": FITTED
    + """\
>>> model.recommend([0, 1], n_neighbors=2).round(2)
   user   item  score  rank
0     0    tea    1.0     1
1     0    jam    0.5     2
2     1   rake    1.0     1
3     1  spade    0.5     2

A new customer, who has put tea and jam into the basket, choosing from three items:

>>> offers = ["rake", "bread", "honey"]
>>> model.recommend([99], 2, history={99: ["tea", "jam"]}, candidates=offers).round(2)
   user   item  score  rank
0    99  bread    1.0     1
1    99  honey    0.5     2
""",
    "score": FITTED
    + """\
>>> later = [[0, "tea"], [1, "spade"]]
>>> model.set_params(n_neighbors=1).score(later)  # mean over users
0.5
""",
    "seen_items": FITTED
    + """\
>>> model.seen_items([0])
   user   item
0     0  bread
1     0  cocoa
2     0  honey
3     0  rusks
""",
}
