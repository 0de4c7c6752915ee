"""How often items come in a stream, by the gaps between their hits."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sktwotower.towers import StreamingFrequency
from sktwotower.towers.batches._batches import TrainingSet
from sktwotower.towers.batches._candidates import CandidateSampler
from sktwotower.towers.batches._gaps import Gaps, ItemStream
from tests.cases import for_each


def batches(chances, n_batches, size, seed=0):
    """Draw batches with replacement; the probability to be in one is known exactly."""
    rng = np.random.default_rng(seed)
    return rng.choice(len(chances), (n_batches, size), p=chances)


def inclusion(chances, size):
    return 1 - (1 - chances) ** size


def after(frequency, stream):
    for batch in stream:
        frequency.partial_fit(batch)
    return frequency


def squares(n):
    weights = np.arange(1.0, n + 1) ** 2
    return weights / weights.sum()


def test_by_hand():
    frequency = after(
        StreamingFrequency(0.5, initial_gap=10), [["a", "b"], ["b"], ["a", "c"]]
    )
    # a: (10 + 1) / 2 = 5.5 at step 1, (5.5 + 2) / 2 = 3.75 at step 3
    # b: 5.5 and (5.5 + 1) / 2 = 3.25; c: (10 + 3) / 2 = 6.5
    expected = [1 / 3.75, 1 / 3.25, 1 / 6.5, 1 / 10]
    assert_allclose(frequency.predict(list("abcd")), expected)
    assert frequency.ids_.tolist() == ["a", "b", "c"]


def test_nothing_is_learnt_from_the_first_hit():
    frequency = after(StreamingFrequency(), [["a"], [], [], ["b"]])
    assert_allclose(frequency.predict(["a", "b", "c"]), [1, 1 / 4, 0])
    frequency.partial_fit(["a", "b"])  # gaps of 4 and 1
    assert_allclose(frequency.predict(["a", "b"]), [1 / 4, 1])
    frequency.partial_fit(["a"])  # the mean of 4 and 1
    assert_allclose(frequency.predict(["a"]), [1 / 2.5])


def test_the_error_of_the_start_decays_as_the_recursion_says():
    frequency = StreamingFrequency(0.1, initial_gap=100)
    for n in range(1, 30):
        for _ in range(4):
            frequency.partial_fit([])
        (chance,) = frequency.partial_fit([7]).predict([7])
        assert_allclose(1 / chance - 5, 0.9**n * 95)


@for_each("unit", ["batch", "event"])
def test_a_slow_reference(unit):
    stream = batches(squares(6), 40, 5)
    gap, last, n_gaps, step = {}, {}, {}, 0
    for batch in stream:
        start, step = step, step + (1 if unit == "batch" else len(batch))
        for item in np.unique(batch):
            hits = 1 if unit == "batch" else (batch == item).sum()
            if item not in gap:
                gap[item], last[item], n_gaps[item] = step, start, 0
                hits -= 1
                total = hits + 1
            else:
                total = hits
            found = (step - last[item]) / total
            for _ in range(hits):
                rate = max(0.25, 1 / (n_gaps[item] + 1))
                gap[item] += rate * (found - gap[item])
                n_gaps[item] += 1
            last[item] = step
    frequency = after(StreamingFrequency(0.25, unit=unit), stream)
    assert_allclose(frequency.predict([*gap]), 1 / np.array([*gap.values()]))


def test_repeats_in_a_batch_count_once():
    once = after(StreamingFrequency(), [[1, 2], [2], [1]])
    often = after(StreamingFrequency(), [[1, 1, 2, 1], [2, 2], [1]])
    assert_array_equal(once.predict([1, 2]), often.predict([1, 2]))
    assert once.n_steps_ == often.n_steps_ == 3


@pytest.mark.slow
def test_shares_of_events():
    frequency = StreamingFrequency(unit="event")
    chances = squares(20)
    after(frequency, batches(chances, 1000, 16))
    assert frequency.n_steps_ == 16_000
    ratio = frequency.predict(np.arange(20)) / chances
    assert abs(ratio[5:].mean() - 1) < 0.05 and abs(ratio[5:] - 1).max() < 0.4


@pytest.mark.slow
def test_a_stationary_stream():
    chances = squares(50)
    frequency = after(StreamingFrequency(), batches(chances, 2000, 16))
    exact = inclusion(chances, 16)
    ratio = frequency.predict(np.arange(50)) / exact
    # the standard deviation is that of geometric gaps times sqrt(a / (2 - a))
    deviation = np.sqrt(0.01 / 1.99 * (1 - exact))
    often = exact > 0.1
    assert (abs(ratio - 1) < 5 * deviation + 0.01)[often].all()
    assert abs(ratio[often].mean() - 1) < 0.03


@pytest.mark.slow
def test_a_stream_whose_popularity_jumps():
    chances = squares(50)
    errors = {}
    for rate in (0.01, 0.1):
        frequency = after(StreamingFrequency(rate), batches(chances, 800, 16))
        after(frequency, batches(chances[::-1], 60, 16, seed=1))
        soon = frequency.predict(np.arange(50))
        after(frequency, batches(chances[::-1], 1600, 16, seed=2))
        late = frequency.predict(np.arange(50))
        exact = inclusion(chances[::-1], 16)
        errors[rate] = [abs(x - exact)[:40].mean() for x in (soon, late)]
    assert errors[0.1][0] < errors[0.01][0]  # a high rate follows faster
    assert errors[0.1][1] > errors[0.01][1]  # and is less exact in the end
    assert errors[0.01][1] < 0.2 * errors[0.01][0]


@pytest.mark.slow
def test_hashed_ids():
    chances, ids = squares(60), np.array([f"item {i}" for i in range(60)])
    stream = ids[batches(chances, 150, 8)]
    exact = after(StreamingFrequency(), stream).predict(ids)

    def error(**params):
        frequency = after(StreamingFrequency(**params), stream)
        assert frequency.ids_ is None
        return abs(frequency.predict(ids) - exact).mean()

    assert error(n_buckets=10**5) == 0
    one, several = error(n_buckets=120), error(n_buckets=30, n_hashes=4)
    assert 0 < several < one
    crowded = after(StreamingFrequency(n_buckets=5), stream).predict(ids)
    assert crowded.mean() > 2 * exact.mean()  # items of one place seem more frequent
    other = StreamingFrequency(n_buckets=120, random_state=1)
    assert (after(other, stream).predict(ids) != crowded).any()


def test_it_goes_on_after_pickle_and_starts_anew_by_fit():
    frequency = after(StreamingFrequency(), [["a", "b"], ["a"]])
    loaded = pickle.loads(pickle.dumps(frequency)).partial_fit(["c"])
    frequency.partial_fit(["c"])
    assert_array_equal(loaded.predict(list("abc")), frequency.predict(list("abc")))
    assert_array_equal(frequency.fit(["b"]).predict(["a", "b"]), [0, 1])
    with pytest.raises(NotFittedError):
        clone(frequency).predict(["a"])


def test_the_tables_stay_as_they_were_begun():
    for begun, changed in ({}, {"n_buckets": 9}), ({"n_buckets": 9}, {"n_hashes": 2}):
        frequency = StreamingFrequency(**begun).fit(["a"])
        before = frequency.predict(["a"])
        frequency.set_params(**changed)
        for call in frequency.partial_fit, frequency.predict:
            with pytest.raises(ValueError, match="those of the first batch"):
                call(["a"])
        frequency.set_params(n_buckets=None, n_hashes=1).set_params(**begun)
        assert_array_equal(frequency.predict(["a"]), before)


@for_each(
    ("params", "X", "error", "message"),
    [
        ({"rate": 0}, [1], ValueError, "rate"),
        ({"rate": 1.5}, [1], ValueError, "rate"),
        ({"unit": "day"}, [1], ValueError, "unit"),
        ({"n_buckets": 0}, [1], ValueError, "n_buckets"),
        ({"initial_gap": -1}, [1], ValueError, "initial_gap"),
        ({}, [1, None], ValueError, "X contains NaN: 1 of 2"),
        ({}, [1, "a"], TypeError, "mixes ids"),
        ({}, np.ones((2, 2)), ValueError, "one-dimensional"),
    ],
)
def test_bad_input(params, X, error, message):
    with pytest.raises(error, match=message):
        StreamingFrequency(**params).partial_fit(X)


@for_each("n_buckets", [None, 1000])
def test_ids_of_another_type_are_refused(n_buckets):
    frequency = StreamingFrequency(n_buckets=n_buckets).partial_fit([])
    frequency.partial_fit(["a"])
    with pytest.raises(TypeError, match="another type"):
        frequency.partial_fit([1])
    assert frequency.n_steps_ == 2
    numbers = StreamingFrequency(n_buckets=n_buckets).fit([1, 2])
    assert_array_equal(numbers.predict([1.0, 2.0, 3.0]), [1, 1, 0])


def test_a_batch_that_is_refused_changes_nothing():
    frequency = StreamingFrequency().fit(["a"])
    with pytest.raises(ValueError, match="contains NaN"):
        frequency.fit([None])
    assert_array_equal(frequency.predict(["a"]), [1])


# The stream of a recommender.


def test_counts_of_fit_are_the_start_and_new_items_are_average_ones():
    gaps = Gaps.of_shares(np.array([0.5, 0.5, 0.0]), [10, 10, 0])
    stream = ItemStream(gaps, 20)
    stream.add(np.array([2, 0]), n_users=2)
    assert stream.n_steps == 22
    # item 0: (10 * 2 + 2) / 11; item 2 is as frequent as one of three
    assert_allclose(stream.gaps.gap, [2, 2, 3])
    assert_array_equal(gaps.gap, [2, 2, np.inf])
    stream.add(np.array([2]), n_users=1)
    assert_allclose(stream.gaps.gap, [2, 2, (3 + 1) / 2])
    # one user brings one event along
    assert_allclose(stream.missing(1), [1 / 2, 1 / 2, 1 / 2])
    assert_allclose(stream.missing(2), [1 / 4, 1 / 4, 1 / 4])


def test_hits_that_are_taken_back():
    gaps = Gaps.of_shares(np.array([0.5, 0.25, 0.25]), [4, 2, 2])
    left = gaps.without(np.array([2, 2, 0]), share=0.5)
    # 2, 0 and 2 of 4 events
    assert_allclose(left.gap, [2, np.inf, 2])
    assert_array_equal(left.n_gaps, [2, 0, 2])
    assert_array_equal(left.last, [4, 0, 4])
    stream = ItemStream(left, 4)
    stream.add(np.array([0, 0]), n_users=1)
    assert_allclose(stream.gaps.gap, [6 / 4, np.inf, 2])


@for_each("sampling", ["in_batch", "mixed"])
def test_candidates_are_corrected_by_the_stream(sampling):
    rng, n_users, n_items, size = np.random.default_rng(0), 4000, 30, 50
    chances = squares(n_items)
    items = rng.choice(n_items, n_users, p=chances)  # one event of each user
    parts = np.ones(n_users), items, np.arange(n_users + 1)
    chosen = sparse.csr_matrix(parts, shape=(n_users, n_items))
    counts = np.bincount(items, minlength=n_items)
    gaps = Gaps.of_shares(counts / n_users, counts)
    data, how = TrainingSet(None, None, chosen), (sampling, 5, "negatives")
    exact = CandidateSampler(data, *how)
    data.stream = ItemStream(gaps, n_users)
    streaming = CandidateSampler(data, *how)
    for start in range(0, n_users, size):
        batch = chosen[start : start + size]
        found, log_q = streaming.draw(batch, None, np.random.default_rng(start))
        same, expected = exact.draw(batch, None, np.random.default_rng(start))
        assert_array_equal(found, same)
    often = counts[found] > 100
    assert_allclose(np.exp(log_q[often]), np.exp(expected[often]), rtol=0.25)
    assert abs(np.exp(log_q) / np.exp(expected) - 1)[often].mean() < 0.1


@for_each("sampling", ["full", "uniform", "mixed"])
def test_only_items_of_the_pool_are_sampled(sampling):
    data = TrainingSet(None, None, sparse.csr_matrix(np.ones((2, 6))))
    data.pool = np.array([1, 3, 4])
    sampler = CandidateSampler(data, sampling, 9, "negatives")
    batch = sparse.csr_matrix(np.eye(6)[[0]])
    found, log_q = sampler.draw(batch, None, np.random.default_rng(0))
    assert_array_equal(found, [0, 1, 3, 4])
    if sampling != "mixed":  # the positive is not sampled
        assert_array_equal(log_q, [np.inf, 0, 0, 0])
