"""One-column tables for the tests of the encoders."""

import pandas as pd

from sktwotower.features import TowerVectorizer


def vectorize(column, new=None, kind=None, **params):
    """Return dense rows and names of a one-column table 'c'; new: cells to encode."""
    kinds = None if kind is None else {"c": kind}
    vectorizer = TowerVectorizer(kinds=kinds, **params)
    vectorizer.fit(pd.DataFrame({"c": column}))
    rows = vectorizer.transform(pd.DataFrame({"c": column if new is None else new}))
    return rows.toarray(), vectorizer.get_feature_names_out().tolist()


def choose(column, name="c"):
    """Return the kind chosen for a column."""
    return TowerVectorizer().fit(pd.DataFrame({name: column})).kinds_[name]
