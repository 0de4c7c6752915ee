"""Random tables for `TowerVectorizer`, and for towers that see their columns."""

import functools
import pickle

import numpy as np
import pandas as pd

from sktwotower import TowerVectorizer
from tests.builders import small

from .cells import CELLS
from .ids import TABLES
from .judge import Refused, outcome

KINDS = ["id", "category", "number", "boolean", "datetime", "list", "text", "vector"]
NAMES = ["a", "item_id", "Ä b", "<b>", "", "x0"]
# Forms in which a table keeps its columns and its rows.
SAME_COLUMNS = {"objects", "inferred", "levels", "index", "polars", "pyarrow"}


def column(kind, rng, n):
    cells = CELLS[kind](rng, n)
    if isinstance(cells, np.ndarray) and cells.dtype == object:
        if rng.random() < 0.2 and n:
            missing = [None, float("nan"), pd.NA, pd.NaT]
            cells[rng.integers(n)] = missing[rng.integers(4)]
        return pd.Series(cells, dtype=object)
    return pd.Series(cells)


def table(kinds, rng, n):
    columns = {name: column(kind, rng, n) for name, kind in kinds.items()}
    return pd.DataFrame(columns, index=range(n))


def random_kinds(rng):
    names = rng.permutation(NAMES)[: rng.integers(1, 4)]
    return {str(name): list(CELLS)[rng.integers(len(CELLS))] for name in names}


def vectorizer(kinds, rng):
    """Return a vectorizer with parameters, some of which are wrong."""
    params = {
        "min_frequency": [1, 2, 0.5, 0, "2"],
        "max_features": [3, 100, -1, None],
        "n_hashed": [None, 1, 4, 0],
        "numbers": ["scaled", "quantiles", "?"],
    }
    given = {}
    for name, values in params.items():
        if rng.random() < 0.4:
            last = len(values) - (rng.random() < 0.9)
            given[name] = values[rng.integers(last)]
    if rng.random() < 0.15:
        forced = [*KINDS, "drop", "other"]
        given["kinds"] = {n: forced[rng.integers(len(forced))] for n in kinds}
    return TowerVectorizer(**given)


def formed(X, rng):
    """Return a table in a random form, and whether it has the same columns."""
    names = list(TABLES)
    name = "objects" if rng.random() < 0.7 else names[rng.integers(len(names))]
    try:
        return TABLES[name](X), name in SAME_COLUMNS
    except Exception:  # of the library that should make it
        return X, True


def check_table(seed):
    """Fit a vectorizer on a random table; return whether it was refused."""
    rng = np.random.default_rng(seed)
    kinds = random_kinds(rng)
    X = table(kinds, rng, int(rng.integers(0, 14)))
    given, whole = formed(X, rng)
    model = vectorizer(kinds, rng)
    rows = outcome(lambda: model.fit_transform(given))
    if isinstance(rows, Refused):
        assert not hasattr(model, "kinds_"), "a fit that failed changed the model"
        return True
    n = len(X) if whole else rows.shape[0]
    check_rows(rows, n, model)
    repeated = outcome(lambda: model.transform(given))
    np.testing.assert_allclose(repeated.toarray(), rows.toarray(), atol=1e-6)
    if given is X:
        one = [model.transform(X[i : i + 1]).toarray() for i in range(len(X))]
        np.testing.assert_allclose(np.vstack(one), rows.toarray(), atol=1e-6)
    check_later(model, kinds, rng)
    return False


def check_rows(rows, n, model):
    """Check feature rows and their names."""
    assert rows.shape == (n, len(model.get_feature_names_out()))
    assert rows.dtype == np.float32 and np.isfinite(rows.data).all()
    assert len(model.summary()) == model.n_features_in_
    assert repr(model) and model._repr_html_()


def check_later(model, kinds, rng):
    """Ask a fitted vectorizer about another table."""
    before = pickle.dumps(model)
    other = {name: random_kinds(rng).popitem()[1] for name in kinds}
    later = table(other if rng.random() < 0.5 else kinds, rng, int(rng.integers(5)))
    rows = outcome(lambda: model.transform(formed(later, rng)[0]))
    if not isinstance(rows, Refused):
        check_rows(rows, rows.shape[0], model)
    assert pickle.dumps(model) == before, "transform changed the vectorizer"


def check_features(seed):
    """Fit towers on a table with random features; return whether it was refused."""
    rng = np.random.default_rng(seed)
    kinds = list(CELLS)
    of_user, of_item = (kinds[rng.integers(len(kinds))] for _ in range(2))
    users, items = np.divmod(np.arange(30) * 7 % 36, 6)
    X = pd.DataFrame({"user": users, "item": items})
    features = {"f": column(of_user, rng, 6), "g": column(of_item, rng, 6)}
    for name, codes in (("f", users), ("g", items)):
        if rng.random() < 0.3:  # rows of one user disagree
            features[name], codes = column(of_user, rng, len(X)), np.arange(len(X))
        X[name] = features[name].take(codes).set_axis(X.index)
    model = small(user_features=["f"], item_features=["g"], embedding_dim=2)
    answer = outcome(lambda: model.fit(formed(X, rng)[0]))
    if isinstance(answer, Refused):
        assert not hasattr(model, "item_ids_")
        return True
    for question in (model.predict, model.transform, model.recommend):
        given = X if rng.random() < 0.5 else X.assign(f=column(of_item, rng, len(X)))
        answer = outcome(functools.partial(question, formed(given, rng)[0]))
    return isinstance(answer, Refused)
