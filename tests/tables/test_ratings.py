"""Ratings are told from counts, actions and impressions, and fit and score warn."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier

from sktwotower import (
    EASERecommender,
    ItemKNNRecommender,
    PopularityRecommender,
    TwoStageRecommender,
    TwoTowerRecommender,
)
from sktwotower.metrics import retrieval_report
from sktwotower.preprocessing import ratings_to_events

# Shares of one to five stars of MovieLens 100K, of quantities of a shop that end at 5,
# and of the times that a product is bought.
STARS, CAPPED, AGAIN = (6, 11, 27, 34, 21), (18, 15, 7, 8, 52), (75, 14, 5, 4, 2)
FILMS = np.repeat([1.0, 2, 3, 4, 5], STARS)


def told(y):
    """Return what fit and score say of outcomes, two lists of texts."""
    y = np.asarray(y, dtype=float)
    places = np.arange(len(y))
    X = pd.DataFrame({"user": places // 9, "item": (places + places // 9) % 13})
    said = []
    model = PopularityRecommender()
    for ask in (model.fit, model.score):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ask(X, y)
        texts = [str(each.message) for each in caught]
        said.append([text for text in texts if "like ratings" in text])
    return said


RATINGS = [
    (FILMS, "from 1 to 5", "4"),
    (np.append(FILMS, np.zeros(300)), "from 1 to 5", "4"),
    (FILMS / 5, "from 0.2 to 1", "0.8"),
    (FILMS - 1, "from 1 to 4", "3"),
    (np.repeat(np.arange(1, 11) / 2, 9 + np.arange(10)), "from 0.5 to 5", "4"),
    (np.repeat(np.arange(1, 11), 9 + np.arange(10)), "from 1 to 10", "8"),
    (np.tile(FILMS, 300), "from 1 to 5", "4"),
]


def test_ratings_are_recognized_on_any_scale():
    for y, scale, high in RATINGS:
        (at_fit,), (at_score,) = told(y)
        assert f"like ratings {scale}. " in at_fit and f"at_least={high})" in at_fit
        assert f"like ratings {scale}. " in at_score and f"y >= {high} in" in at_score


NO_RATINGS = [
    np.ones(500),
    FILMS >= 4,  # may as well be what was shown
    np.where(FILMS >= 4, 1, 0.01),
    FILMS[::3],  # too few rows
    np.repeat([1.0, 2, 3], (10, 60, 50)),  # too few levels
    np.repeat([0.0, 11, 12], (70, 60, 40)),
    np.repeat([1.0, 2, 3, 4, 5], CAPPED),
    np.repeat([1.0, 2, 3, 4, 5], AGAIN),
    np.repeat([0.0, 1, 2, 3, 4], (700, 200, 60, 30, 40)),  # click, cart, ...
    np.repeat([0.0, 1, 3, 5], (700, 200, 60, 40)),
    np.repeat([0.0, 3, 5], (700, 60, 40)),
    np.repeat([0.0, 1, 1.5], (700, 60, 40)),
    np.repeat([1.0, 2, 5, 10], (10, 20, 50, 40)),  # no even distances
    np.arange(500) % 60,  # minutes
    np.linspace(0, 1, 500),  # share of a film
    2**FILMS,
]


@pytest.mark.slow
def test_counts_actions_and_impressions_are_not_ratings():
    for y in NO_RATINGS:
        assert told(y) == [[], []]


def test_low_ratings_at_zero_are_recognized_unless_only_ones_are_left():
    for y, scale in (
        (np.where(FILMS >= 4, FILMS, 0), "from 4 to 5"),
        (np.repeat([0, 8, 8.5, 9], [9, 1, 1, 1]), "from 8 to 9"),
    ):
        (at_fit,), at_score = told(y)
        assert f"{scale}. 0 means shown, not chosen: keep low" in at_fit
        assert at_score == []  # only high ones are hits
        assert told(y[y > 0])[0] == []  # without any 0
    assert told(np.where(FILMS >= 4, FILMS, 0) / 2) == [[], []]


@pytest.fixture(scope="module")
def rated():
    """Return 99 rated pairs of 11 users, and their ratings."""
    users, films = np.divmod(np.arange(99), 9)
    X = pd.DataFrame({"user": users, "film": (films + users) % 13})
    return X, np.random.default_rng(0).permutation(FILMS)


def said_by(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        call()
    return [w for w in caught if "looks like ratings" in str(w.message)]


def test_fit_and_score_of_recommenders_warn_once_at_the_line_of_the_caller(rated):
    X, stars = rated
    towers = TwoTowerRecommender(embedding_dim=4, max_epochs=1, random_state=0)
    ease = EASERecommender()
    staged = TwoStageRecommender(ease, DecisionTreeClassifier(), random_state=0)
    for model in (towers, ease, staged):
        for fit in (lambda m=model: m.fit(X, stars), lambda m=model: m.score(X, stars)):
            (said,) = said_by(fit)
            assert said.filename == __file__
    report = partial(retrieval_report, ease, X, stars, baselines=[ease, towers])
    assert len(said_by(report)) == 1
    for calm in (
        lambda: towers.fit(*ratings_to_events(X, stars)),
        lambda: towers.partial_fit(X, stars),  # fit has said it
        lambda: towers.score(X, stars >= 4),
        lambda: ItemKNNRecommender().fit(X[stars >= 4]),
    ):
        assert said_by(calm) == []


def test_a_column_of_ratings_that_nothing_uses_is_named(rated):
    X, stars = rated
    towers = TwoTowerRecommender(embedding_dim=4, max_epochs=1, random_state=0)
    both = X.assign(film_rating=stars)
    for model in (EASERecommender(), TwoStageRecommender(EASERecommender())):
        (said,) = said_by(lambda m=model: m.fit(both))
        assert said.filename == __file__
        assert "'film_rating' of X looks like ratings from 1 to 5" in str(said.message)
    for calm in (
        lambda: EASERecommender().fit(both, stars >= 4),
        lambda: EASERecommender().fit(X.assign(n_copies=stars)),
        lambda: EASERecommender().fit(X.assign(rating=stars).to_numpy()),
        lambda: EASERecommender().fit(X.assign(rating="good")),
        lambda: towers.set_params(context="film_rating").fit(both),
    ):
        assert said_by(calm) == []


@pytest.mark.slow
def test_ratings_in_files_are_recognized(rated, tmp_path):
    pytest.importorskip("duckdb")
    X, stars = rated
    towers = TwoTowerRecommender(embedding_dim=4, max_epochs=1, random_state=0)
    for y, expected in ((stars, 1), (np.where(stars >= 4, 1, 0.01), 0)):
        X.assign(stars=y).to_parquet(tmp_path / "rated.parquet")
        fit = said_by(lambda: towers.fit(str(tmp_path / "rated.parquet"), "stars"))
        assert len(fit) == expected
