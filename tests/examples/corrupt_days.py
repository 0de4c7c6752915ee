"""Days of a small shop, and ways in which a file of them is corrupt.

A customer of group g chooses mostly products of that group, the first ones more often.
"""

import numpy as np
import pandas as pd

N_GROUPS, N_PRODUCTS = 5, 12  # products of each group


def product(group, number):
    return f"p{group}{number:02}"


def day_of(number, n_users=36, n_known=150, n_new=2):
    """Return the purchases of a day: customer, product and price, in any order.

    ``number``: of the day. Customers 0 to ``n_known`` come back, others are new.
    """
    rng = np.random.default_rng([7, number])
    users = rng.choice(n_known, n_users - n_new, replace=False).tolist()
    users += [1000 + 10 * number + new for new in range(n_new)]
    popularity = 1 / np.arange(2, N_PRODUCTS + 2)
    rows = []
    for user in users:
        group = user % N_GROUPS
        for _ in range(rng.integers(4, 10)):
            own = rng.random() < 0.9
            chosen = group if own else int(rng.integers(N_GROUPS))
            which = rng.choice(N_PRODUCTS, p=popularity / popularity.sum())
            rows.append((user, product(chosen, which), round(rng.uniform(1, 9), 2)))
    columns = ["customer", "product", "price"]
    return pd.DataFrame(rows, columns=columns).drop_duplicates(columns[:2])


def past():
    """Return the purchases that the model is fitted on."""
    days = [day_of(number, n_users=60, n_new=0) for number in range(100, 112)]
    return pd.concat(days, ignore_index=True)


def with_times(day, number):
    """Return a day with its times, at random between eight and eighteen o'clock."""
    rng = np.random.default_rng([8, number])
    seconds = np.sort(rng.integers(8 * 3600, 18 * 3600, len(day)))
    start = pd.Timestamp("2024-03-04") + pd.Timedelta(number, "D")
    return day.assign(time=start + pd.to_timedelta(seconds, "s"))


def _half(day, rng):
    return day[rng.random(len(day)) < 0.5]


def _half_of_users(day, rng):
    users = day["customer"].unique()
    return day[day["customer"].isin(rng.permutation(users)[: len(users) // 2])]


def _partly(column, values):
    """Return a way in which half of a column is other values."""

    def corrupt(day, rng):
        gone = rng.random(len(day)) < 0.5
        others = values(day, rng)
        return day.assign(**{column: np.where(gone, others, day[column])})

    return corrupt


def _mapped(column):
    """Return a way in which each id of a column stands for another one."""

    def corrupt(day, rng):
        ids = past()[column].unique()
        other = dict(zip(ids, rng.permutation(ids), strict=True))
        return day.assign(**{column: day[column].map(lambda its: other.get(its, its))})

    return corrupt


def _bot(day, rng):
    robot = day.assign(customer=day["customer"].iloc[0])
    return pd.concat([day, robot.assign(product=rng.permutation(day["product"]))])


def _any_product(day, rng):
    return rng.choice(past()["product"].unique(), len(day))


CORRUPT = {
    "products permuted": lambda d, r: d.assign(product=r.permutation(d["product"])),
    "customers permuted": lambda d, r: d.assign(customer=r.permutation(d["customer"])),
    "products reversed": lambda d, r: d.assign(product=d["product"].to_numpy()[::-1]),
    "products renumbered": _mapped("product"),
    "customers renumbered": _mapped("customer"),
    "half of products permuted": _partly(
        "product", lambda d, r: r.permutation(d["product"])
    ),
    "half of products random": _partly("product", _any_product),
    "what nobody bought": lambda d, r: d.assign(product=_any_product(d, r)),
    "half of rows": _half,
    "half of customers": _half_of_users,
    "first half": lambda d, r: d[: len(d) // 2],
    "doubled": lambda d, r: pd.concat([d, d]),
    "yesterday again, but a row": lambda d, r: day_of(5)[1:],
    "yesterday as well": lambda d, r: pd.concat([day_of(5), d]),
    "one customer": lambda d, r: d.assign(customer=d["customer"].iloc[0]),
    "one product": lambda d, r: d.assign(product=d["product"].iloc[0]),
    "prices for products": lambda d, r: d.assign(product=d["price"].astype(str)),
    "prices for customers": lambda d, r: d.assign(customer=d["price"]),
    "products in another case": lambda d, r: d.assign(product=d["product"].str.upper()),
    "products with blanks": lambda d, r: d.assign(product=d["product"] + " "),
    "products zero-padded": lambda d, r: d.assign(product="000" + d["product"]),
    "customers are text": lambda d, r: d.assign(customer="c" + d["customer"].map(str)),
    "columns swapped": lambda d, r: d.rename(
        columns={"customer": "product", "product": "customer"}
    ),
    "mostly unknown customers": _partly(
        "customer", lambda d, r: r.integers(10**6, 10**7, len(d))
    ),
    "mostly unknown products": _partly(
        "product", lambda d, r: [f"x{n}" for n in range(len(d))]
    ),
    "a robot": _bot,
    "three rows": lambda d, r: d[:3],
    "no rows": lambda d, r: d[:0],
}
CORRUPT_TIMES = {
    "times are equal": lambda d, r: d.assign(time=d["time"].iloc[0]),
    "times of the day before": lambda d, r: d.assign(
        time=d["time"] - pd.Timedelta(1, "D")
    ),
    "times of another year": lambda d, r: d.assign(
        time=d["time"] - pd.Timedelta(365, "D")
    ),
    "times to come": lambda d, r: d.assign(time=d["time"] + pd.Timedelta(30000, "D")),
    "the day ends at noon": lambda d, r: d[d["time"].dt.hour < 12],
}
