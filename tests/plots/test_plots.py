"""Pictures: what is drawn equals what was computed, and can be read."""

import sys
from copy import copy
from dataclasses import replace
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Bunch

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")
from matplotlib.colors import to_rgb  # noqa: E402

from sktwotower import TwoTowerRecommender, plots  # noqa: E402
from sktwotower.datasets import make_interactions  # noqa: E402
from sktwotower.metrics import HeldOutRanking, recall_at_k  # noqa: E402
from sktwotower.plots import (  # noqa: E402
    EmbeddingMapDisplay,
    FeatureImportanceDisplay,
    PrequentialDisplay,
    RecallByPopularityDisplay,
    RecallCurveDisplay,
    RecallDiversityDisplay,
    ReliabilityDisplay,
    TrainingCurveDisplay,
)

# Those that are made of held-out events, and those that are not.
OF_EVENTS = [FeatureImportanceDisplay, RecallByPopularityDisplay, RecallCurveDisplay]
RANKED = OF_EVENTS[1:]
# Those that are made of any fitted estimator.
OTHERS = {"PrequentialDisplay", "RecallDiversityDisplay", "ReliabilityDisplay"}
OF_FITTED = [getattr(plots, name) for name in plots.__all__ if name not in OTHERS]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def made():
    data = make_interactions(60, 30, random_state=0)
    columns = ["user", "item"]
    events = data.data[columns]
    return Bunch(
        X=events[~data.test_mask],
        held_out=events[data.test_mask],
        products=data.item_table,
    )


@pytest.fixture(scope="module")
def model(made):
    model = TwoTowerRecommender(
        items=made.products, embedding_dim=8, max_epochs=2, random_state=0
    )
    return model.fit(made.X)


class Ranked(BaseEstimator):
    """Two users, four items with 1, 1, 5 and 9 users; ranks the given indices."""

    item_ids_ = np.array(["a", "b", "c", "d"])

    def __init__(self, indices=((0, 2), (3, 2)), items="abcd", users=(7, 8), lost=0):
        self.indices = np.array(indices)
        self.item_ids_ = np.array(list(items))
        self.users = np.array(users)
        self.lost = lost

    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def rank_held_out(self, X, y, *, n_neighbors, max_users, random_state):
        truth = np.array([[1, 0, 0, 1], [0, 1, 1, 0]], dtype=np.float32)
        return HeldOutRanking(
            users=self.users,
            indices=self.indices[:, :n_neighbors],
            truth=sparse.csr_matrix(truth),
            item_counts=np.array([1.0, 1.0, 5.0, 9.0]),
            n_unreachable=np.array([self.lost, 0]),
        )


def test_recall_curve_by_hand():
    # The other model has its catalog and users in another order: it ranks d, then c,
    # for user 7 and b, then an item that is not in the first one's catalog, for 8.
    other = Ranked([(1, 0), (3, 2)], items="bxcd", users=(8, 7))
    other.indices = np.array([(0, 1), (3, 2)])
    display = RecallCurveDisplay.from_estimator(
        Ranked(), None, max_k=2, baselines={"other": other}, name="mine"
    )
    expected = pd.DataFrame(
        {"mine": [0.25, 0.5], "popularity": [0.25, 0.5], "other": [0.5, 0.5]},
        index=pd.RangeIndex(1, 3, name="k"),
    )
    pd.testing.assert_frame_equal(display.recall, expected)
    # Recalls at 1 are 1/2 and 0: their standard error is 1/2 * sqrt(1/2) / sqrt(2).
    assert display.standard_error["mine"].tolist() == pytest.approx([0.25, 0.0])
    lines = [line.get_ydata().tolist() for line in display.lines_]
    assert lines == expected.T.to_numpy().tolist()
    assert len(display.bands_) == 3
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["mine", "popularity", "other"]


@pytest.mark.parametrize("narrow", ["model", "baseline"])
def test_places_after_the_end_of_a_ranking_are_misses(narrow):
    # One ranks two of the four places that are asked for, the other one all four.
    wide = Ranked([(0, 2, 1, 3), (3, 2, 0, 1)])
    models = [Ranked(), wide] if narrow == "model" else [wide, Ranked()]
    display = RecallCurveDisplay.from_estimator(
        models[0], None, max_k=4, baselines={"other": models[1]}, name="mine"
    )
    short, long = ("mine", "other") if narrow == "model" else ("other", "mine")
    assert display.recall.index.tolist() == [1, 2, 3, 4]
    assert display.recall[short].tolist() == [0.25, 0.5, 0.5, 0.5]
    assert display.recall[long].tolist() == [0.25, 0.5, 0.5, 1.0]
    assert display.standard_error[short].tolist() == pytest.approx([0.25, 0, 0, 0])


def test_items_that_nobody_can_find_are_misses():
    display = RecallCurveDisplay.from_estimator(Ranked(lost=2), None, max_k=2)
    assert display.recall["Ranked"].tolist() == [1 / 8, 1 / 8 + 1 / 4]


@pytest.mark.slow
def test_recall_curve_ends_in_the_metric(made, model):
    display = RecallCurveDisplay.from_estimator(model, made.held_out, max_k=1000)
    assert display.recall.index[-1] == 30  # the whole catalog
    truth = made.held_out.groupby("user")["item"].agg(list)
    ranking = model.rank_held_out(made.held_out, n_neighbors=10)
    ids = model.item_ids_[ranking.indices]
    wanted = recall_at_k(truth.loc[ranking.users].tolist(), ids, k=10)
    assert display.recall.loc[10, "TwoTowerRecommender"] == pytest.approx(wanted)
    assert display.recall.iloc[-1].tolist() == pytest.approx([1, 1])


def test_recall_by_popularity_by_hand():
    display = RecallByPopularityDisplay.from_estimator(Ranked(), None, k=2, n_groups=2)
    heights = [[bar.get_height() for bar in bars] for bars in display.bars_]
    # Rare items (1 user): items 0 and 1 were wanted, item 0 was found. Popular items:
    # 2 and 3 were wanted, 2 was found. Popularity ranks 3, 2 for both: it finds both.
    assert heights == [[0.5, 0.5], [0.0, 1.0]]
    labels = [label.get_text() for label in display.ax_.get_xticklabels()]
    assert labels == ["1-4", "5-9"]
    # Both users wanted one of each group: f - r w is 1/2 and -1/2.
    assert display.standard_error["Ranked"].tolist() == pytest.approx([0.5, 0.5])
    assert display.ax_.get_ylabel() == "share found in the first 2"


def test_recall_by_popularity_of_a_narrow_ranking_names_the_k_asked_for():
    display = RecallByPopularityDisplay.from_estimator(Ranked(), None, k=4, n_groups=2)
    # The model ranks two places; popularity ranks all four items.
    assert display.recall["Ranked"].tolist() == [0.5, 0.5]
    assert display.recall["popularity"].tolist() == [1.0, 1.0]
    assert display.ax_.get_ylabel() == "share found in the first 4"


def test_bars_of_zero_say_so_and_heights_are_shares():
    recall = pd.DataFrame({"mine": [0.01, 0.36], "other": [0.0, 0.4]}, ["1-9", "10-50"])
    error = pd.DataFrame(0.02, recall.index, recall.columns)
    display = RecallByPopularityDisplay(recall=recall, standard_error=error).plot()
    ax = display.ax_
    assert [text.get_text() for text in ax.texts] == ["", "", "0", ""]
    pixels = ax.transData.transform([(0, 0), (0, 0.01), (0, 0.36)])[:, 1]
    assert pixels[2] - pixels[0] == pytest.approx(36 * (pixels[1] - pixels[0]))
    label = ax.yaxis.get_major_formatter()(0.005, None)
    assert label == "0.5 %"
    # an error that is larger than its share ends at zero
    ends = display.bars_[0].errorbar.lines[2][0].get_segments()[0][:, 1]
    assert ends.tolist() == pytest.approx([0, 0.03])


@pytest.mark.slow
@pytest.mark.parametrize(("n_models", "inside"), [(4, True), (5, False)])
def test_a_long_legend_is_next_to_the_curves(n_models, inside):
    recall = pd.DataFrame(np.ones((2, n_models)), index=[1, 2])
    ax = RecallCurveDisplay(recall=recall).plot().ax_
    ax.figure.draw_without_rendering()
    legend, curves = ax.get_legend().get_window_extent(), ax.get_window_extent()
    assert (legend.x0 < curves.x1) == inside
    # and takes nothing of their room, nor of the title's
    assert curves.width > 0.8 * 6 * ax.figure.dpi
    assert ax.title.get_window_extent().x0 > 0 and legend.x1 <= ax.figure.bbox.x1


def test_long_names_go_on_in_another_line():
    name = ["two towers with tables of users and", "items, 3 epochs"]
    recall = pd.DataFrame({" ".join(name): [0.1], "popularity": [0.1]}, index=["1-9"])
    ax = RecallByPopularityDisplay(recall=recall).plot().ax_
    shown = [text.get_text() for text in ax.get_legend().get_texts()]
    assert shown == ["\n".join(name), "popularity"]


def test_groups_by_popularity_hold_events():
    # all wanted items are equally popular: one group, and none without an event
    ranked = Ranked()
    ranking = ranked.rank_held_out(
        None, None, n_neighbors=2, max_users=None, random_state=None
    )
    ranking = replace(ranking, item_counts=np.full(4, 3))
    ranked.rank_held_out = lambda *args, **kwargs: ranking
    display = RecallByPopularityDisplay.from_estimator(ranked, None, k=2)
    assert display.recall.index.tolist() == ["3"]
    assert display.recall["Ranked"].tolist() == [0.5]


class Swapping(np.random.RandomState):
    """Reverses the catalog of a model as soon as a number is drawn."""

    DRAWS = ("choice", "permutation", "randint", "random_sample", "shuffle", "uniform")

    def __init__(self, model):
        super().__init__(0)
        self.model = model

    def __getattribute__(self, name):
        if name in Swapping.DRAWS and len(self.model.item_ids_) == 30:
            self.model.set_catalog(self.model.item_ids_[5:][::-1])
        return super().__getattribute__(name)


def test_a_picture_is_of_one_catalog_though_another_is_set(made, model):
    def places(model, random_state):
        how = {"color": "price", "method": "pca", "max_items": 20}
        how["random_state"] = random_state
        shown = EmbeddingMapDisplay.from_estimator(model, **how)
        return [shown.positions, shown.color]

    swapped = copy(model)
    during = places(swapped, Swapping(swapped))
    assert len(swapped.item_ids_) == 25
    for found, expected in zip(during, places(model, 0), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_training_curve_draws_every_epoch():
    history = [
        {"epoch": 1, "train_loss": 3.0, "valid_recall": 0.1},
        {"epoch": 2, "train_loss": 2.0, "valid_recall": 0.3},
    ]
    display = TrainingCurveDisplay(history=history).plot()
    assert display.line_.get_ydata().tolist() == [3.0, 2.0]
    assert display.recall_line_.get_ydata().tolist() == [0.1, 0.3]
    assert display.recall_ax_.get_ylabel() == "validation recall (higher is better)"
    assert "best recall 0.300 in epoch 2" in display.ax_.get_title()


def test_training_curve_of_epochs_with_and_without_validation():
    history = [
        {"epoch": 1, "train_loss": 2.0, "valid_recall": 0.25},
        {"epoch": 2, "train_loss": 1.0},
    ]
    display = TrainingCurveDisplay(history=history).plot()
    np.testing.assert_array_equal(display.recall_line_.get_ydata(), [0.25, np.nan])
    assert "0.250 in epoch 1" in display.ax_.get_title()
    with pytest.raises(ValueError, match=r"'epoch' and 'train_loss'. Got \['epoch'\]"):
        TrainingCurveDisplay(history=[{"epoch": 1}]).plot()


def test_training_curve_without_validation(model):
    display = TrainingCurveDisplay.from_estimator(model)
    losses = [row["train_loss"] for row in model.history_]
    assert display.line_.get_ydata().tolist() == losses
    assert display.recall_line_ is None and len(display.figure_.axes) == 1
    with pytest.raises(ValueError, match="at least one epoch"):
        TrainingCurveDisplay(history=[]).plot()


def test_feature_importance_draws_each_row():
    importance = pd.DataFrame(
        {
            "side": ["item", "history", "user+item"],
            "column": ["genres", "history", "ids"],
            "recall_lost": [0.2, 0.1, -0.01],
            "lower": [0.15, 0.1, np.nan],
            "upper": [0.25, 0.1, np.nan],
        }
    )
    importance.attrs = {"recall": 0.5, "n_neighbors": 20}
    display = FeatureImportanceDisplay(importance=importance).plot()
    ax = display.ax_
    assert [bar.get_width() for bar in display.bars_] == [0.2, 0.1, -0.01]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["genres (item)", "history", "ids (user+item)"]
    low, high = ax.get_ylim()
    assert low > high  # the first row is on top
    ends = display.bars_.errorbar.lines[2][0].get_segments()[0]
    assert ends[:, 0].tolist() == pytest.approx([0.15, 0.25])
    assert ax.get_xlabel().startswith("recall@20 lost,")
    title = "Recall@20 lost when a column is removed\n(full model: 0.500)"
    assert ax.get_title() == title
    named = [text.get_text() for text in ax.get_legend().get_texts()]
    assert named == ["item", "history"]  # the third one, gray, is of both sides
    patches = ax.get_legend().get_patches()
    assert patches[0].get_facecolor() == display.bars_[0].get_facecolor()
    one = FeatureImportanceDisplay(importance=importance[:1]).plot()
    assert one.ax_.get_legend() is None


@pytest.mark.slow
def test_feature_importance_is_that_of_the_estimator(made, model):
    display = FeatureImportanceDisplay.from_estimator(
        model, made.held_out, max_users=20, random_state=0, n_neighbors=5
    )
    table = model.feature_importance(
        made.held_out, max_users=20, random_state=0, n_neighbors=5
    )
    pd.testing.assert_frame_equal(display.importance, table)
    events = pl.DataFrame(made.held_out.to_dict("list"))
    params = {"max_users": 20, "random_state": 0, "n_neighbors": 5}
    other = FeatureImportanceDisplay.from_estimator(model, events, **params)
    assert other.ax_.get_title() == display.ax_.get_title()
    polars = FeatureImportanceDisplay(importance=pl.DataFrame(table.to_dict("list")))
    widths = [[bar.get_width() for bar in d.bars_] for d in (polars.plot(), display)]
    assert widths[0] == widths[1]


@pytest.mark.parametrize("convert", [list, pl.Series], ids=["lists", "polars"])
def test_a_map_of_lists_of_tags(model, convert):
    tags = [["a", "b"]] * 12 + [["b"]] * 10 + [[]] * 8
    display = EmbeddingMapDisplay.from_estimator(
        model, color=convert(tags), method="pca"
    )
    labels = [dots.get_label() for dots in display.scatters_]
    assert labels == ["other (8)", "a (12)", "b (10)"]


def test_a_map_by_a_column_needs_a_side_table():
    model = TwoTowerRecommender(embedding_dim=4, max_epochs=1)
    model.fit([["ann", "tea"], ["bob", "jam"], ["bob", "egg"]])
    with pytest.raises(ValueError, match="'genres'.*without one. Fit with items="):
        EmbeddingMapDisplay.from_estimator(model, color="genres", method="pca")


@pytest.mark.slow
def test_map_colors_groups_numbers_and_popularity(made, model):
    display = EmbeddingMapDisplay.from_estimator(
        model, color="category", method="pca", n_groups=10
    )
    sizes = made.products["category"].value_counts()
    labels = [dots.get_label() for dots in display.scatters_]
    assert sorted(labels) == sorted(f"{name} ({n})" for name, n in sizes.items())
    assert {text.get_text() for text in display.texts_} <= set(sizes.index)
    display = EmbeddingMapDisplay.from_estimator(model, color="price", method="pca")
    (dots,) = display.scatters_
    prices = made.products.set_index("item").loc[model.item_ids_, "price"]
    np.testing.assert_allclose(dots.get_array(), prices)
    np.testing.assert_allclose(dots.get_offsets(), display.positions)
    users = made.X.drop_duplicates()["item"].value_counts().reindex(model.item_ids_)
    display = EmbeddingMapDisplay.from_estimator(model, method="pca")
    np.testing.assert_allclose(display.color, users.fillna(1))
    assert display.color_name == "number of users in fit"


@pytest.mark.slow
def test_map_reads_lists_dates_and_gaps():
    positions = np.random.default_rng(0).normal(size=(10, 2))
    tags = [["a", "b"], ["rare", "b"], [], None, "c"] * 2
    tags[1] = ["b"]
    display = EmbeddingMapDisplay(positions=positions, color=tags).plot(n_groups=3)
    labels = [dots.get_label() for dots in display.scatters_]
    # 'rare' has no group: the next entry has
    assert labels[0] == "other (4)"
    assert sorted(labels[1:]) == ["a (2)", "b (2)", "c (2)"]
    dates = pd.to_datetime(["2020-05-01", None] * 5)
    dots = EmbeddingMapDisplay(positions=positions, color=dates).plot().scatters_[0]
    assert dots.get_array()[0] == 2020 and np.ma.getmaskarray(dots.get_array())[1]
    plain = EmbeddingMapDisplay(positions=positions).plot()
    assert len(plain.scatters_) == 1 and plain.ax_.get_legend() is None


@pytest.mark.slow
def test_names_on_the_map_do_not_overlap():
    positions = np.zeros((12, 2)) + [[0.0], [1e-3], [1.0]] * 4
    color = ["left", "nearly there", "right"] * 4
    display = EmbeddingMapDisplay(positions=positions, color=color).plot()
    assert [text.get_text() for text in display.texts_] == ["left", "right"]
    assert len(display.ax_.get_legend().get_texts()) == 3


@pytest.mark.slow
def test_map_samples_with_a_seed(model):
    params = {"method": "pca", "max_items": 7, "random_state": 3}
    one = EmbeddingMapDisplay.from_estimator(model, **params)
    two = EmbeddingMapDisplay.from_estimator(model, **params)
    assert one.positions.shape == (7, 2)
    np.testing.assert_array_equal(one.positions, two.positions)


def test_map_needs_two_dimensions(made):
    flat = TwoTowerRecommender(embedding_dim=1, max_epochs=1).fit(made.X)
    with pytest.raises(ValueError, match="vectors of at least 2 numbers. Got 30"):
        EmbeddingMapDisplay.from_estimator(flat)


@pytest.mark.slow
def test_map_uses_umap_if_it_is_installed(model, monkeypatch):
    class UMAP:
        def __init__(self, random_state, n_jobs):
            pass

        def fit_transform(self, X):
            return X

    umap = ModuleType("umap")
    umap.UMAP, umap.__spec__ = UMAP, ModuleSpec("umap", None)
    monkeypatch.setitem(sys.modules, "umap", umap)
    assert EmbeddingMapDisplay.from_estimator(model).method == "UMAP"
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match="pip install umap-learn"):
        EmbeddingMapDisplay.from_estimator(model, method="umap")
    tsne = EmbeddingMapDisplay.from_estimator(model, method="tsne", max_items=4)
    assert tsne.ax_.get_xlabel().startswith("near items are similar (t-SNE)")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [bool, "boolean", object])
def test_booleans_are_groups_on_a_map(kind):
    color = pd.Series([True] * 7 + [False] * 5, dtype=kind)
    positions = np.random.default_rng(0).normal(size=(12, 2))
    display = EmbeddingMapDisplay(positions=positions, color=color.array).plot()
    labels = [dots.get_label() for dots in display.scatters_]
    assert labels == ["True (7)", "False (5)"]


def test_the_color_bar_has_a_label_and_robust_limits(model):
    prices = np.linspace(1, 2, 30)
    prices[4] = 165
    display = EmbeddingMapDisplay.from_estimator(
        model, color=prices, color_name="price (GBP)", method="pca"
    )
    (dots,) = display.scatters_
    assert dots.get_clim() == pytest.approx(np.percentile(prices, [2, 98]))
    assert dots.get_clim()[1] < 165 and dots.get_array().max() == 165
    assert dots.colorbar.ax.get_ylabel() == "price (GBP)"
    assert dots.colorbar.extend == "both"
    (dots,) = display.plot(vmin=0, vmax=200).scatters_
    assert dots.get_clim() == (0, 200) and dots.colorbar.extend == "neither"
    (dots,) = display.plot(norm=plt.Normalize(0, 3)).scatters_
    assert dots.get_clim() == (0, 3) and dots.colorbar.extend == "max"


@pytest.mark.slow
def test_numbers_of_users_have_a_logarithmic_scale_with_plain_ticks():
    positions = np.random.default_rng(0).normal(size=(100, 2))
    counts = np.geomspace(1, 1000, 100)
    display = EmbeddingMapDisplay(
        positions=positions, color=counts, color_scale="log"
    ).plot()
    ax = display.scatters_[0].colorbar.ax
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["2", "5", "10", "20", "50", "100", "200", "500"]
    same = EmbeddingMapDisplay(
        positions=positions, color=np.ones(100), color_scale="log"
    ).plot()
    assert same.scatters_[0].get_clim()[0] <= 1
    near = EmbeddingMapDisplay(
        positions=positions, color=counts.clip(12, 29), color_scale="log"
    ).plot()
    ticks = near.scatters_[0].colorbar.get_ticks()
    assert len(ticks) >= 3 and set(np.diff(ticks)) == {5}
    missing = EmbeddingMapDisplay(positions=positions, color=np.full(100, np.nan))
    assert np.ma.getmaskarray(missing.plot().scatters_[0].get_array()).all()


@pytest.mark.slow
def test_ten_models_look_different():
    recall = pd.DataFrame(np.ones((2, 10)), columns=list("abcdefghij"), index=[1, 2])
    lines = RecallCurveDisplay(recall=recall).plot().lines_
    looks = {(line.get_color(), str(line._dash_pattern)) for line in lines}
    assert len(looks) == 10
    bars = RecallByPopularityDisplay(recall=recall).plot().bars_
    looks = {(bar[0].get_facecolor(), bar[0].get_hatch()) for bar in bars}
    assert len(looks) == 10


@pytest.mark.slow
def test_legends_say_what_an_error_is(made, model):
    curve = RecallCurveDisplay.from_estimator(model, made.held_out)
    assert curve.ax_.get_legend().get_title().get_text() == "shaded: ± 1 standard error"
    bars = RecallByPopularityDisplay.from_estimator(model, made.held_out)
    assert bars.ax_.get_legend().get_title().get_text() == "lines: ± 1 standard error"
    plain = RecallCurveDisplay(recall=curve.recall).plot()
    assert plain.ax_.get_legend().get_title().get_text() == ""


@pytest.mark.slow
def test_the_validation_recall_says_its_k(made):
    model = TwoTowerRecommender(
        embedding_dim=4, max_epochs=2, early_stopping=True, n_neighbors=7
    ).fit(made.X)
    display = TrainingCurveDisplay.from_estimator(model)
    assert "validation recall@7" in display.recall_ax_.get_ylabel()
    assert display.ax_.get_ylabel() == "training loss (lower is better)"


def test_random_pairs_leave_out_the_past_though_it_may_be_recommended(made):
    model = TwoTowerRecommender(
        embedding_dim=4, max_epochs=1, exclude_seen=False, random_state=0
    ).fit(made.X)
    ranking = model.rank_held_out(made.held_out, n_neighbors=0)
    assert ranking.seen.nnz == 0
    past = ranking.past.toarray()
    for user, row in zip(ranking.users, past, strict=True):
        own = made.X.loc[made.X["user"] == user, "item"]
        assert set(model.item_ids_[row.astype(bool)]) == set(own)


def all_displays(model, made):
    for display in OF_EVENTS:
        yield display.from_estimator(model, made.held_out)
    yield TrainingCurveDisplay(
        history=[{"epoch": 1, "train_loss": 3.0, "valid_recall": 0.1}]
    ).plot()
    results = {"start": [1, 2], "strategy": "popularity", "test_score": [0.1, 0.2]}
    yield PrequentialDisplay.from_frame(pd.DataFrame(results))
    results = {"recall@5": [0.3, 0.2], "intra_list_diversity@5": [0.1, 0.4]}
    yield RecallDiversityDisplay(results=pd.DataFrame(results)).plot()
    yield ReliabilityDisplay(prob_true=[0.1, 0.3], prob_pred=[0.1, 0.2]).plot()
    for color in ("category", "price"):
        yield EmbeddingMapDisplay.from_estimator(model, color=color, method="pca")


def luminance(color):
    channels = np.array(to_rgb(color))
    linear = np.where(
        channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
    )
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    """Return the contrast of two colors as WCAG defines it, from 1 to 21."""
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_colors_stand_out_from_either_ground():
    names = ["popularity", *(f"model {place}" for place in range(6))]
    figures = pd.DataFrame(0.5, index=pd.RangeIndex(1, 3, name="k"), columns=names)
    display = RecallCurveDisplay(recall=figures, standard_error=0 * figures).plot()
    colors = {line.get_color() for line in display.lines_}
    assert len(colors) == 5
    for ground in ("white", "black"):
        assert min(contrast(color, ground) for color in colors) >= 3


@pytest.fixture(scope="module")
def shown(made, model):
    return list(all_displays(model, made))


@pytest.mark.slow
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_displays_are_saved_and_readable_in_both_themes(shown, style, tmp_path):
    assert {type(display).__name__ for display in shown} == set(plots.__all__)
    with plt.style.context(style):
        for display in shown:
            assert display.plot() is display
            if style == "default":
                display.figure_.savefig(tmp_path / "picture.png", dpi=20)
                assert (tmp_path / "picture.png").stat().st_size > 0
            ax = display.ax_
            texts = [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels()]
            texts += [] if ax.get_legend() is None else ax.get_legend().get_texts()
            lines = [line.get_color() for line in ax.lines]
            colors = [text.get_color() for text in texts] + lines
            assert min(contrast(color, ax.get_facecolor()) for color in colors) >= 3
            assert ax.get_title() and ax.get_xlabel()


@pytest.mark.slow
def test_a_picture_is_drawn_on_the_given_axes(made, model):
    _, axes = plt.subplots(1, len(OF_EVENTS))
    for ax, display in zip(axes, OF_EVENTS, strict=True):
        shown = display.from_estimator(model, made.held_out, ax=ax)
        assert shown.ax_ is ax and shown.figure_ is ax.figure
    _, ax = plt.subplots()
    assert TrainingCurveDisplay.from_estimator(model, ax=ax, lw=5).line_.get_lw() == 5
    assert len(ax.figure.axes) == 1


@pytest.mark.slow
def test_recommenders_are_found_in_pipelines_and_searches(made, model):
    pipeline = make_pipeline(FunctionTransformer(), model)
    pipeline[0].fit(made.X)
    search = GridSearchCV(pipeline, {})
    search.best_estimator_ = pipeline
    for display in OF_EVENTS:
        shown = display.from_estimator(search, made.held_out, random_state=0)
        plain = display.from_estimator(model, made.held_out, random_state=0)
        for name, value in vars(plain).items():
            if isinstance(value, pd.DataFrame | np.ndarray):
                np.testing.assert_array_equal(getattr(shown, name), value)
    maps = EmbeddingMapDisplay.from_estimator(search, method="pca")
    assert len(maps.positions) == 30


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    for display in OF_FITTED:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        message = rf"{display.__name__}.from_estimator draws .* 'sktwotower\[plot\]'"
        with pytest.raises(ImportError, match=message):
            display.from_estimator(None, *([None] if display in OF_EVENTS else []))


def test_plot_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        ImportError, match=r"Display.plot draws .* 'sktwotower\[plot\]'"
    ):
        TrainingCurveDisplay(history=[{"epoch": 1, "train_loss": 1.0}]).plot()


def test_estimators_that_cannot_be_drawn_are_refused(made):
    for display in OF_FITTED:
        events = [made.held_out] if display in OF_EVENTS else []
        with pytest.raises(TypeError, match="^LogisticRegression .* Expected a "):
            display.from_estimator(LogisticRegression(), *events)
        with pytest.raises(NotFittedError, match="TwoTowerRecommender instance is not"):
            display.from_estimator(TwoTowerRecommender(), *events)
        with pytest.raises(
            TypeError, match="got the class TwoTowerRecommender. Fit one"
        ):
            display.from_estimator(TwoTowerRecommender, *events)


@pytest.mark.parametrize("display", [TrainingCurveDisplay, EmbeddingMapDisplay])
def test_pictures_of_towers_refuse_other_recommenders(display):
    with pytest.raises(TypeError, match="^Ranked has no towers to draw"):
        display.from_estimator(Ranked())


@pytest.mark.slow
def test_rankings_of_other_libraries_are_drawn():
    elsewhere = {7: ["d", "a"], 8: ["a", "c"]}
    display = RecallCurveDisplay.from_estimator(
        Ranked(), None, max_k=2, baselines={"elsewhere": elsewhere}
    )
    assert display.recall["elsewhere"].tolist() == [0.25, 0.75]
    listed = RecallCurveDisplay.from_estimator(
        Ranked(), None, max_k=2, baselines=[Ranked()]
    )
    assert listed.recall.columns.tolist() == ["Ranked", "popularity", "Ranked 2"]


def test_names_that_are_taken_are_refused():
    for display in RANKED:
        with pytest.raises(
            ValueError, match="name must be a string, and not 'popularity'"
        ):
            display.from_estimator(Ranked(), None, name="popularity")
        with pytest.raises(ValueError, match="Got 3"):
            display.from_estimator(Ranked(), None, name=3)


def test_several_axes_are_no_axes(model):
    with pytest.raises(TypeError, match="ax must be a Matplotlib Axes.* Got ndarray"):
        TrainingCurveDisplay.from_estimator(model, ax=plt.subplots(1, 2)[1])


def test_bad_baselines_are_refused():
    other_users = {"old": Ranked(users=(7, 9))}
    for display in RANKED:
        for baselines, error, message in [
            (Ranked(), TypeError, "list of fitted estimators, or a dict"),
            ([LogisticRegression()], TypeError, "LogisticRegression cannot rank"),
            ({"popularity": Ranked()}, ValueError, "'popularity', which is a model"),
            (other_users, ValueError, "'old' ranks for other users .* 1 of 2"),
        ]:
            with pytest.raises(error, match=message):
                display.from_estimator(Ranked(), None, baselines=baselines)


def test_bad_parameters_are_refused(made, model):
    for display, params, error, message in [
        (RecallCurveDisplay, {"max_k": 0}, ValueError, "max_k must be .* Got 0"),
        (
            RecallByPopularityDisplay,
            {"n_groups": 0},
            ValueError,
            "n_groups must be .* Got 0",
        ),
        (EmbeddingMapDisplay, {"color": "categry"}, ValueError, "mean 'category'?"),
        (EmbeddingMapDisplay, {"color": [1, 2]}, ValueError, "each of the 30 items"),
        (EmbeddingMapDisplay, {"color": 4}, TypeError, "color must name a column"),
        (EmbeddingMapDisplay, {"method": "x"}, ValueError, "method must be 'auto'"),
        (
            EmbeddingMapDisplay,
            {"max_items": 2},
            ValueError,
            "max_items must.* >= 3. Got 2",
        ),
        (EmbeddingMapDisplay, {"method": PCA}, ValueError, "method must be 'auto'"),
        (EmbeddingMapDisplay, {"method": PCA(1)}, ValueError, r"2\). Got \(30, 1\)"),
        (EmbeddingMapDisplay, {"n_groups": 11, "method": "pca"}, ValueError, "1 to 10"),
    ]:
        events = [made.held_out] if display in OF_EVENTS else []
        with pytest.raises(error, match=message):
            display.from_estimator(model, *events, **params)


def test_events_of_unknown_items_alone_cannot_be_drawn(made, model):
    unknown = made.held_out.assign(item=-5)
    with pytest.raises(ValueError, match="in the catalog: there is nothing to"):
        RecallByPopularityDisplay.from_estimator(model, unknown)


@pytest.mark.parametrize("name", ["LorenzCurveDisplay", "ScoreDistributionDisplay"])
def test_a_display_that_is_no_more_says_what_shows_the_same(name):
    with pytest.raises(ImportError, match=f"{name} is no more. Use .*(gini|hist)"):
        exec(f"from sktwotower.plots import {name}")
