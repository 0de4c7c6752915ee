"""Transformers of one's own: what they are given, and what they may give."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    StandardScaler,
)
from torch import nn

from sktwotower import TowerVectorizer
from sktwotower.datasets import make_interactions
from tests.builders import first_fast, small
from tests.cases import for_each

WORLD = make_interactions(30, 20, n_clusters=2, interactions_per_user=6, random_state=0)
X, ITEMS = WORLD.data[["user", "item"]], WORLD.item_table
LIBRARIES = {
    "pandas": lambda table: table,
    "polars": pl.DataFrame,
    "pyarrow": lambda table: pa.Table.from_pandas(table, preserve_index=False),
}


def one_hot(**params):
    return OneHotEncoder(handle_unknown="ignore", **params)


def skrub_vectorizer():
    from skrub import TableVectorizer

    return TableVectorizer()


NAMED = {
    "names": lambda: make_column_transformer(
        (one_hot(), ["item", "category"]),
        (StandardScaler(), ["price"]),
        (TfidfVectorizer(), "title"),
        (TowerVectorizer(), ["tags"]),
    ),
    "positions": lambda: make_column_transformer(
        (one_hot(), [0, 1]), (StandardScaler(), [-1]), remainder="drop"
    ),
    "selectors": lambda: make_column_transformer(
        (one_hot(), make_column_selector("item|category")),
        (StandardScaler(), make_column_selector(dtype_include="number")),
    ),
    "function": lambda: FunctionTransformer(lambda table: table[["price", "item"]]),
    "union": lambda: make_union(
        make_column_transformer((one_hot(), ["item"])),
        make_pipeline(
            make_column_transformer((TfidfVectorizer(), "title")), TruncatedSVD(3)
        ),
    ),
    "bins": lambda: make_column_transformer(
        (one_hot(), ["item"]), (KBinsDiscretizer(3, strategy="uniform"), ["price"])
    ),
    "skrub": skrub_vectorizer,
}
# its import takes a second
SKRUB = pytest.param("skrub", marks=pytest.mark.grid)


@pytest.mark.each_time("names", "selectors", "union")
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*far larger than 1")
@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("name", [*list(NAMED)[:-1], SKRUB])
def test_columns_have_their_names_whatever_library_the_table_is_of(name):
    models = {}
    for library, convert in LIBRARIES.items():
        model = small(items=convert(ITEMS), item_transformer=NAMED[name]())
        models[library] = model.fit(convert(X))
    expected = models["pandas"].item_embeddings_
    new = ITEMS.iloc[:3].assign(item=[100, 101, 102])
    of_new = models["pandas"].embed_items(new)
    for library, model in models.items():
        convert = LIBRARIES[library]
        assert_array_equal(model.item_embeddings_, expected)
        assert_allclose(model.embed_items(convert(ITEMS)), expected, atol=1e-6)
        assert_array_equal(model.embed_items(convert(new)), of_new)


class Given(TransformerMixin, BaseEstimator):
    """Keep what transform is given, and give the width of each row."""

    def fit(self, X, y=None):
        self.fitted_ = X
        return self

    def transform(self, X):
        self.given_ = X
        return np.ones((len(X), 2))


@pytest.mark.slow
@for_each("library", LIBRARIES)
def test_a_transformer_is_given_a_pandas_frame_with_the_ids_first(library):
    convert = LIBRARIES[library]
    table = ITEMS[["price", "tags", "item"]]
    model = small(items=convert(table), item_transformer=Given()).fit(convert(X))
    model.embed_items(convert(table.iloc[:2]))
    fitted = model.item_transformer_.fitted_
    for frame in (fitted, model.item_transformer_.given_):
        assert isinstance(frame, pd.DataFrame)
        assert list(frame.columns) == ["item", "price", "tags"]
        assert frame.dtypes.astype(str).to_dict() == fitted.dtypes.astype(str).to_dict()
    assert isinstance(fitted["tags"].iloc[0], list | np.ndarray)
    assert_array_equal(fitted["item"], ITEMS["item"])


# What they give


class Gives(TransformerMixin, BaseEstimator):
    """Return price > 10 and whether the category is the first, in a form asked for."""

    def __init__(self, form):
        self.form = form

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        dear, first = X["price"] > 10, X["category"] == "category0"
        return self.form(pd.DataFrame({"dear": dear, "first": first}))


def uncanonical(table):
    """Return a CSR array that stores each entry in two halves, last column first."""
    rows = sparse.csr_array(table.to_numpy(float)[:, ::-1])
    data, columns = np.repeat(rows.data / 2, 2), np.repeat(1 - rows.indices, 2)
    return sparse.csr_array((data, columns, 2 * rows.indptr), shape=rows.shape)


FORMS = {
    "frame of bool": lambda table: table,
    "nullable frame": lambda table: table.astype("Int64"),
    "arrow frame": lambda table: table.astype("double[pyarrow]"),
    "sparse frame": lambda table: table.astype(pd.SparseDtype(float, 0)),
    "polars": pl.DataFrame,
    "pyarrow": pa.Table.from_pandas,
    "int": lambda table: table.to_numpy().astype(np.int8),
    "float64": lambda table: table.to_numpy(float),
    "list": lambda table: table.astype(float).to_numpy().tolist(),
    "csr_matrix": lambda table: sparse.csr_matrix(table.to_numpy(float)),
    "uncanonical": uncanonical,
    "coo_array": lambda table: sparse.coo_array(table.to_numpy(bool)),
    "csc_array": lambda table: sparse.csc_array(table.to_numpy(float)),
    "dok_array": lambda table: sparse.dok_array(table.to_numpy(int)),
}


@pytest.mark.slow
def test_any_form_of_numbers_will_do():
    plain = small(items=ITEMS, item_transformer=Gives(FORMS["float64"])).fit(X)
    expected = plain.item_embeddings_
    assert len(np.unique(expected, axis=0)) > 2  # dear or not, of either category
    for form in FORMS.values():
        model = small(items=ITEMS, item_transformer=Gives(form)).fit(X)
        assert_array_equal(model.item_embeddings_, expected)
        assert_allclose(model.embed_items(ITEMS), expected, atol=1e-6)


@pytest.mark.slow
@for_each("library", ["default", "pandas", "polars"])
def test_set_output_changes_nothing(library):
    steps = make_column_transformer(
        (one_hot(sparse_output=False), ["item", "category"]),
        (StandardScaler(), ["price"]),
    )
    plain = small(items=ITEMS, item_transformer=steps).fit(X)
    steps.set_output(transform=library)
    model = small(items=ITEMS, item_transformer=steps).fit(X)
    assert_array_equal(model.item_embeddings_, plain.item_embeddings_)
    assert_array_equal(model.embed_items(ITEMS), plain.embed_items(ITEMS))


def test_what_is_no_matrix_of_numbers():
    for form, message in [
        (lambda t: t.to_numpy(complex), "must return numbers.*ndarray: complex"),
        (lambda t: sparse.csr_array(t.to_numpy(complex)), "csr_array: complex"),
        (lambda t: t.astype(str), "must return numbers.*DataFrame: could not convert"),
        (
            lambda t: pl.DataFrame(t.astype(str)),
            "must return numbers.*could not convert",
        ),
        (lambda t: t.astype("Int64").mask(t["dear"]), "item_transformer returned NaN"),
        (lambda t: t.to_numpy(float)[:, :, None], "must return numbers"),
        (  # scipy 1.11 makes one row of it
            lambda t: sparse.coo_array(t["dear"].to_numpy(float)),
            r"shape \(20,\)|expected 20 rows, got 1",
        ),
        (lambda t: t["dear"], "expected 20 rows, got 1"),
        (lambda t: t.iloc[:7], "expected 20 rows, got 7"),
    ]:
        model = small(items=ITEMS, item_transformer=Gives(form))
        with pytest.raises(ValueError, match=message):
            model.fit(X)


# Width, repetition, errors


def dummies(table):
    """Make a column of each level at hand, as one must not."""
    return pd.get_dummies(table["category"]).to_numpy(float)


@pytest.mark.slow
def test_another_width_than_in_fit_is_refused():
    table = ITEMS.sort_values("category", key=lambda c: c.index % 2)
    model = small(items=table, item_transformer=FunctionTransformer(dummies)).fit(X)
    one = table[table["category"] == "category1"]
    message = (
        "item_transformer must return as many columns as in fit: expected 2, got 1 for "
        r".* rows.*OneHotEncoder\(handle_unknown='ignore'\).*get_dummies"
    )
    for ask in (model.embed_items, model.set_catalog, model.similar_items):
        with pytest.raises(ValueError, match=message):
            ask(one)
    users = WORLD.user_table.assign(category=WORLD.user_table["segment"])
    model = small(users=users, user_transformer=FunctionTransformer(dummies)).fit(X)
    with pytest.raises(
        ValueError, match="user_transformer must return as many columns"
    ):
        model.recommend(users.iloc[:1])


def test_a_width_that_depends_on_the_rows_is_found_in_fit_if_it_can_be():
    wide = FunctionTransformer(lambda table: np.ones((len(table), len(table))))
    with pytest.raises(ValueError, match="expected 20, got 5 for 5 rows"):
        small(items=ITEMS, item_transformer=wide).fit(X)


@pytest.mark.slow
def test_new_events_are_encoded_in_the_width_of_fit():
    model = small(items=ITEMS).fit(X)
    more = pd.concat([ITEMS, ITEMS.iloc[:2].assign(item=[100, 101])])
    new = pd.DataFrame({"user": [0, 500], "item": [100, 101]})
    model.set_params(items=more).partial_fit(new)
    assert_allclose(model.embed_items(more), model.item_embeddings_, atol=1e-6)
    model = small(items=ITEMS, item_transformer=FunctionTransformer(dummies)).fit(X)
    odd = more.assign(category=more["category"].where(more["item"] < 100, "odd"))
    with pytest.raises(ValueError, match="expected 2, got 1 for 2 rows"):
        model.set_params(items=odd).partial_fit(new)


class Noisy(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.rng_ = np.random.default_rng(0)
        return self

    def transform(self, X):
        return X[["price"]].to_numpy() + self.rng_.normal(size=(len(X), 1))


class CrossFitted(TransformerMixin, BaseEstimator):
    """Return the mean price of a category, but in fit that of the other rows."""

    def fit(self, X, y=None):
        self.means_ = X.groupby("category")["price"].mean()
        return self

    def fit_transform(self, X, y=None):
        prices = self.fit(X)._of(X).to_numpy()
        n = X["category"].map(X["category"].value_counts()).to_numpy()
        return ((prices * n - X["price"]) / (n - 1)).to_numpy()[:, None]

    def transform(self, X):
        return self._of(X).to_numpy()[:, None]

    def _of(self, X):
        return X["category"].map(self.means_)


def centred(table):
    """Return numbers that depend on the other rows."""
    return (table[["price"]] - table[["price"]].mean()).to_numpy()


@pytest.mark.slow
@for_each(
    "transformer",
    [Noisy(), CrossFitted(), FunctionTransformer(centred)],
    ids=["noisy", "cross-fitted", "centred"],
)
def test_numbers_that_do_not_come_again_are_told(transformer):
    items = ITEMS.assign(price=ITEMS["price"] / 10)
    model = small(items=items, item_transformer=transformer)
    message = "item_transformer is not reproducible: transform returned other values"
    with pytest.warns(UserWarning, match=message) as told:
        model.fit(X)
    assert [w.filename for w in told] == [__file__]
    assert len(model.recommend(items["item"][:1])) == 10
    assert np.isfinite(model.embed_items(items)).all()


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize(
    "transformer",
    first_fast(
        [
            make_pipeline(one_hot(), TruncatedSVD(3, algorithm="arpack")),
            make_pipeline(one_hot(), TruncatedSVD(3, random_state=0)),
            make_pipeline(one_hot(sparse_output=False), PCA(3, whiten=True)),
            FeatureUnion([("ids", one_hot()), ("nothing", "drop")]),
            FunctionTransformer(lambda table: np.zeros((len(table), 0))),
            FunctionTransformer(lambda table: np.zeros((len(table), 3))),
        ],
        2,
    ),
)
def test_numbers_that_come_again_but_for_rounding_are_not(transformer):
    small(user_transformer=transformer).fit(X)


def test_two_users_are_enough_for_all_checks():
    events = pd.DataFrame({"user": ["a", "b"], "item": ["x", "y"]})
    assert len(small(user_transformer=one_hot()).fit(events).recommend()) == 2


@pytest.mark.slow
def test_an_error_of_a_transformer_tells_what_it_was_given():
    steps = make_column_transformer(
        (one_hot(), ["item"]), (StandardScaler(), ["price"])
    )
    table = ITEMS[["item", "price"]]
    model = small(items=table, item_transformer=steps).fit(X)
    with pytest.raises(ValueError, match="could not convert") as error:
        model.embed_items(pd.DataFrame({"item": [100], "price": ["cheap"]}))
    (note,) = error.value.__notes__
    assert note.startswith("item_transformer was given 'item' (int64), 'price' (")
    assert "'price' was float64 in fit and is " in note
    misspelt = make_column_transformer((one_hot(), ["itme"]))
    # scikit-learn 1.6 does not name it
    unknown = "itme|not a column of the dataframe"
    with pytest.raises(ValueError, match=unknown) as error:
        small(items=table, item_transformer=misspelt).fit(X)
    expected = "item_transformer was given 'item' (int64), 'price' (float64)."
    assert error.value.__notes__ == [expected]


def passed_on(factor):
    """Return a transformer that multiplies prices, next to ids."""
    times = FunctionTransformer(lambda t: t * factor, feature_names_out="one-to-one")
    return make_column_transformer((one_hot(), ["item"]), (times, ["price"]))


def messages_of_fit(transformer, **params):
    items = ITEMS.assign(price=np.linspace(0, 10, len(ITEMS)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small(items=items, item_transformer=transformer, **params).fit(X)
    return [str(each.message) for each in caught]


def test_fit_warns_of_columns_without_a_scale():
    for factor in [10, 1e3, 1e6]:
        (message,) = messages_of_fit(passed_on(factor))
        named = (
            f"1 of 21 columns: 'functiontransformer__price' (up to {10 * factor:.3g})."
        )
        assert message.startswith("item_transformer returns numbers far larger than 1")
        assert named in message and "Scale them, as by StandardScaler" in message


@pytest.mark.slow
def test_fit_does_not_warn_of_usual_sizes():
    for transformer, params in [
        (None, {}),
        (passed_on(1), {}),
        (make_union(passed_on(0.1), make_column_transformer((one_hot(), [1]))), {}),
        (
            make_column_transformer(
                (one_hot(), ["item"]),
                (StandardScaler(), ["price"]),
                (CountVectorizer(analyzer="char"), "title"),
            ),
            {},
        ),
        (passed_on(1e3), {"item_tower": lambda n: nn.LazyLinear(8)}),
    ]:
        assert messages_of_fit(transformer, **params) == []


def test_columns_without_names_are_counted():
    prices = FunctionTransformer(lambda table: table[["price"]] * 1e3)
    (message,) = messages_of_fit(prices)
    assert "1 of 1 columns: '0' (up to 1e+04)" in message
