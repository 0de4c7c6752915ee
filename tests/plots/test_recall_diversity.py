"""The curve of recall against diversity: by hand, with a recommender of four items."""

import sys

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")
from sktwotower import TwoTowerRecommender  # noqa: E402
from sktwotower.metrics import HeldOutRanking, make_retrieval_scorer  # noqa: E402
from sktwotower.plots import RecallDiversityDisplay  # noqa: E402
from tests.cases import for_each  # noqa: E402

# a and b point in one direction, c and d in others at right angles
VECTORS = np.array([[1.0, 0, 0], [2, 0, 0], [0, 1, 0], [0, 0, 1]])
LISTS = {0: ["ab", "ab"], 0.5: ["ac", "ab"], 0.9: ["cd", ""], 1: ["cd", "ac"]}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


class Diverse(BaseEstimator):
    """Two users, who wanted a and b: the more diverse a list, the less is found."""

    item_ids_ = np.array(list("abcd"))

    def __init__(self, vectors=VECTORS, seen=(), past=(), fitted=True):
        self.vectors = vectors
        self.seen, self.past, self.fitted = seen, past, fitted
        self.asked = []

    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return self.fitted

    def rank_held_out(self, X, y=None, *, n_neighbors, max_users=None, **params):
        rows = range(2 if max_users is None else max_users)
        matrices = {}
        for name in ("seen", "past"):
            matrix = np.zeros((2, 4))
            for row, item in getattr(self, name):
                matrix[row, item] = 1
            matrices[name] = sparse.csr_array(matrix[rows])
        return HeldOutRanking(
            users=np.array(["u", "v"])[rows],
            indices=np.array([[0, 1], [0, 1]])[rows, :n_neighbors],
            truth=sparse.csr_array([[1, 1, 0, 0], [1, 1, 0, 0]])[rows],
            item_vectors=self.vectors,
            **matrices,
        )

    def recommend(self, X=None, n_neighbors=None, *, diversity=0, **params):
        self.asked.append((list(X), n_neighbors, diversity, params))
        rows = [
            (user, item, 1.0, place + 1)
            for user in X
            for place, item in enumerate(LISTS[diversity]["uv".index(user)])
        ]
        return pd.DataFrame(rows, columns=["who", "what", "score", "rank"])


def test_the_curve_by_hand():
    model = Diverse()
    display = RecallDiversityDisplay.from_estimator(
        model, None, diversity=[0, 0.5, 1], k=2, color="red"
    )
    figures = display.results[["recall@2", "recall@2 diff", "intra_list_diversity@2"]]
    wanted = [[1, 0, 0], [3 / 4, -1 / 4, 1 / 2], [1 / 4, -3 / 4, 1]]
    assert figures.to_numpy().tolist() == wanted
    assert display.results.index.tolist() == [0, 0.5, 1]
    assert display.results.index.name == "diversity"
    assert display.results.loc[0.5, "recall@2 se"] == pytest.approx(1 / 4)
    assert display.line_.get_xydata().tolist() == [[0, 1], [0.5, 0.75], [1, 0.25]]
    assert display.line_.get_color() == "red"
    assert [text.get_text() for text in display.labels_] == ["0", "0.5", "1"]
    legend = display.ax_.get_legend()
    assert legend.get_title().get_text() == "lines: ± 1 standard error"
    assert [text.get_text() for text in legend.get_texts()] == [
        "diversity, at each point"
    ]
    assert display.ax_.get_xlabel() == "intra-list diversity@2"
    assert model.asked == [(["u", "v"], 2, value, {}) for value in (0, 0.5, 1)]


def test_a_sample_other_vectors_and_given_axes():
    _, ax = plt.subplots()
    model = make_pipeline(FunctionTransformer(), Diverse())
    display = RecallDiversityDisplay.from_estimator(
        model,
        None,
        diversity=0.5,
        k=2,
        max_users=1,
        item_vectors=pd.DataFrame({"x": [1, 1, 1, -1]}, index=list("dcba")),
        ax=ax,
    )
    assert display.ax_ is ax and display.figure_ is ax.figure
    assert display.results["intra_list_diversity@2"].tolist() == [2]  # a and c
    assert display.results["recall@2"].tolist() == [1 / 2]
    assert np.isnan(display.results["recall@2 se"]).all()


def test_what_is_to_be_found_again_is_not_left_out():
    # v had a and d before; a is wanted again, so that only d is left out
    model = Diverse(seen=[(1, 3)], past=[(1, 0), (1, 3)])
    RecallDiversityDisplay.from_estimator(model, None, diversity=0, k=2)
    (_, _, _, params) = model.asked[0]
    assert params["exclude_seen"] is False
    assert params["exclude"].tolist() == [["v", "d"]]
    # if nothing that was seen is wanted, the recommender leaves it out by itself
    model = Diverse(seen=[(1, 3)], past=[(1, 3)])
    RecallDiversityDisplay.from_estimator(model, None, diversity=0, k=2)
    assert model.asked[0][-1] == {}


def test_users_without_recommendations_are_misses():
    display = RecallDiversityDisplay.from_estimator(Diverse(), None, diversity=0.9, k=2)
    assert display.results["recall@2"].tolist() == [0]
    assert display.results["coverage@2"].tolist() == [2 / 4]


@for_each("exclude_seen", [True, False])
def test_users_are_asked_for_in_their_last_context_and_may_choose_again(exclude_seen):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.integers(0, 12, (240, 3)), columns=["user", "item", "hour"])
    train, test = X[:160], X[160:]
    model = TwoTowerRecommender(
        context=["hour"],
        exclude_seen=exclude_seen,
        embedding_dim=4,
        max_epochs=1,
        random_state=0,
    ).fit(train)
    recall = make_retrieval_scorer("recall@3", requests=[])(model, test)
    display = RecallDiversityDisplay.from_estimator(model, test, k=3, diversity=(0, 1))
    assert display.results.loc[0, "recall@3"] == pytest.approx(recall)
    assert display.results.loc[0, "recall@3 diff se"] == 0
    plain, diverse = display.results["intra_list_diversity@3"]
    assert diverse > plain


def test_models_of_a_report_are_points():
    results = {"recall@20 se": [0.1, 0.1], "recall@20": [0.3, 0.2]}
    results = pd.DataFrame(results | {"intra_list_diversity@20": [0.5, np.nan]})
    results.index = pd.Index(["towers", "popularity"], name="model")
    display = RecallDiversityDisplay(results=results).plot(linestyle="none")
    assert [text.get_text() for text in display.labels_] == ["towers", "popularity"]
    assert display.line_.get_linestyle() == "None"
    plain = RecallDiversityDisplay(results=results.drop(columns="recall@20 se")).plot()
    assert plain.ax_.get_legend().get_title().get_text() == ""
    display.figure_.draw_without_rendering()


@for_each(
    ("results", "message"),
    [
        (pd.DataFrame({"recall@5": [0.1]}), r"Got 1 rows with the columns \['recall@5"),
        (pd.DataFrame({"recall@5": [], "intra_list_diversity@5": []}), "Got 0 rows"),
        (
            pd.DataFrame({"recall@5": [1], "intra_list_diversity@9": [1]}),
            "'intra_list_diversity@k' for one k",
        ),
    ],
)
def test_tables_without_the_figures_are_refused(results, message):
    with pytest.raises(ValueError, match=message):
        RecallDiversityDisplay(results=results).plot()


class Plain(Diverse):
    """Its lists cannot be made more diverse."""

    def recommend(self, X=None, n_neighbors=None):
        raise AssertionError


def test_what_cannot_be_drawn_is_refused():
    for model, params, error, message in [
        (Plain(), {}, TypeError, r"Plain cannot .* recommend\(X, n_neighbors, divers"),
        (
            Diverse(vectors=None),
            {},
            ValueError,
            "needs a vector for each item.*item_ve",
        ),
        (Diverse(), {"k": 1}, ValueError, "k must be an integer >= 2. Got 1"),
        (Diverse(), {"k": 2.5}, TypeError, "k must be an integer >= 2. Got 2.5"),
        (Diverse(), {"diversity": []}, ValueError, "results must have a row per point"),
        (
            Diverse(),
            {"item_vectors": np.ones((3, 1))},
            ValueError,
            r"item_vectors .* of 4 items. Got \(3, 1\)",
        ),
        (Diverse(fitted=False), {}, NotFittedError, "Diverse instance is not fitted"),
        (FunctionTransformer(), {}, TypeError, "FunctionTransformer cannot rank"),
        (Diverse, {}, TypeError, "got the class Diverse. Fit one first"),
    ]:
        with pytest.raises(error, match=message):
            RecallDiversityDisplay.from_estimator(model, None, **params)


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="^RecallDiversityDisplay.from_estimator dr"):
        RecallDiversityDisplay.from_estimator(None, None)
