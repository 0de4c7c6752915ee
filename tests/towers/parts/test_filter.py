"""A linear filter: vectors that are computed, next to those that are trained."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sktwotower.towers.parts import embed_items, embed_users
from sktwotower.towers.parts._filter import LinearFilter, auto_share, linear_filter

N_USERS, N_ITEMS, K = 12, 9, 3


def events():
    """Weights of random events; the last item has none."""
    rng = np.random.default_rng(0)
    dense = rng.uniform(0.5, 2, (N_USERS, N_ITEMS)) * (
        rng.random((N_USERS, N_ITEMS)) < 0.4
    )
    dense[np.arange(N_USERS), np.arange(N_USERS) % (N_ITEMS - 1)] = 1
    dense[:, -1] = 0
    return dense


def singular(dense):
    """Return V (n_items, K) and the sums of the columns, from a dense SVD."""
    users, items = dense.sum(axis=1), dense.sum(axis=0)
    normalized = dense / np.sqrt(np.outer(users, np.where(items > 0, items, 1)))
    return np.linalg.svd(normalized)[2][:K].T, items


def identity(n):
    return sparse.identity(n, format="csr", dtype=np.float32)


def ones(dense):
    return sparse.csr_matrix((dense > 0).astype(np.float32))


def test_scores_are_those_of_a_dense_low_pass_filter():
    dense = events()
    vectors, counts = singular(dense)
    module = linear_filter(vectors, counts, identity(N_ITEMS))
    users = embed_users(module, identity(N_USERS), ones(dense), identity(N_ITEMS))
    items = embed_items(module, identity(N_ITEMS))
    # R D^-1/2 V V^T D^1/2, up to a factor of each user and one of all
    root = np.sqrt(np.where(counts > 0, counts, 1))
    wanted = (dense > 0) / root @ vectors @ vectors.T * root
    scores = users @ items.T
    factors = scores[:, 0] / wanted[:, 0]
    assert (factors > 0).all()
    assert_allclose(scores, wanted * factors[:, None], atol=1e-5)
    past = (dense > 0) / root @ vectors
    longest = np.linalg.norm(vectors * root[:, None], axis=1).max()
    assert_allclose(1 / factors, np.linalg.norm(past, axis=1) * longest, rtol=1e-4)


def test_all_vectors_have_length_one():
    dense = events()
    module = linear_filter(*singular(dense), identity(N_ITEMS))
    past = ones(np.vstack([dense[:3], np.zeros(N_ITEMS)]))  # the last has no history
    users = embed_users(module, identity(N_USERS)[:4], past, identity(N_ITEMS))
    unknown = sparse.csr_matrix((1, N_ITEMS), dtype=np.float32)
    items = embed_items(module, sparse.vstack([identity(N_ITEMS), unknown], "csr"))
    assert users.shape == (4, K + 2) and items.shape == (N_ITEMS + 1, K + 2)
    for vectors in (users, items):
        assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    # neither no history nor no events say anything
    scores = users @ items.T
    assert_allclose(scores[3], 0, atol=1e-5)
    assert_allclose(scores[:, -2:], 0, atol=1e-5)
    assert np.abs(scores[:3, :-2]).max() > 0.1


def test_users_are_known_by_their_past_only():
    dense = events()
    module = linear_filter(*singular(dense), identity(N_ITEMS))
    past = ones(dense[[2, 2]])
    pair = embed_users(module, identity(N_USERS)[:2], past, identity(N_ITEMS))
    assert_allclose(*pair, atol=1e-7)


def test_an_item_without_events_has_the_mean_of_items_with_its_features():
    dense = events()
    tags = np.zeros((N_ITEMS, 2))
    tags[:4, 0] = tags[4:6, 1] = 1
    rows = sparse.hstack([identity(N_ITEMS), sparse.csr_matrix(tags)], "csr")
    module = linear_filter(*singular(dense), rows)
    plain = linear_filter(*singular(dense), identity(N_ITEMS))
    known = embed_items(module, rows)
    # what is known of an item are its events
    assert_allclose(known, embed_items(plain, identity(N_ITEMS)), atol=1e-5)
    new = sparse.hstack([sparse.csr_matrix((2, N_ITEMS)), np.eye(2)], "csr")
    means = np.array([known[:4].mean(axis=0), known[4:6].mean(axis=0)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    assert_allclose(embed_items(module, new.astype(np.float32)), means, atol=1e-5)
    # also if it has an id
    tags[-1, 1] = 1
    rows = sparse.hstack([identity(N_ITEMS), sparse.csr_matrix(tags)], "csr")
    module = linear_filter(*singular(dense), rows)
    assert_allclose(embed_items(module, rows)[-1], means[1], atol=1e-5)
    assert_allclose(embed_items(module, rows)[:-1], known[:-1], atol=1e-5)


def test_weights_are_no_random_ones():
    rows = identity(N_ITEMS)
    states = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        module = linear_filter(*singular(events()), rows)
        states.append(module.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert set(module.tables.values()) == {"item"}  # nothing is known of single users


def test_the_auto_share_falls_with_the_noise_of_events():
    # noise .25: a weight of .06 / .125
    assert auto_share(64, 64) == pytest.approx(0.48 / 1.48)
    # noise 1/4 + 3/4: a weight of .06
    assert auto_share(16, 16 / 9) == pytest.approx(0.06 / 1.06)
    # MovieLens 1M and Last.FM, as the docs say
    assert round(auto_share(119, 220), 2) == 0.49
    assert round(auto_share(20.7, 8.7), 2) == 0.13


def test_a_filter_has_a_third_of_the_vector():
    assert LinearFilter.widths(12) == (8, 4) and LinearFilter.widths(13) == (9, 4)
    assert LinearFilter.widths("auto") == (256, 128)


def test_its_weight_falls_with_further_events():
    module = linear_filter(*singular(events()), identity(N_ITEMS))
    assert [module.fading(share) for share in (0, 0.01, 1)] == [1, 2, 101]


def test_new_columns_say_nothing_and_the_others_stay():
    module = linear_filter(*singular(events()), identity(N_ITEMS))
    places = np.arange(N_ITEMS) + (np.arange(N_ITEMS) >= 4)  # a new one at 4
    grown = module.grown(
        None, {"user": (np.arange(3), 5), "item": (places, N_ITEMS + 1)}
    )
    assert isinstance(grown, LinearFilter)
    before = embed_items(module, identity(N_ITEMS))
    after = embed_items(grown, identity(N_ITEMS + 1))
    assert_array_equal(after[places], before)
    assert_allclose(after[4], [0, 0, 0, 1, 0], atol=1e-6)
    assert not grown.changed_columns(module, places, N_ITEMS + 1).any()
    past = sparse.csr_matrix(([1.0], ([0], [4])), shape=(1, N_ITEMS + 1))
    users = embed_users(grown, identity(5)[:1], past, identity(N_ITEMS + 1))
    assert_allclose(users, [[0, 0, 0, 0, 1]], atol=1e-5)
