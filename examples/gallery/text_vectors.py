"""
Vectors of texts
================

A language model turns a description into a vector. A column of vectors is a feature, so
that a product without buyers has relatives.
"""

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import load_online_retail

# %%
# TF-IDF and a truncated SVD stand in for the language model, as they need no download.
# With sentence-transformers, ``encoder.encode`` returns the vectors.

shop = load_online_retail()
encoder = make_pipeline(TfidfVectorizer(), TruncatedSVD(200, random_state=0))
vectors = encoder.fit_transform(shop.products["description"])
products = shop.products[["product"]].assign(meaning=list(vectors))
X = shop.data[["customer", "product"]].drop_duplicates()
model = TwoTowerRecommender(
    items=products,
    id_dropout=1,  # learn from the vectors, not from the ids
    max_epochs=5,
    embedding_dim=128,
    random_state=0,
).fit(X)

# %%
# Tomorrow's product gets its vector from the same encoder.

text = "REGENCY TEAPOT BLUE"
draft = pd.DataFrame({"product": ["draft"], "meaning": list(encoder.transform([text]))})
near = model.similar_items(draft, n_neighbors=8)
near = near.merge(shop.products.add_prefix("similar_"))

_, ax = plt.subplots(layout="constrained")
ax.barh(near["similar_description"].str.capitalize(), near["score"])
ax.invert_yaxis()
ax.set_xlabel("score")
ax.set_title(f'Most like a new "{text.lower()}"', loc="right")
plt.show()
