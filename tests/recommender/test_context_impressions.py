"""What was shown and not chosen, in a context."""

import numpy as np
import pandas as pd
import pytest

from tests.builders import with_share

from .builders import asking, few, planted, requests_of, share_found


def with_shown(X):
    """Return events with an item of another device next to each, and outcomes."""
    number = X["item"].str[1:].astype(int)
    other = number + np.where(X["device"] == "tv", -5, 5)
    shown = X.assign(item=[f"i{i:02}" for i in other])
    y = np.r_[np.ones(len(X)), np.zeros(len(X))]
    return pd.concat([X, shown], ignore_index=True), y


@pytest.mark.fuzz
@pytest.mark.parametrize(
    ("history", "weight"),
    [("recent", 1.0), ("pooled", "auto"), ("recent", "auto"), ("pooled", 1.0)],
)
def test_impressions_in_contexts_do_no_harm(history, weight):
    X, y = with_shown(planted())
    params = {"batch_size": 32, "max_epochs": 15, "history": history, "time": "time"}
    model = asking(**params, impression_weight=weight).fit(X, y)
    assert share_found(model, *requests_of(X)) > 0.7


SHOWN = {"impression_start": 0.0, "dropout": 0.0}


@pytest.mark.each_time("recent-0.3")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("history", "second"), few([("pooled", 0.0), ("recent", 0.3)], 2)
)
def test_what_was_shown_in_a_slot_is_pushed_down_in_that_slot_only(history, second):
    """In the morning all are shown i59 and choose something else."""
    X = planted(20, 12).drop(columns="device")
    morning = X["slot"] == "morning"
    shown = X[morning].assign(item="i59")
    table, y = pd.concat([X, shown]), np.repeat([1, 0], [len(X), len(shown)])
    asked = X[["user"]].drop_duplicates().assign(item="i59")
    lost = []
    params = {"history": with_share(history, second), "time": "time"}
    models = [
        asking(
            context="slot", max_epochs=6, **params, **SHOWN | {"impression_weight": w}
        )
        for w in (0.0, 5.0)
    ]
    for slot in ("morning", "night"):
        without, pushed = (
            model.fit(table, y).predict(asked.assign(slot=slot, time=0)).mean()
            for model in models
        )
        lost.append(without - pushed)
    assert lost[0] > 0.1 and lost[0] > lost[1] + 0.05


@pytest.mark.parametrize("second", few([0.0, 0.3]))
@pytest.mark.parametrize("history", few(["pooled", "recent", None], 2))
def test_models_with_actions_and_impressions(history, second):
    X = planted(12, 6).rename(columns={"slot": "action"})
    X, y = with_shown(X)
    model = asking(
        context="action",
        history=with_share(history, second),
        time="time",
        max_epochs=2,
        impression_weight=1.0,
        impression_start=0.0,
    ).fit(X, y)
    asked = X[["user"]].drop_duplicates()
    tops = [
        model.recommend(asked.assign(action=action), 3)["score"].to_numpy()
        for action in ("morning", "night")
    ]
    assert not np.array_equal(*tops)
