"""
How many users does an A/B test need?
=====================================

The smaller the gain, the more users a test needs. Past purchases show how much users
differ.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm

from sktwotower.datasets import load_online_retail

# %%
# What a customer spends in four weeks, zero for those who do not come.

events = load_online_retail().data
events["spent"] = events["quantity"] * events["unit_price"]
before, month = (events["time"] < "2011-11-11"), (events["time"] >= "2011-11-11")
customers = events.loc[before, "customer"].unique()
spent = events[month].groupby("customer")["spent"].sum()
spent = spent.reindex(customers, fill_value=0)

# %%
# Two figures are to be compared: what is spent, and who buys at all. With a level of
# 5 % and a power of 80 %, each arm needs this many users (normal approximation):

gains = np.linspace(0.02, 0.3, 50)
z = norm.ppf(0.975) + norm.ppf(0.8)
figures = {"money spent": spent, "buys at all": (spent > 0).astype(float)}

_, ax = plt.subplots(layout="constrained")
for name, figure in figures.items():
    needed = 2 * (z * figure.std() / (gains * figure.mean())) ** 2
    ax.semilogy(100 * gains, needed, linewidth=3, label=name)
ax.axhline(
    len(customers) / 2, color="gray", linestyle=":", label="half of the customers"
)
ax.yaxis.set_major_formatter("{x:,.0f}")
ax.set(xlabel="gain to be seen, %", ylabel="users in each arm")
ax.legend()
ax.set_title("A small gain needs many users")
plt.show()
