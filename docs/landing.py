"""Fit on the shipped purchases, and store what pages show of the default model.

Call: ``python docs/landing.py``, about a minute of one core. It writes ``landing.json``
next to itself. From it ``_ext/live_report.py`` draws the report of the first page, and
``_ext/display_pictures.py`` two displays. The figures of EASE and best sellers are
those of ``benchmarks/results/next.jsonl``, as the split is.
"""

import inspect
import json
from pathlib import Path

import numpy as np
import pandas as pd

from sktwotower import (
    EASERecommender,
    ItemKNNRecommender,
    PopularityRecommender,
    TwoTowerRecommender,
    __version__,
)
from sktwotower._command_line._tasks import Task
from sktwotower._command_line._written import cards
from sktwotower.datasets import load_online_retail
from sktwotower.metrics import precision_at_k, retrieval_report
from sktwotower.model_selection import TimeSplit
from sktwotower.plots import RecallByPopularityDisplay, RecallCurveDisplay

STORED = Path(__file__).with_name("landing.json")


def reported():
    """Return the report, three customers as cards, how chosen, and two displays."""
    shop = load_online_retail()
    X = shop.data[["customer", "product", "time"]]
    X = X.drop_duplicates(["customer", "product"])
    split = TimeSplit(0.2, time="time", drop_unseen_users=True, drop_unseen_items=True)
    train, test = (X.iloc[rows] for rows in next(split.split(X)))

    model = TwoTowerRecommender(time="time", random_state=0).fit(train)
    recent = PopularityRecommender(time="time", window=pd.Timedelta(days=3))
    baselines = {
        "EASE": EASERecommender().fit(train),
        "item-kNN": ItemKNNRecommender().fit(train),
        "best sellers of 3 days": recent.fit(train),
    }
    report = retrieval_report(model, test, k=20, baselines=baselines)
    report.attrs["split"] = (
        f"A gift shop in the UK, first purchases of a product: {len(X):,}. The latest "
        f"fifth is hidden: {len(X) - len(train):,}. {len(test):,} of them are of a "
        "customer and a product that occur before, and are used."
    )
    names = shop.products.set_index("product")["description"].str.capitalize()
    task = Task("", X, "customer", "product", "time", names=names)
    chosen, said = customers_by_hits(model, test)
    displays = [
        of.from_estimator(model, test, baselines=baselines)
        for of in (RecallCurveDisplay, RecallByPopularityDisplay)
    ]
    return report, cards(model, task, train, test, chosen), said, displays


def customers_by_hits(model, test):
    """Return three customers of test, and a sentence that says how they were chosen.

    If all are sorted by the number of right products among their first ten, these are
    in the middle of each third: so hits are shown about as often as they occur.
    """
    ranking = model.rank_held_out(test, n_neighbors=10)
    shares = precision_at_k(ranking.truth, ranking.indices, 10, per_user=True)
    hits = np.rint(10 * shares).astype(int)
    # the order of customers with as many hits is drawn
    drawn = np.random.default_rng(0).permutation(len(hits))
    in_order = drawn[np.argsort(hits[drawn], kind="stable")]
    places = [len(hits) // 6, len(hits) // 2, 5 * len(hits) // 6]
    said = (
        f"Of {len(hits):,} lists of ten, {(hits > 0).mean():.0%} have a ✓ or more, and "
        f"a list has {hits.mean():.1f} on average. By their number of ✓, these "
        "customers are in the middle of each third."
    )
    return ranking.users[in_order[places]].tolist(), said


def parameters_of(display):
    """Return what a display is made of, tables as dicts of their cells."""
    return {
        name: value.round(6).to_dict("split") if hasattr(value, "to_dict") else value
        for name in type(display).__annotations__
        for value in [getattr(display, name)]
    }


def main():
    """Store the report with the code that has made it."""
    report, of_customers, said, displays = reported()
    figures = report.round(6)
    tables = {type(display).__name__: parameters_of(display) for display in displays}
    stored = {
        "version": __version__,
        "code": "\n\n".join(map(inspect.getsource, (reported, customers_by_hits))),
        "index": [*figures.index],
        "columns": [*figures.columns],
        "figures": figures.to_numpy().tolist(),
        "attrs": report.attrs,
        "cards": of_customers,
        "said": said,
        "displays": tables,
    }
    STORED.write_text(json.dumps(stored) + "\n", encoding="utf-8")
    print(report)


if __name__ == "__main__":
    main()
