"""
Vectors of images
=================

A picture of a product becomes a vector, and the vector a feature. So a new picture is
recommended to those who chose similar ones.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from sktwotower import TwoTowerRecommender

# %%
# The pictures are the handwritten digits of scikit-learn, and their pixels the vectors.
# A model of images would return better ones. The choices are made up: each visitor
# likes two digits. Nobody could choose the last 800 pictures.

digits = load_digits()
pictures = pd.DataFrame({"picture": range(len(digits.data))})
pictures["pixels"] = list(digits.data / 16)
rng = np.random.default_rng(0)
liked = rng.permuted(np.tile(np.arange(10), (500, 1)), axis=1)[:, :2]
rows = [
    (visitor, picture)
    for visitor, pair in enumerate(liked)
    for picture in rng.choice(np.flatnonzero(np.isin(digits.target[:-800], pair)), 20)
]
X = pd.DataFrame(rows, columns=["visitor", "picture"]).drop_duplicates()

# %%
# Ask for new pictures only.

model = TwoTowerRecommender(items=pictures, id_dropout=1, random_state=0).fit(X)
new = pictures["picture"][-800:]
top = model.recommend([0], n_neighbors=16, candidates=new)["picture"]
chosen = X.loc[X["visitor"] == 0, "picture"][:16]

padded = np.pad(digits.images, ((0, 0), (1, 1), (1, 1)))
_, ax = plt.subplots(layout="constrained")
for left, each in ((0, chosen), (44, top)):
    block = np.block([list(row) for row in padded[each].reshape(4, 4, 10, 10)])
    ax.imshow(block, cmap="Blues", extent=(left, left + 40, 0, 40))
ax.set(xlim=(0, 84), xticks=[20, 64], xticklabels=["chosen", "recommended"], yticks=[])
ax.spines[:].set_visible(False)
ax.set_title("New pictures show the digits that were chosen")
plt.show()
