"""
The hour of the request
=======================

Coffee in the morning, beer in the evening: the same person wants other things at other
hours. The hour is the context of the request.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sktwotower import TwoTowerRecommender

# %%
# A made-up log of a café: what was chosen, and when.

rng = np.random.default_rng(0)
peaks = {"coffee": 8, "salad": 13, "cake": 16, "beer": 21}
hours = np.arange(6, 24)
weight = np.exp(-((hours - np.array([[*peaks.values()]]).T) ** 2) / 8) + 0.02
rows = []
for hour, p in zip(hours, (weight / weight.sum(0)).T, strict=True):
    drawn = rng.choice([*peaks], size=500, p=p)
    rows.append(pd.DataFrame({"guest": rng.integers(1500, size=500), "dish": drawn}))
    rows[-1]["hour"] = hour
log = pd.concat(rows)

# %%
# Guests come back for the same dish, so what was chosen is not left out.

model = TwoTowerRecommender(context="hour", exclude_seen=False, random_state=0)
model.fit(log)
_, ax = plt.subplots(layout="constrained")
for dish in peaks:
    ask = pd.DataFrame({"guest": 7, "dish": dish, "hour": hours})
    line = model.predict(ask)
    ax.plot(hours, line, linewidth=3)
    ax.text(peaks[dish], line.max(), dish, ha="center", va="bottom", weight="bold")
ax.set(xlabel="hour of the request", ylabel="score", xticks=hours[::3])
ax.set_title("One guest wants coffee first, beer last", pad=16)
plt.show()
