"""
Vectors in Qdrant
=================

A vector database can do the search. It gets the vectors of the items, and each request
brings that of the user. Both find the same products.
"""

import sys

import matplotlib.pyplot as plt

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import load_online_retail

try:
    from qdrant_client import QdrantClient, models
except ImportError:
    sys.exit("Skipped, as qdrant-client is missing: pip install qdrant-client")

X = load_online_retail().data[["customer", "product"]].drop_duplicates()
settings = {"max_epochs": 5, "embedding_dim": 64, "random_state": 0}
# so that scores are products of vectors, and nothing else
model = TwoTowerRecommender(sparse_parts=None, **settings).fit(X)

# %%
# Here the database lives in the process, so that it needs no server.

vectors, ids = model.item_embeddings_, model.item_ids_
client = QdrantClient(":memory:")
size = models.VectorParams(size=vectors.shape[1], distance=models.Distance.DOT)
client.create_collection("products", vectors_config=size)
payload = [{"product": product} for product in ids]
client.upload_collection("products", vectors, payload, ids=range(len(ids)))

# %%
# Twenty customers ask for ten products each.

users = model.user_ids_[:20]
ours = model.recommend(users, n_neighbors=10, exclude_seen=False)
theirs = [
    point
    for vector in model.embed_users(users)
    for point in client.query_points("products", query=vector, limit=10).points
]
same = [point.payload["product"] for point in theirs] == ours["product"].tolist()
print("the same products:", same)

_, ax = plt.subplots(layout="constrained")
ax.plot(ours["score"], [point.score for point in theirs], ".", markersize=10)
ax.set(xlabel="score of recommend()", ylabel="score of Qdrant")
ax.set_title("Qdrant returns the same scores")
plt.show()
