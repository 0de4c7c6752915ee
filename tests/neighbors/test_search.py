"""Search by any index: exact scores, filters and full lists."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.neighbors import NearestNeighbors

from sktwotower.neighbors import ExactNeighbors
from sktwotower.neighbors import _search as search
from tests.cases import for_each
from tests.choices import pairwise
from tests.reference import additions, brute_force, exclusions, unit_vectors

retrieve, nearest_to_one = search.retrieve, search.nearest_to_one
added_of = search.added_of


def indexes(items):
    return {
        "exact": ExactNeighbors().fit(items),
        "brute": NearestNeighbors(algorithm="brute").fit(items),
        "ball_tree": NearestNeighbors(algorithm="ball_tree").fit(items),
    }


NAMES = ["exact", "brute", "ball_tree"]


@pytest.mark.parametrize("name, hidden, k", pairwise(NAMES, [True, False], [1, 60]))
def test_retrieve_from_any_index_equals_brute_force(name, hidden, k):
    queries, items = unit_vectors(20, seed=1), unit_vectors(50)
    excluded = exclusions(20, 50) if hidden else None
    scores, indices = retrieve(indexes(items)[name], queries, items, k, excluded)
    expected = brute_force(queries, items, k, excluded)
    np.testing.assert_allclose(scores, expected[0], rtol=1e-12)
    np.testing.assert_array_equal(indices, expected[1])


def test_padding_takes_no_place_in_a_list():
    # Padding must not be scored as item 0, which is the best of all here.
    items = unit_vectors(6)
    hidden = sparse.csr_matrix([[0.0, 0, 0, 0, 0, 1]])
    _, indices = retrieve(Canned((2, -1, 3)), items[:1], items, 2, hidden)
    assert sorted(indices[0]) == [2, 3]


@for_each("name", ["exact", "ball_tree"])
def test_retrieve_among_candidates_only(name):
    queries, items = unit_vectors(8, seed=1), unit_vectors(50)
    allowed, excluded = np.array([3, 7, 20, 49]), exclusions(8, 50)
    found = retrieve(indexes(items)[name], queries, items, 5, excluded, allowed)
    expected = brute_force(queries, items, 5, excluded, allowed)
    np.testing.assert_array_equal(found[1], expected[1])


class Canned(BaseEstimator):
    """Answers every query with the same positions, as a poor index does."""

    def __init__(self, answer=(0,)):
        self.answer = answer

    def fit(self, X, y=None):
        return self

    def kneighbors(self, X, n_neighbors, return_distance=False):
        return np.tile(np.array(self.answer)[:n_neighbors], (len(X), 1))


SHORT_ANSWERS = [
    (7,) * 50,
    (-1,) * 50,
    (4, 4, -1, 2, 2),
    (3, 8),
    tuple(range(3)) + (-1,) * 9,
]


def test_lists_that_fall_short_are_searched_exactly():
    for answer in SHORT_ANSWERS:
        queries, items = unit_vectors(6, seed=1), unit_vectors(50)
        for excluded in (None, exclusions(6, 50)):
            found = retrieve(Canned(answer), queries, items, 5, excluded)
            expected = brute_force(queries, items, 5, excluded)
            np.testing.assert_array_equal(found[1], expected[1])
            np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)


def test_poor_but_full_answers_are_scored_and_sorted_exactly():
    queries, items = unit_vectors(6, seed=1), unit_vectors(50)
    scores, indices = retrieve(Canned((9, 1, 30)), queries, items, 3)
    expected = brute_force(queries, items, 3, allowed=np.array([1, 9, 30]))
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(scores, expected[0], rtol=1e-12)


def test_excluded_answers_are_dropped():
    queries, items = unit_vectors(1, seed=1), unit_vectors(6)
    hidden = sparse.csr_matrix([[1.0, 0, 0, 1, 0, 0]])
    _, indices = retrieve(Canned((0, 1, 2, 3)), queries, items, 2, hidden)
    assert sorted(indices[0]) == [1, 2]


BEYOND = [(0, 99, 1), (0, 6, 2)]


def test_positions_beyond_the_catalog_are_no_answers():
    for answer in BEYOND:
        queries, items = unit_vectors(3, seed=1), unit_vectors(6)
        for hidden in (None, exclusions(3, 6, share=0.0)):
            found = retrieve(Canned(answer), queries, items, 3, hidden)
            expected = brute_force(queries, items, 3)
            np.testing.assert_array_equal(found[1], expected[1])


def test_retrieve_without_queries_or_items_left():
    items = unit_vectors(6)
    scores, indices = retrieve(Canned((0, 1)), unit_vectors(0), items, 3)
    assert scores.shape == indices.shape == (0, 3)
    everything = sparse.csr_matrix(np.ones((2, 6)))
    scores, indices = retrieve(Canned((0, 1)), unit_vectors(2), items, 3, everything)
    assert (indices == -1).all() and np.isneginf(scores).all()


class Sloppy(BaseEstimator):
    """Returns a random share of the true neighbors, with padding in between."""

    def __init__(self, share=0.5):
        self.share = share

    def fit(self, X, y=None):
        self.vectors_ = X
        return self

    def kneighbors(self, X, n_neighbors, return_distance=False):
        _, found = brute_force(X, self.vectors_, n_neighbors)
        lost = np.random.default_rng(0).random(found.shape) > self.share
        return np.where(lost, -1, found)


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32 - 1),
    n_items=st.integers(1, 40),
    k=st.integers(1, 45),
    hidden=st.sampled_from([0.0, 0.3, 0.95, 1.0]),
    allowed=st.sampled_from([None, 0.0, 0.1, 0.5, 0.95, "own"]),
    share=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_filters_never_fall_short(seed, n_items, k, hidden, allowed, share):
    rng = np.random.default_rng(seed)
    queries, items = unit_vectors(5, seed=seed), unit_vectors(n_items, seed=seed + 1)
    excluded = exclusions(5, n_items, seed, hidden)
    own = exclusions(5, n_items, seed + 2, 0.4) if allowed == "own" else None
    if own is not None:
        given_list = own
    elif allowed is not None:
        given_list = np.flatnonzero(rng.random(n_items) < allowed)
    else:
        given_list = None
    index = Sloppy(share).fit(items)
    scores, indices = retrieve(index, queries, items, k, excluded, given_list)
    for row in range(5):
        left = set(range(n_items)) - set(excluded[row].indices.tolist())
        if own is not None:
            left &= set(own[row].indices.tolist())
        elif given_list is not None:
            left &= set(given_list.tolist())
        found = indices[row][indices[row] >= 0].tolist()
        assert len(found) == len(set(found)) == min(k, len(left))
        assert set(found) <= left
        true = items[found].astype(float) @ queries[row].astype(float)
        np.testing.assert_allclose(scores[row, : len(found)], true, rtol=1e-9)
        assert (np.diff(scores[row, : len(found)]) <= 0).all()
        if share == 1.0 or own is not None:
            best = brute_force(
                queries[row : row + 1], items, k, None, np.array(sorted(left), int)
            )[1]
            assert found == best[0][best[0] >= 0].tolist()


# Numbers that are added to products


FILTERS = ["none", "hidden", "for all", "own"]


@pytest.mark.parametrize("name, filters, k", pairwise(NAMES, FILTERS, [1, 5, 160]))
def test_added_numbers_from_any_index_equal_brute_force(name, filters, k):
    queries, items = unit_vectors(4, seed=1), unit_vectors(150)
    excluded = None if filters == "none" else exclusions(4, 150)
    own = exclusions(4, 150, seed=2, share=0.7)
    allowed = {"for all": np.arange(0, 150, 2), "own": own}.get(filters)
    added = additions(4, 150, share=0.04)  # with more no index is asked
    case = indexes(items)[name], queries, items, k, excluded, allowed
    scores, indices = retrieve(*case, added)
    for row in range(4):
        hidden = excluded if excluded is None else excluded[row]
        left = allowed[row].indices if filters == "own" else allowed
        query = queries[[row]]
        expected = brute_force(query, items, k, hidden, left, added[row])
        np.testing.assert_allclose(scores[[row]], expected[0], rtol=1e-12)
        np.testing.assert_array_equal(indices[[row]], expected[1])
        case = indexes(items)[name], query, items, k, hidden
        one = retrieve(*case, own[row] if filters == "own" else left, added[row])
        np.testing.assert_array_equal(one[0], scores[[row]])
        np.testing.assert_array_equal(one[1], indices[[row]])


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32 - 1),
    n_items=st.integers(100, 250),
    k=st.integers(1, 45),
    hidden=st.sampled_from([0.0, 0.3, 0.95]),
    allowed=st.sampled_from([None, 0.1, 0.5, 0.95]),
    largest=st.sampled_from([1e-9, 1.0, 1e6]),
)
def test_added_numbers_cost_no_recall(seed, n_items, k, hidden, allowed, largest):
    queries, items = unit_vectors(5, seed=seed), unit_vectors(n_items, seed=seed + 1)
    excluded = exclusions(5, n_items, seed, hidden)
    if allowed is not None:
        rng = np.random.default_rng(seed)
        allowed = np.flatnonzero(rng.random(n_items) < allowed)
    added = additions(5, n_items, seed, 0.03, largest)
    index = Sparing(step=3).fit(items)
    case = queries, items, k, excluded, allowed
    truth, by_product = brute_force(*case, added), brute_force(*case)
    many, without = retrieve(index, *case, added), retrieve(index, *case)
    for row in range(5):
        case = index, queries[row], items, k, excluded[row].indices, allowed
        of_row = added_of(added, row)
        one, alone = nearest_to_one(*case, of_row), nearest_to_one(*case)
        positions = [] if of_row is None else of_row.positions.tolist()
        for found, before in ((one[1], alone[1]), (many[1][row], without[1][row])):
            lost = set(truth[1][row]) - set(found)
            assert not lost & set(positions)
            assert lost <= set(by_product[1][row]) - set(before)
        for scores, found in (one, [part[row] for part in many]):
            left = np.sort(found[found >= 0])
            case = queries[[row]], items, k, None, left
            best = brute_force(*case, added[row])
            np.testing.assert_allclose(scores, best[0][0], rtol=1e-9)
            np.testing.assert_array_equal(found, best[1][0])


def test_what_an_index_misses_is_found_where_something_is_added():
    # products of the queries: 99, 98, 97 ... 0
    items = np.zeros((100, 2), dtype=np.float32)
    items[:, 0] = np.arange(99, -1, -1)
    queries = np.array(3 * [[1, 0]], dtype=np.float32)
    entries = [1.5, 90.5, 7.5, 8.5], ([0, 0, 1, 1], [2, 40, 4, 6])
    added = sparse.csr_matrix(entries, shape=(3, 100))
    hidden = sparse.csr_matrix(([1.0, 1], ([0, 2], [40, 0])), shape=(3, 100))
    index = Canned((8, 7)).fit(items)
    scores, indices = retrieve(index, queries[:2], items, 2, None, None, added[:2])
    assert indices.tolist() == [[40, 2], [4, 6]]
    assert scores.tolist() == [[149.5, 98.5], [102.5, 101.5]]
    # without hidden items; nothing is added to the last query
    many = retrieve(index, queries, items, 2, hidden, None, added)
    best = [[2, 7], [4, 6], [7, 8]]
    assert many[1].tolist() == best
    assert many[0].tolist() == [[98.5, 92], [102.5, 101.5], [92, 91]]
    for row in range(3):
        again = retrieve(index, queries[[row]], items, 2, hidden[row], None, added[row])
        assert again[1].tolist() == [best[row]]


def test_where_much_is_added_no_index_is_asked():
    queries, items = unit_vectors(4, seed=1), unit_vectors(90)
    index = Recording(algorithm="brute").fit(items)
    for share, n_asked in ((0.02, 5), (0.6, 0)):
        added = additions(4, 90, share=share)
        index.widths_.clear()
        found = retrieve(index, queries, items, 6, added=added)
        for row, query in enumerate(queries):
            one = nearest_to_one(index, query, items, 6, (), added=added_of(added, row))
            np.testing.assert_array_equal(one[0], found[0][row])
        assert len(index.widths_) == n_asked
        expected = brute_force(queries, items, 6, added=added)
        np.testing.assert_array_equal(found[1], expected[1])
    # an array holds numbers for most items
    index.widths_.clear()
    dense = retrieve(index, queries, items, 6, added=added.toarray())
    assert index.widths_ == []
    np.testing.assert_array_equal(dense[1], expected[1])


def test_candidates_of_each_query_by_hand():
    items = np.array([[1, 0], [0, 1], [1, 1], [3, 0]], dtype=np.float32)
    queries = np.array([[1, 2], [1, 0]], dtype=np.float32)
    own = sparse.csr_matrix([[1.0, 1, 0, 1], [0, 0, 1, 0]])
    hidden = sparse.csr_matrix([[0.0, 0, 1, 1], [0, 0, 0, 0]])
    scores, indices = retrieve(ExactNeighbors(), queries, items, 2, hidden, own)
    assert indices.tolist() == [[1, 0], [2, -1]]
    assert scores.tolist() == [[2, 1], [1, -np.inf]]


HUGE = 10**9


INDEXES = [ExactNeighbors(), NearestNeighbors()]
LISTS = [None, "for all", "own"]


@pytest.mark.parametrize(
    "index, lists, hidden", pairwise(INDEXES, LISTS, [False, True])
)
def test_a_huge_k_costs_no_more_than_the_whole_catalog(index, lists, hidden):
    queries, items = unit_vectors(20, seed=1), unit_vectors(60)
    excluded = exclusions(20, 60) if hidden else None
    own = exclusions(20, 60, seed=2)
    allowed = {None: None, "for all": np.arange(0, 60, 7), "own": own}[lists]
    index = index.fit(items)
    mine, theirs = (
        retrieve(index, queries, items, k, excluded, allowed) for k in (HUGE, 60)
    )
    for found, expected in zip(mine, theirs, strict=True):
        assert found.shape == (20, 60)
        np.testing.assert_array_equal(found, expected)


# One query


class Sparing(BaseEstimator):
    """Finds the nearest items, except that every ``step``-th place is padding."""

    def __init__(self, step=2, padding=-1):
        self.step, self.padding = step, padding

    def fit(self, X, y=None):
        self.items_, self.widths_ = X, []
        return self

    def kneighbors(self, X, n_neighbors, return_distance=False):
        self.widths_.append(n_neighbors)
        found = np.argsort(-(X @ self.items_.T), axis=1)[:, :n_neighbors]
        found[:, :: self.step] = self.padding
        return found


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32 - 1),
    n_items=st.integers(1, 40),
    k=st.integers(1, 45),
    share=st.sampled_from([0.0, 0.3, 0.95, 1.0]),
)
def test_one_query_equals_brute_force(seed, n_items, k, share):
    query, items = unit_vectors(1, seed=seed), unit_vectors(n_items, seed=seed + 1)
    excluded = exclusions(1, n_items, seed, share)
    expected = brute_force(query, items, k, excluded)
    index = ExactNeighbors().fit(items)
    scores, indices = nearest_to_one(index, query[0], items, k, excluded.indices)
    np.testing.assert_allclose(scores, expected[0][0], rtol=1e-12)
    np.testing.assert_array_equal(indices, expected[1][0])
    again = retrieve(index, query, items, k, excluded)
    np.testing.assert_array_equal(again[0], scores[None])
    np.testing.assert_array_equal(again[1], indices[None])


def test_one_query_is_answered_as_it_is_among_others():
    queries, items = unit_vectors(20, seed=1), unit_vectors(300)
    excluded = exclusions(20, 300, share=0.5)
    index = ExactNeighbors().fit(items)
    together = retrieve(index, queries, items, 7, excluded)
    for row in range(20):
        hidden = excluded[row].indices
        scores, indices = nearest_to_one(index, queries[row], items, 7, hidden)
        np.testing.assert_array_equal(scores, together[0][row])
        np.testing.assert_array_equal(indices, together[1][row])


@for_each("share, hidden", [(0.1, 0.3), (0.6, 0.0), (1.0, 0.3)])
def test_one_query_among_allowed_items_is_answered_as_among_others(share, hidden):
    queries, items = unit_vectors(20, seed=1), unit_vectors(300)
    allowed = np.flatnonzero(np.random.default_rng(2).random(300) < share)
    excluded = exclusions(20, 300, share=hidden)
    expected = brute_force(queries, items, 7, excluded, allowed)
    for index in (ExactNeighbors(), Recording(algorithm="brute"), Sparing()):
        index.fit(items)
        for row, query in enumerate(queries):
            gone = excluded[row].indices
            scores, found = nearest_to_one(index, query, items, 7, gone, allowed)
            right = np.isin(found, allowed) & ~np.isin(found, gone)
            assert right.all() and len(set(found.tolist())) == 7
            if not isinstance(index, Sparing):
                np.testing.assert_array_equal(found, expected[1][row])
            again = retrieve(index, query[None], items, 7, excluded[row], allowed)
            np.testing.assert_array_equal(again[1][0], found)
            np.testing.assert_array_equal(again[0][0], scores)
        # few items are searched exactly; else the index is asked for about what is left
        widths = getattr(index, "widths_", [])
        assert (len(widths) == 0) == (share == 0.1 or isinstance(index, ExactNeighbors))
        if isinstance(index, Recording) and share == 0.6:
            assert min(widths) == math.ceil(7 / (len(allowed) / 300)) or hidden


@for_each("padding", [-1, 20_000])
def test_an_index_is_asked_again_for_more_and_then_done_without(padding):
    query, items = unit_vectors(1, seed=1)[0], unit_vectors(20_000)
    order = np.argsort(-(items @ query), kind="stable")
    hidden = order[[1, 3]]  # by the index, only even places can be found
    index = Sparing(padding=padding).fit(items)
    _, indices = nearest_to_one(index, query, items, 3, hidden)
    assert len(index.widths_) == 2 and index.widths_[0] == 5
    assert indices.tolist() == order[[5, 7, 9]].tolist()
    # among fewer items exact search is cheaper
    index.fit(items[:500])
    order = np.argsort(-(items[:500] @ query), kind="stable")
    hidden = order[[1, 3]]
    _, indices = nearest_to_one(index, query, items[:500], 3, hidden)
    assert index.widths_ == [5]
    assert indices.tolist() == order[[0, 2, 4]].tolist()


class Recording(NearestNeighbors):
    """Finds all nearest items, and remembers how many were requested."""

    def fit(self, X, y=None):
        self.widths_ = []
        return super().fit(X)

    def kneighbors(self, X, n_neighbors, return_distance=False):
        self.widths_.append(n_neighbors)
        return super().kneighbors(X, n_neighbors, return_distance)


def test_long_histories_widen_the_search_only_if_they_fill_it():
    # among 40,000 items a wide search costs less than an exact one
    items, query = unit_vectors(40_000, 3), unit_vectors(1, 3, seed=1)
    order = np.argsort(-(items @ query[0]), kind="stable")
    index = Recording(algorithm="brute").fit(items)
    k, cases = 5, [order[-104:], order[:40], order[:104]]
    widths = []
    for hidden in cases:
        expected = np.setdiff1d(order, hidden, assume_unique=True)[:k]
        index.widths_.clear()
        _, found = nearest_to_one(index, query[0], items, k, np.sort(hidden))
        assert found.tolist() == expected.tolist()
        widths.append(list(index.widths_))
        excluded = np.zeros((2, len(items)), dtype=np.float32)
        excluded[0, hidden] = 1
        excluded = sparse.csr_matrix(excluded)
        both = retrieve(index, np.tile(query, (2, 1)), items, k, excluded)
        assert both[1].tolist() == [expected.tolist(), order[:k].tolist()]
    assert len(widths[0]) == len(widths[1]) == 1 and len(widths[2]) == 2
    assert widths[0][0] < k + 104 <= widths[2][1]


def test_an_index_of_other_vectors_is_refused():
    index = ExactNeighbors().fit(np.eye(3))
    with pytest.raises(ValueError, match="vectors of 3 numbers, but .* have 2"):
        nearest_to_one(index, np.ones(2), np.eye(2), 1, ())


def test_absurd_numbers_of_neighbors_cost_nothing():
    index = ExactNeighbors().fit(unit_vectors(9))
    distances, indices = index.kneighbors(unit_vectors(2), n_neighbors=10**15)
    assert distances.shape == indices.shape == (2, 9)
