"""
Events larger than memory
=========================

``fit`` takes Parquet files as well, and reads them from disk. It learns the same as
from a table in memory.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import load_online_retail

# %%
# A folder of files, as a job writes them day by day.

events = load_online_retail().data[["customer", "product", "time"]]
model = TwoTowerRecommender(max_epochs=3, embedding_dim=64, random_state=0)
with tempfile.TemporaryDirectory() as folder:
    for month, rows in events.groupby(events["time"].dt.strftime("%Y-%m")):
        rows.to_parquet(Path(folder) / f"{month}.parquet")
    from_disk = model.fit(f"{folder}/*.parquet").predict(events[:5000])

# %%
# For a file that is larger than memory, this would be all. Here the table fits, so that
# both can be compared.

from_memory = model.fit(events).predict(events[:5000])
print("largest difference:", np.abs(from_disk - from_memory).max())

_, ax = plt.subplots(layout="constrained")
ax.plot(from_memory, from_disk, ".", alpha=0.3)
ax.set(xlabel="score, fitted from a table", ylabel="score, fitted from files")
ax.set_title("From files, the same scores")
plt.show()
