"""Diversity, Gini index and long tail: by hand, against a naive loop, and refused."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sktwotower import EASERecommender, PopularityRecommender, TwoStageRecommender
from sktwotower.metrics import (
    gini_at_k,
    intra_list_diversity_at_k,
    long_tail_share_at_k,
    make_retrieval_scorer,
    retrieval_report,
)
from tests.builders import TEST, TRAIN, FixedRanking, random_events, small

# a and b point in one direction, c at right angles to it, d in the opposite one; z has
# no direction
VECTORS = pd.DataFrame(
    [[1, 0], [5, 0], [0, 2], [-3, 0], [0, 0]], index=["a", "b", "c", "d", "z"]
)


def test_diversity_by_hand():
    for lists, k, expected in [
        (["ab"], 2, 0),
        (["ac"], 2, 1),
        (["ad"], 2, 2),
        (["az"], 2, 1),
        (["zz"], 2, 1),
        (["aa"], 2, 0),
        (["abc"], 3, 2 / 3),
        (["abc"], 2, 0),
        (["abc", "ad", "a", ""], 10, (2 / 3 + 2) / 2),
    ]:
        lists = [list(names) for names in lists]
        assert intra_list_diversity_at_k(lists, VECTORS, k) == pytest.approx(expected)


def test_empty_places_are_in_no_pair():
    y_pred = np.array([[0, -1, 2], [-1, -1, -1], [1, -1, -1]])
    assert intra_list_diversity_at_k(y_pred, VECTORS.to_numpy()) == 1
    y_pred = [["a", None, "c"], [None], ["b", -1]]
    assert intra_list_diversity_at_k(y_pred, VECTORS) == 1


def wide(vectors):
    """Return vectors of so many entries that few of them are held at a time."""
    rows, columns = np.nonzero(vectors)
    cells = vectors[rows, columns], (rows, 150_000 * columns)
    return sparse.coo_array(cells, shape=(len(vectors), 1_000_000)).tocsr()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [np.float32, np.float64, int, sparse.csr_array, wide])
def test_diversity_is_that_of_a_naive_loop(kind, rng):
    vectors = rng.integers(-3, 4, size=(30, 7))
    vectors[4] = 0
    y_pred = rng.integers(-1, 30, size=(25, 6))
    wanted = []
    for row in y_pred:
        pairs = list(combinations(row[row >= 0], 2))
        cosines = [
            vectors[i]
            @ vectors[j]
            / max(np.linalg.norm(vectors[i]) * np.linalg.norm(vectors[j]), 1e-12)
            for i, j in pairs
        ]
        wanted += [1 - np.mean(cosines)] if pairs else []
    is_sparse = kind in (sparse.csr_array, wide)
    given = kind(vectors) if is_sparse else vectors.astype(kind)
    found = intra_list_diversity_at_k(y_pred, given, k=6)
    assert found == pytest.approx(np.mean(wanted), abs=1e-6)
    # neither the length of vectors counts, nor the order of a list or of the items
    order = rng.permutation(30)
    lengths = np.arange(1, 31)[:, None]
    scaled = given.multiply(lengths).tocsr() if is_sparse else given * lengths
    by_id = pd.DataFrame(vectors[order], index=order)
    for other in (scaled, by_id):
        again = intra_list_diversity_at_k(y_pred[:, ::-1], other, k=6)
        assert again == pytest.approx(found, abs=1e-6)


def test_bad_vectors_are_named():
    for y_pred, vectors, message in [
        ([[0, 1]], [1, 2], r"item_vectors must .* \(n_items, d\)\. Expected 2D"),
        ([[0, 1]], [[1], [1, 2]], "item_vectors must hold a vector for each item"),
        ([[0, 1]], [[1], [np.nan]], "item_vectors contains NaN"),
        ([[0, 1]], [["x"], ["y"]], "item_vectors must .* could not convert"),
        ([[0, 1]], None, "item_vectors must hold a vector for each item"),
        ([[0, 2]], [[1], [2]], "positions of item_vectors, integers from 0 to 1"),
        ([["a", "x", "y", "v"]], VECTORS, r"by id.*lacks 'x', 'y', \.\.\."),
        ([["a", "b"]], VECTORS.iloc[[0, 0, 1]], "item_vectors names an id twice"),
        ([["a"], []], VECTORS, "Diversity needs two items in a list"),
    ]:
        with pytest.raises(ValueError, match=message):
            intra_list_diversity_at_k(y_pred, vectors)


def test_an_item_given_twice():
    vectors = [[3.0, 4.0], [0.0, 0.0]]
    assert intra_list_diversity_at_k([[0, 0]], vectors) == pytest.approx(0, abs=1e-6)
    # the cosine with a vector of zeros is 0, also with itself
    assert intra_list_diversity_at_k([[1, 1]], vectors) == 1
    assert intra_list_diversity_at_k([[0, 1]], vectors) == pytest.approx(1)


def test_gini_by_hand():
    assert gini_at_k([["a", "b"], ["b", "a"]], n_items=2) == 0
    assert gini_at_k([["a"], ["a"], ["a"]], n_items=5) == 1
    assert gini_at_k([["a"]], n_items=1) == 0
    # counts 0, 0, 1, 3: (1 * 1 + 3 * 3) / (3 * 4)
    y_pred = np.array([[1, 0, 3], [1, -1, 2], [1, -1, 0]])
    assert gini_at_k(y_pred, n_items=4, k=2) == pytest.approx(10 / 12)


def test_gini_is_half_of_the_mean_difference_of_two_items(rng):
    y_pred = rng.integers(0, 20, size=(30, 5)) ** 2 % 23
    counts = np.bincount(y_pred.ravel(), minlength=23)
    differences = abs(counts[:, None] - counts).sum() / (23 * 22)
    found = gini_at_k(y_pred, n_items=23)
    assert found == pytest.approx(differences / (2 * counts.mean()))


def test_bad_numbers_of_items_are_named():
    with pytest.raises(ValueError, match="number of distinct ids in y_pred, 2. Got 1"):
        gini_at_k([["a", "b"]], n_items=1)
    with pytest.raises(ValueError, match="holds no ids"):
        gini_at_k([[], [-1]], n_items=1)
    with pytest.raises(TypeError, match="n_items must be an integer >= 1. Got 2.5"):
        gini_at_k([["a"]], n_items=2.5)


COUNTS = {"c": 2, "a": 5, "b": 2, "d": 1, "e": 0}  # in order a, c, b, d, e


def test_the_long_tail_by_hand():
    for kind in [dict, pd.Series]:
        for head, tail in [
            (0.3, "cbdex"),
            (0.5, "cbdex"),
            (0.51, "bdex"),
            (0.7, "bdex"),
            (0.8, "dex"),
            (1, "ex"),
        ]:
            for name in "abcdex":
                found = long_tail_share_at_k([[name]], kind(COUNTS), head=head)
                assert found == (name in tail), name


def test_the_share_of_the_long_tail_is_a_mean_over_users():
    # the tail are d and e: 1 / 3, 1 / 2 and 0; one user is left out
    lists = [["a", "b", "d"], ["e", "a"], ["c", None, "b", "d"], []]
    assert long_tail_share_at_k(lists, COUNTS, k=3) == pytest.approx(
        (1 / 3 + 1 / 2) / 3
    )
    y_pred = np.array([[3, 1, -1], [0, -1, 4]])
    counts = np.array(list(COUNTS.values()))
    assert long_tail_share_at_k(y_pred, counts) == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_a_share_that_was_rounded_up_adds_no_item_to_the_head():
    assert 0.55 * 100 > 55
    assert long_tail_share_at_k([["b"]], {"a": 55, "b": 45}, head=0.55) == 1
    assert long_tail_share_at_k([["b"]], {"a": 54, "b": 46}, head=0.55) == 0


def test_a_head_out_of_range_is_refused():
    for head in [0, 1.5, -1, np.nan, "half", None]:
        with pytest.raises(
            ValueError, match=r"head must be a share .* in \(0, 1\]. Got"
        ):
            long_tail_share_at_k([["a"]], COUNTS, head=head)


def test_bad_counts_of_a_tail_are_named():
    with pytest.raises(ValueError, match="item_counts must be finite"):
        long_tail_share_at_k([["a"]], {"a": 0})
    with pytest.raises(ValueError, match="item_counts names an id twice"):
        long_tail_share_at_k([["a"]], pd.Series([1, 2], index=["a", "a"]))


def test_places_and_ranks_are_checked():
    for metric, argument in [
        (gini_at_k, 3),
        (long_tail_share_at_k, [1, 2]),
        (intra_list_diversity_at_k, [[1], [2]]),
    ]:
        with pytest.raises(ValueError, match="k must be an integer >= 1. Got 0"):
            metric([[0, 1]], argument, k=0)
        with pytest.raises(TypeError, match="k must be an integer >= 1. Got True"):
            metric([[0, 1]], argument, k=True)
        with pytest.raises(TypeError, match="y_pred must hold ranked ids, best first"):
            metric(sparse.csr_array(np.eye(2)), argument)


# In scorers and reports


@pytest.fixture(scope="module")
def fitted():
    X = random_events(20, 12, seed=1)
    return small().fit(X), X


NAMES = ["gini@3", "long_tail_share@3", "intra_list_diversity@3"]


def test_scorers_and_reports_have_the_figures_of_the_functions(fitted):
    model, X = fitted
    ids = model.item_ids_[model.rank_held_out(X, n_neighbors=3).indices]
    counts = X.groupby("item")["user"].nunique().reindex(model.item_ids_)
    vectors = pd.DataFrame(model.item_embeddings_, index=model.item_ids_)
    wanted = {
        "gini@3": gini_at_k(ids, 12),
        "long_tail_share@3": long_tail_share_at_k(ids, counts),
        "intra_list_diversity@3": intra_list_diversity_at_k(ids, vectors),
    }
    scores = make_retrieval_scorer(NAMES)(model, X)
    assert scores == pytest.approx(wanted, abs=1e-6)
    others = {"ease": EASERecommender().fit(X)}
    report = retrieval_report(model, X, k=3, baselines=others)
    row = report.loc["all"].iloc[0]
    assert row[NAMES].to_dict() == pytest.approx(wanted, abs=1e-6)
    # the other lists are measured by the same vectors
    ids = others["ease"].item_ids_[
        others["ease"].rank_held_out(X, n_neighbors=3).indices
    ]
    wanted = intra_list_diversity_at_k(ids, vectors)
    assert report.loc[("all", "ease"), NAMES[2]] == pytest.approx(wanted, abs=1e-6)
    half = make_retrieval_scorer("long_tail_share@3", head=0.5, standard_error=True)
    assert "head=0.5" in repr(half)
    scores = half(model, X)
    tail = {
        item: long_tail_share_at_k([[item]], counts, head=0.5) for item in counts.index
    }
    shares = pd.Series(tail)[
        model.item_ids_[model.rank_held_out(X, n_neighbors=3).indices].ravel()
    ]
    shares = shares.to_numpy().reshape(-1, 3).mean(axis=1)
    assert scores["long_tail_share@3"] == pytest.approx(shares.mean())
    error = shares.std(ddof=1) / len(shares) ** 0.5
    assert scores["long_tail_share@3 se"] == pytest.approx(error)
    assert "gini@3 se" not in make_retrieval_scorer(NAMES, standard_error=True)(
        model, X
    )


def test_vectors_of_items_may_be_passed_to_a_report():
    model = FixedRanking(reverse=True).fit(TRAIN)  # item_ids_: s, r, q, p
    genres = pd.DataFrame({"x": [1, 1, 0, 0], "y": [0, 0, 1, 2]}, index=list("pqrs"))
    by_id = retrieval_report(model, TEST, k=4, item_vectors=genres)
    ranking = model.rank_held_out(TEST, n_neighbors=4)
    lists = [model.item_ids_[row[row >= 0]].tolist() for row in ranking.indices]
    wanted = intra_list_diversity_at_k(lists, genres)
    column = "intra_list_diversity@4"
    assert by_id.loc[("all", "FixedRanking"), column] == pytest.approx(wanted)
    in_order = sparse.csr_array(genres.loc[model.item_ids_].to_numpy())
    same = retrieval_report(model, TEST, k=4, item_vectors=in_order)
    pd.testing.assert_frame_equal(pd.DataFrame(same), pd.DataFrame(by_id))
    assert wanted > 0
    with pytest.raises(ValueError, match=r"by id. The index of its table lacks 's'"):
        retrieval_report(model, TEST, k=4, item_vectors=genres.loc[list("pqr")])
    with pytest.raises(ValueError, match=r"item_vectors .* of 4 items. Got \(3, 2\)"):
        retrieval_report(model, TEST, k=4, item_vectors=np.ones((3, 2)))


def test_without_vectors_the_diversity_is_unknown(fitted):
    _, X = fitted
    model = PopularityRecommender().fit(X)
    report = retrieval_report(model, X, k=(1, 3))
    assert report["intra_list_diversity@3"].isna().all()
    with pytest.raises(ValueError, match="needs a vector for each item, which this"):
        make_retrieval_scorer("intra_list_diversity@3")(model, X)


def test_lists_of_one_item_have_no_diversity(fitted):
    report = retrieval_report(*fitted, k=(1, 3))
    assert report["intra_list_diversity@1"].isna().all()
    assert report["intra_list_diversity@3"].notna().all()
    with pytest.raises(ValueError, match="Diversity needs two items in a list"):
        make_retrieval_scorer("intra_list_diversity@1")(*fitted)


@pytest.mark.slow
def test_two_stages_have_the_vectors_of_the_first():
    X = random_events(20, 12, seed=1)
    with pytest.warns(UserWarning, match="No ranker was trained"):
        model = TwoStageRecommender(small(), random_state=0).fit(X)
    vectors = model.rank_held_out(X, n_neighbors=3).item_vectors
    np.testing.assert_array_equal(vectors, model.retriever_.item_embeddings_)


def test_a_report_prints_what_is_in_the_lists_of_all(fitted):
    report = retrieval_report(*fitted, k=3)
    lines = repr(report).splitlines()
    assert max(map(len, lines)) <= 80
    at = next(i for i, line in enumerate(lines) if "coverage" in line)
    titles = "coverage gini novelty long tail diversity"
    assert lines[at].split() == titles.split()
    row = report.loc["all"].iloc[0]
    for column, digits in {"novelty@3": 2, "gini@3": 3, "long_tail_share@3": 3}.items():
        assert f" {row[column]:.{digits}f}".replace(" 0.", " .") in lines[at + 2]
    assert lines[at + 4] == ""  # the group of all only
