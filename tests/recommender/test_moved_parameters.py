"""Parameters that have left the constructor: where they went, and older files."""

import json
from pathlib import Path

import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sktwotower import TwoTowerRecommender, runtime
from sktwotower.io import dump, load
from sktwotower.towers import PooledHistory, RecentHistory
from tests.builders import random_events, small
from tests.io.builders import forged, members_of

LINES = {
    "half_life=30 is now history=RecentHistory(half_life=30)": {"half_life": 30},
    "max_history=200, second_share=0 are now history=RecentHistory(max_length=200, "
    "second_share=0)": {"max_history": 200, "second_share": 0, "time": "when"},
    "popularity_half_life=9 is now history=RecentHistory(popularity_half_life=9)": {
        "popularity_half_life": 9
    },
    "second_share=0.3 is now history=PooledHistory(second_share=0.3)": {
        "second_share": 0.3
    },
    "fold_in=False is now history=PooledHistory(fold_in=False)": {"fold_in": False},
    "fold_in=False would have no effect": {"history": "recent", "fold_in": False},
    "impression_goal='shown' is now impression_weight='shown'": {
        "impression_goal": "shown"
    },
    "gather_users is gone: after fit, each process": {"gather_users": False},
}


@pytest.mark.parametrize("line", LINES)
def test_a_parameter_that_left_says_the_line_to_write(line):
    with pytest.raises(TypeError) as error:
        TwoTowerRecommender(**LINES[line])
    assert line in str(error.value)
    with pytest.raises(ValueError) as error:
        TwoTowerRecommender().set_params(**LINES[line])
    assert line in str(error.value)


def test_a_search_says_it_too_and_searches_the_object():
    events = random_events()
    with pytest.raises(ValueError, match="such an object has history__second_share"):
        GridSearchCV(small(), {"second_share": [0, 0.2]}).fit(events)
    grid = {"history__second_share": [0, 0.2]}
    model = small(history=PooledHistory(), embedding_dim=12)
    search = GridSearchCV(model, grid, cv=2).fit(events)
    assert search.best_params_["history__second_share"] in (0, 0.2)
    assert clone(model).history is not model.history


OLD = {
    "max_history": 1000,
    "second_share": "auto",
    "half_life": "auto",
    "popularity_half_life": "auto",
    "fold_in": True,
    "impression_goal": "catalog",
    "gather_users": True,
}
READ_AS = {
    "defaults": ({}, {"history": "auto", "impression_weight": "auto"}),
    "share": ({"second_share": 0.25}, {"history": PooledHistory(second_share=0.25)}),
    "in order": (
        {"time": "when", "second_share": 0, "half_life": 3.0, "fold_in": False},
        {"history": RecentHistory(second_share=0, half_life=3.0)},
    ),
    "both": (
        {
            "second_share": 0.5,
            "fold_in": False,
            "history": {
                "kind": "pooled",
                "params": {"type": "dict", "keys": ["second_share"], "values": [0.2]},
            },
        },
        {"history": PooledHistory(second_share=0.2, fold_in=False)},
    ),
    "no history": (
        {"history": None, "second_share": 0},
        {"history": None, "validation_events": None},
    ),
    "goal": ({"impression_goal": "shown"}, {"impression_weight": "shown"}),
}


def older_file(model, path, params):
    """Write a file as it was when these parameters were those of the recommender."""
    dump(model, path)

    def change(meta):
        estimator = json.loads(json.dumps(meta))["model"]["parts"]
        estimator["params"] |= OLD | params
        meta["model"]["parts"] = estimator

    path.write_bytes(forged(members_of(path.read_bytes()), change))


@pytest.mark.parametrize("name", READ_AS)
def test_files_with_older_parameters_are_read(name, tmp_path):
    params, expected = READ_AS[name]
    older_file(TwoTowerRecommender(), tmp_path / "model.sktt", params)
    model = load(tmp_path / "model.sktt")
    for parameter, value in expected.items():
        assert repr(getattr(model, parameter)) == repr(value)


@pytest.mark.parametrize("fold_in", [True, False])
def test_an_older_file_is_served_with_its_fold_in(fold_in, tmp_path):
    path = tmp_path / "model.sktt"
    older_file(small().fit(random_events()), path, {"fold_in": fold_in})
    past = {"new": ["i1", "i2"]}
    found = load(path).recommend(["new"], 3, history=past)["item"].tolist()
    ids, _ = runtime.load(path).recommend("new", 3, history=past["new"])
    assert list(ids) == found


def test_a_shipped_file_of_format_1_has_its_share_in_the_history():
    path = Path(__file__).parents[1] / "data" / "format_1" / "filtered.sktt"
    assert repr(load(path).history) == "PooledHistory(second_share=0.4)"
