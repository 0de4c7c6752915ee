"""
News that counts its own clicks
===============================

A headline is read for some hours, and then another one. What was shown and clicked is
counted after each request. So the order of the page follows the day.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.dates import ConciseDateFormatter

from sktwotower import ClickRateRecommender
from sktwotower.metrics import roc_auc_by_list

# %%
# Four days of made pages: six of 24 headlines each, whose interest comes and goes.

rng = np.random.default_rng(0)
hours = np.sort(rng.uniform(0, 96, 1500))
items = np.argsort(rng.random((1500, 24)), axis=1)[:, :6]
peaks = rng.uniform(0, 96, (24, 3))
distance = np.abs(hours[:, None, None] - peaks[items]).min(axis=2)
pages = pd.DataFrame({"page": np.repeat(np.arange(1500), 6), "item": items.ravel()})
pages["user"] = pages["page"] % 300
when = pd.to_timedelta(np.repeat(hours, 6), unit="h")
pages["time"] = pd.Timestamp("2024-01-01") + when
clicked = (rng.random(len(pages)) < 0.4 * np.exp(-distance.ravel() / 6)) * 1.0

# %%
# Two models learn from the first two days. One of them goes on counting.

past = pages["time"] < "2024-01-03"
half_life = pd.Timedelta(hours=4)
models = [ClickRateRecommender(time="time", half_life=half_life) for _ in range(2)]
pair = ["user", "item", "time"]
frozen, live = (model.fit(pages[past][pair], clicked[past]) for model in models)
scores = {"fitted once": frozen.predict(pages[~past][pair]), "update_counts": []}
for _, page in pages[~past].groupby("page"):
    scores["update_counts"].extend(live.predict(page[pair]))
    live.update_counts(page[pair], clicked[page.index])

# %%
# How often is a headline that was clicked above one that was not?

_, ax = plt.subplots(layout="constrained")
block = pages[~past]["time"].dt.floor("4h")
for name, each in scores.items():
    table = pages[~past].assign(score=each, y=clicked[~past]).groupby(block)
    areas = table.apply(lambda t: roc_auc_by_list(t["y"], t["score"], t["page"]))
    ax.plot(areas.index, areas, linewidth=3, label=name)
ax.axhline(0.5, color="gray", linewidth=1)
ax.set(xlabel="day and hour", ylabel="AUC within pages", ylim=(0.4, 0.9))
ax.xaxis.set_major_formatter(ConciseDateFormatter(ax.xaxis.get_major_locator()))
ax.set_title("Counts that go on keep up with the day", pad=16)
ax.legend()
plt.show()
