"""
One search, two shoppers
========================

Two shoppers search for the same word, and each gets a list of their own. The words are
the context of the request. ``examples/search.py`` compares this with a search of texts.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sktwotower import TowerVectorizer, TwoTowerRecommender
from sktwotower.datasets import load_online_retail

# %%
# Nobody recorded the searches of this shop. So they are made up: one word from the name
# of what was bought.

rng = np.random.default_rng(0)
shop = load_online_retail()
names = shop.products.set_index("product")["description"]
X = shop.data.query("time >= '2011-09-01'")[["customer", "product"]].drop_duplicates()
X["words"] = [rng.choice(names[product].split()) for product in X["product"]]
model = TwoTowerRecommender(
    context="words",
    context_transformer=TowerVectorizer(kinds={"words": "text"}),
    max_epochs=5,
    embedding_dim=128,
    random_state=0,
).fit(X)

# %%
# One of them bought lunch boxes, the other one bought Christmas decorations.

bought = {
    "a": ["SPACEBOY LUNCH BOX", "DOLLY GIRL LUNCH BOX"],
    "b": ["PAPER CHAIN KIT 50'S CHRISTMAS", "VINTAGE CHRISTMAS STOCKING"],
}
history = {who: names.index[names.isin(what)].tolist() for who, what in bought.items()}
search = pd.DataFrame({"customer": ["a", "b"], "words": "bag"})
top = model.recommend(search, n_neighbors=3, history=history)
scores = model.recommend(search, history=history, candidates=top["product"].unique())
scores = scores.pivot(index="product", columns="customer", values="score")
scores = scores.loc[(scores["a"] - scores["b"]).sort_values().index]

_, ax = plt.subplots(layout="constrained")
for who, label in {"a": "bought lunch boxes", "b": "bought decorations"}.items():
    name = names[scores.index].str.capitalize()
    ax.plot(scores[who], name, "o", markersize=16, label=label)
ax.set_xlabel('score of a search for "bag"')
ax.legend(loc="lower center", bbox_to_anchor=(0.3, 1), ncols=2)
ax.set_title("The same search, in another order", loc="right", pad=40)
plt.show()
