"""Transformers of other packages get each user's events in order, within a budget."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))

import _sequence_models  # noqa: E402
import _sequence_trials  # noqa: E402
from _sequence_trials import search  # noqa: E402

# Not sorted by user; b's first two events are of one time: their order stays.
EVENTS = pd.DataFrame(
    [
        ("b", "y", 5),
        ("a", "x", 9),
        ("b", "x", 5),
        ("b", "z", 8),
        ("a", "z", 2),
        ("a", "y", 4),
    ],
    columns=["user", "item", "time"],
)


class Fitted(_sequence_models.HSTUInTime):
    """The same, its net replaced by one that likes what was seen last the most."""

    def _learn(self, seen):
        self._asked = None

    def _scores(self, users):
        items = self._sequences(users)["items"]
        scores = np.zeros((len(users), len(self.item_ids_)), dtype=np.float32)
        for place in range(items.shape[1]):
            is_event = np.flatnonzero(items[:, place] >= 0)
            scores[is_event, items[is_event, place]] = place + 1
        return scores


@pytest.fixture
def model():
    return Fitted(session_max_len=4).fit(EVENTS)


def test_sequences_end_with_the_last_event(model):
    model._ask(pd.DataFrame({"user": ["b"], "item": ["y"], "time": [11]}))
    found = model._sequences(np.array([1, 0]))
    x, y, z = 0, 1, 2
    assert found["items"].tolist() == [[-1, y, x, z], [-1, z, y, x]]
    # the first time repeated before it; asked at 11, or else at the last event
    assert found["times"].tolist() == [[5, 5, 5, 8, 11], [2, 2, 4, 9, 9]]
    model.session_max_len = 2
    assert model._sequences(np.array([1]))["items"].tolist() == [[x, z]]


def test_dates_are_seconds():
    dates = EVENTS.assign(time=pd.to_datetime(EVENTS["time"], unit="s"))
    expected = Fitted().fit(EVENTS)._times
    assert Fitted().fit(dates)._times.tolist() == expected.tolist()


def test_ndcg_is_that_of_the_metrics(model):
    extra = [("c", "x", 1), ("c", "w", 2), ("a", "v", 1), ("b", "u", 1)]
    known = pd.concat([EVENTS, pd.DataFrame(extra, columns=EVENTS.columns)])
    held = pd.DataFrame({"user": ["a", "c"], "item": ["w", "z"], "time": [10, 10]})
    model = Fitted(session_max_len=2).fit(known)
    model._scores = lambda users: np.array(
        # items u, v, w, x, y, z; v, x, y, z of a and w, x of c are in fit
        [[3, 9, 2, 9, 9, 9], [0, 0, 0, 0, 0, 0], [3, 2, 9, 9, 4, 1]],
        dtype=np.float32,
    )[users]
    ranked = model.rank_held_out(held, n_neighbors=4)
    # a: w is second behind u; c: z is fourth behind y, u and v
    expected = np.mean([1 / np.log2(3), 1 / np.log2(5)])
    assert model.ndcg(held) == pytest.approx(expected)
    assert ranked.indices[:, 1].tolist() == [2, 0]
    assert ranked.indices[1].tolist() == [4, 0, 1, 5]


class Learner:
    """A model whose figure after each epoch is known; an epoch takes a second."""

    now = 0.0
    fits = []

    def __init__(self, curve, epochs, more=()):
        self.curve, self.epochs = [*curve, *more], epochs

    def fit(self, train, after_epoch):
        Learner.fits.append(self.curve)
        for epoch, figure in enumerate(self.curve[: self.epochs], 1):
            Learner.now += 1
            self.figure = figure
            if after_epoch(self, epoch):
                break
        return self

    def ndcg(self, held_out):
        return self.figure


@pytest.fixture
def searched(monkeypatch):
    def searched(curves, seconds, tried=(), more=None, n_users=5000):
        Learner.now, Learner.fits = 0.0, []
        first, *others = [{"curve": curve} for curve in curves]
        changes = [*others, {"more": more}] if more else others
        monkeypatch.setattr(_sequence_trials, "CHANGES", changes)
        clock = lambda: Learner.now  # noqa: E731
        tuning = (None, [0] * n_users)
        return search(Learner, first, tuning, seconds, tried, clock)

    return searched


def shown(rows):
    return [
        (row["epochs"], row["validation"], row["cpu_s"], row["ended_by"])
        for row in rows
    ]


def test_a_trial_ends_without_a_better_figure(searched):
    better = [0.1, 0.3, 0.2, 0.3, 0.2, 0.2, 0.2, 0.9]  # equal is not better
    assert shown(searched([better, [0.1, 0.2]], 100)) == [
        (2, 0.3, 7, "no better figure"),
        (2, 0.2, 2, "last epoch"),
    ]
    # with few users it goes on for 20
    few = searched([[0.1, *[0] * 30]], 100, n_users=4999)
    assert shown(few) == [(1, 0.1, 21, "no better figure")]


def test_a_trial_far_behind_ends_early(searched):
    start = [0.1] * 4 + [0.2, 0.3, 0.4]  # behind, but before the eighth epoch
    leader, near, far = ([*start, last, 0.8] for last in (0.6, 0.49, 0.47))
    leader[0] = 0.2
    found = shown(searched([leader, far, near], 100))
    assert found[1] == (8, 0.47, 8, "far behind")  # under .8 of .6
    assert found[2] == (9, 0.8, 9, "last epoch")


def test_the_budget_ends_a_trial_and_the_search(searched):
    curve = [0.1, 0.2, 0.3, 0.4]
    assert shown(searched([curve, curve[::-1], [1.0]], 6)) == [
        (4, 0.4, 4, "last epoch"),
        (1, 0.4, 2, "budget"),
    ]


def test_the_best_settings_are_changed(searched):
    searched([[0.1], [0.3], [0.2]], 100, more=[0.4])
    # the best is changed once more by what was tried before it
    assert Learner.fits == [[0.1], [0.3], [0.2], [0.3, 0.4], [0.2, 0.4]]


def test_earlier_trials_count(searched):
    first, second = [0.1, 0.2], [0.3]
    tried = searched([first], 10)
    rows = searched([first, second], 3, tried)
    assert Learner.fits == [second] and shown(rows) == [(1, 0.3, 1, "budget")]
    assert searched([first, second], 2, tried) == []
    again = searched([first, second], 10, [*tried, *rows])
    assert Learner.fits == [second] and shown(again) == [(1, 0.3, 1, "last epoch")]


def test_settings_are_those_of_the_authors_or_near_them():
    first = _sequence_trials.first_settings("eSASRec", "ml-1m-last")
    expected = {"n_factors": 64, "n_blocks": 1, "dropout_rate": 0.1, "lr": 0.003}
    expected |= {"session_max_len": 100, "n_negatives": 256, "batch_size": 32}
    assert first == expected
    for name, kind in _sequence_trials.NAMES.items():
        known = set(getattr(_sequence_models, kind)().get_params())
        for data in ("beauty-last", "ml-100k-last"):
            first = _sequence_trials.first_settings(name, data)
            changed = {key for change in _sequence_trials.CHANGES for key in change}
            assert changed <= set(first) < known


def test_a_published_value_says_where_it_comes_from():
    from _common import ORDERED, PROTOCOLS

    lines = (ROOT / "benchmarks" / "published.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len({(row["data"], row["system"]) for row in rows}) == len(rows) > 20
    for row in rows:
        assert row["data"] in ORDERED or row["data"] in PROTOCOLS
        assert all(row[key].strip() for key in ("source", "protocol", "differs"))
        assert (
            "arXiv" in row["source"]
            or "http" in row["source"]
            or ".ipynb" in row["source"]
        )
        figures = [v for k, v in row.items() if "@" in k]
        assert len(figures) == 2 and all(0 < v < 1 for v in figures)
        if row["data"] == "ml-1m-last":
            assert "ratings of one second" in row["differs"]
