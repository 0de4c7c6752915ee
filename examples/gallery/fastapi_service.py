"""
A service in FastAPI
====================

A service reads the file of a model with numpy alone, and needs no torch. The whole one,
with limits and several processes, is ``examples/service.py``.
"""

import json
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import matplotlib.pyplot as plt
import uvicorn
from fastapi import FastAPI

from sktwotower import TwoTowerRecommender, io, runtime
from sktwotower.datasets import load_online_retail

shop = load_online_retail()
X = shop.data[["customer", "product"]].drop_duplicates()
fitted = TwoTowerRecommender(max_epochs=5, embedding_dim=64, random_state=0).fit(X)
path = Path(tempfile.mkdtemp()) / "model.sktt"
io.dump(fitted, path)

# %%
# The service.

app, model = FastAPI(), runtime.load(path)


@app.get("/recommend/{customer}")
def recommend(customer: int, n: int = 10):
    ids, scores = model.recommend(customer, n)
    return {"products": ids.tolist(), "scores": scores.tolist()}


# %%
# In a shell, ``uvicorn`` runs it. Here a thread does, and a browser might ask for this:

server = uvicorn.Server(uvicorn.Config(app, port=8765, log_level="error"))
threading.Thread(target=server.run, daemon=True).start()
while not server.started:
    time.sleep(0.05)
with urllib.request.urlopen("http://127.0.0.1:8765/recommend/12748?n=8") as page:
    answer = json.load(page)
server.should_exit = True

names = shop.products.set_index("product")["description"]
_, ax = plt.subplots(layout="constrained")
ax.barh(names[answer["products"]].str.capitalize(), answer["scores"])
ax.invert_yaxis()
ax.set_xlabel("score")
ax.set_title("Eight products for customer 12748", loc="right")
plt.show()
