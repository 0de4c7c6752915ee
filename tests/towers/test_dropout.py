"""What is hidden in training, and what is therefore not learnt."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from scipy.stats import binom
from sklearn.compose import make_column_transformer
from sklearn.preprocessing import OneHotEncoder
from torch import nn

from sktwotower.towers.batches._batches import TrainingSet, UserBatches
from sktwotower.towers.batches._dropout import (
    FeatureDropout,
    features_worth,
    id_shares,
    profile_auc,
)
from tests.builders import small
from tests.cases import for_each


def csr(array):
    return sparse.csr_matrix(np.asarray(array, dtype=np.float32))


# Columns: ids of rows 0 and 1, a second id of row 1, two tags that two rows share, one
# that nobody has, the id of row 3, which is all that row 3 holds.
ROWS = csr(
    [
        [1, 0, 0, 2, 0, 0, 0],
        [0, 1, 3, 2, 5, 0, 0],
        [0, 0, 0, 0, 5, 0, 0],
        [0, 0, 0, 0, 0, 0, 1],
    ]
)
IDS = [True, True, True, False, False, False, True]


def rng(seed=0):
    return np.random.default_rng(seed)


def dropout_of(rows, ids=0.0, features=0.0, **params):
    return FeatureDropout(rows, np.full(rows.shape[0], ids), features, **params)


def drawn(rows, ids=0.0, features=0.0, state=0, **params):
    """Draw all rows once."""
    dropout = dropout_of(rows, ids, features, **params)
    return dropout.draw(np.arange(rows.shape[0]), rng(state))


def test_the_odds_of_an_id_to_be_hidden_fall_with_its_events():
    # 10 d : n (1 - d), worked out by hand
    assert_array_equal(id_shares(0.5, [10, 30, 90]), [1 / 2, 1 / 4, 1 / 10])
    assert_array_equal(id_shares(0.2, [10, 5]), [1 / 5, 1 / 3])
    assert_array_equal(id_shares(0.0, [0, 1, 100]), [0, 0, 0])
    assert_array_equal(id_shares(1.0, [0, 1, 100]), [1, 1, 1])


@pytest.mark.slow
def test_each_row_has_its_own_share():
    rows = csr(np.hstack([np.eye(3), np.ones((3, 1))]))
    dropout = FeatureDropout(rows, np.array([0.0, 1.0, 0.5]))
    kept = sum(dropout.draw(np.array([2, 1, 0]), rng(s)).toarray() for s in range(400))
    assert_array_equal(kept[:, 3], 3 * [400])
    assert kept[1, 1] == 0 and kept[2, 0] == 400
    assert within_binomial(kept[0, 2], 400, 0.5)


def test_a_column_of_one_row_is_an_id():
    assert_array_equal(dropout_of(ROWS).is_id, IDS)
    # the size of the value does not matter
    tag_of_one = csr([[1, 0.5], [1, 0]])
    assert_array_equal(dropout_of(tag_of_one).is_id, [False, True])


def test_all_ids_are_hidden_but_those_of_rows_without_anything_else():
    before = ROWS.copy()
    hidden = drawn(ROWS, ids=1.0).toarray()
    expected = ROWS.toarray()
    expected[:3, IDS] = 0
    assert_array_equal(hidden, expected)
    assert_array_equal(ROWS.toarray(), before.toarray())
    assert drawn(ROWS, ids=1.0).has_canonical_format


def test_whole_rows_may_be_hidden():
    assert drawn(ROWS, row_dropout=1.0).nnz == 0
    rows = csr(np.ones((3000, 2)))
    left = drawn(rows, row_dropout=0.3).toarray()
    assert_array_equal(left[:, 0], left[:, 1])
    assert within_binomial((left[:, 0] == 0).sum(), 3000, 0.3)


def test_ids_are_those_of_all_rows_though_a_batch_holds_some():
    # in these two rows the first tag occurs once, but it is no id
    part = dropout_of(ROWS, ids=1.0).draw(np.array([2, 0]), rng()).toarray()
    assert_array_equal(part, [[0, 0, 0, 0, 5, 0, 0], [0, 0, 0, 2, 0, 0, 0]])


def test_feature_dropout_keeps_ids():
    seen = sum(
        drawn(ROWS, features=0.9, state=seed).toarray() > 0 for seed in range(100)
    )
    stored = ROWS.toarray() > 0
    assert (seen[stored & IDS] == 100).all()
    assert (seen[stored & ~np.array(IDS)] < 40).all()


def within_binomial(count, n, p):
    low, high = binom.ppf([1e-6, 1 - 1e-6], n, p)
    return low <= count <= high


@pytest.mark.slow
@pytest.mark.parametrize(("ids", "features"), [(0.3, 0.0), (0.0, 0.5), (0.3, 0.5)])
def test_the_share_that_is_hidden_is_the_one_asked_for(ids, features):
    # each row: two ids of its own, and the same 4 tags as all others
    n = 3000
    rows = sparse.hstack(
        [sparse.identity(n), 2 * sparse.identity(n), np.ones((n, 4))],
        format="csr",
        dtype=np.float32,
    )
    left = drawn(rows, ids, features).toarray()
    first, second = np.diag(left[:, :n]) > 0, np.diag(left[:, n : 2 * n]) > 0
    assert_array_equal(first, second)  # a row loses all its ids, or none
    assert within_binomial((~first).sum(), n, ids)
    gone = left[:, 2 * n :] == 0
    assert within_binomial(gone.sum(), 4 * n, features)
    for tag in gone.T:  # each on its own
        assert within_binomial(tag.sum(), n, features)
        assert within_binomial((tag & ~first).sum(), n, ids * features)
    assert set(np.unique(left)) <= {0, 1, 2}


@for_each(
    ("rows", "params"),
    [
        (ROWS, {}),
        (csr(np.eye(4)), {"ids": 1.0, "features": 0.5}),
        (csr(np.ones((3, 2))), {"ids": 1.0}),
        (csr(np.zeros((3, 0))), {"ids": 1.0, "features": 0.5}),
    ],
)
def test_rows_stay_the_same_if_there_is_nothing_to_hide(rows, params):
    dropout, state = dropout_of(rows, **params), rng()
    assert not dropout.hides
    left = dropout.draw(np.arange(rows.shape[0]), state)
    assert_array_equal(left.toarray(), rows.toarray())
    assert state.random() == rng().random()  # no number was drawn


# In batches

N = 12


def described(n=N):
    """Rows of an id, a shared mark and tags; each value encodes its row."""
    number = np.arange(1, n + 1)[:, None]
    return csr(np.hstack([number * np.eye(n), np.repeat(number, 6, axis=1)]))


def tables(rows):
    """Return {number: row} of SparseRows whose values are their number."""
    dense = np.zeros((len(rows), rows.n_columns))
    dense[rows.row_numbers(), rows.indices] = rows.values
    return {int(row.max()): row for row in dense if row.any()}


@for_each("sampling", ["full", "in_batch", "uniform", "mixed"])
@for_each("dropout", [{"id_dropout": 0.5}, {"feature_dropout": 0.5}], ids=str)
def test_what_is_hidden_of_a_candidate_is_hidden_of_the_past_item(sampling, dropout):
    positives = csr(rng(1).random((20, N)) < 0.4)
    data = TrainingSet(csr(np.ones((20, 1))), described(), positives, positives)
    batches = UserBatches(
        data, batch_size=5, candidate_sampling=sampling, n_negatives=4, **dropout
    )
    whole, n_hidden = described().toarray(), 0
    for batch, _ in batches:
        candidates, past = tables(batch.item_rows), tables(batch.history_items)
        both = set(candidates) & set(past)
        assert len(both) > 3
        for number in both:
            assert_array_equal(candidates[number], past[number])
            n_hidden += (candidates[number] != whole[number - 1]).any()
    assert n_hidden > 4  # there was something to hide


def test_what_is_hidden_changes_from_batch_to_batch_and_comes_again_with_the_seed():
    positives = csr(np.eye(N))
    data = TrainingSet(described(), described(), positives, positives)

    def shown(seed):
        params = {"id_dropout": 0.5, "feature_dropout": 0.5, "seed": seed}
        batches = UserBatches(data, batch_size=6, shuffle=True, **params)
        return [
            (batch.item_rows.indices.tolist(), batch.user_rows.indices.tolist())
            for batch, _ in batches
        ]

    first, second = shown(0)
    assert first != second
    assert shown(0) == [first, second]
    assert shown(1) != [first, second]


@for_each("history", [True, False])
def test_users_are_known_by_their_history_alone_now_and_then(history):
    n = 1000
    positives = csr(np.ones((n, 2)))
    rows = sparse.identity(n, dtype=np.float32, format="csr")
    data = TrainingSet(rows, csr(np.eye(2)), positives, positives if history else None)
    (batch, _), *_ = UserBatches(data, batch_size=n, id_dropout=0.5)
    n_hidden = n - len(batch.user_rows.indices)
    assert within_binomial(n_hidden, n, 0.4) if history else n_hidden == 0
    assert len(batch.item_rows.indices) == 2


def test_validation_hides_nothing_by_default():
    positives = csr(np.eye(N))
    data = TrainingSet(described(), described(), positives, positives)
    (batch, _), *_ = UserBatches(data)
    assert_array_equal(batch.item_rows.values, described().data)
    assert_array_equal(batch.user_rows.values, described().data)


# In fit: what has no events is neither learnt nor a negative

EVENTS = pd.DataFrame(
    [(f"u{u}", f"i{i}") for u in range(6) for i in range(6) if (u + i) % 2],
    columns=["user", "item"],
)
TABLE = pd.DataFrame(
    {
        "item": [f"i{i}" for i in range(9)],
        "tag": ["a", "b", "a", "b", "a", "b"] + 3 * ["c"],
    }
)
FIXED = make_column_transformer(
    (
        OneHotEncoder(categories=[list(TABLE["item"])], handle_unknown="ignore"),
        ["item"],
    ),
    (OneHotEncoder(categories=[["a", "b", "c"]]), ["tag"]),
)


def weights(model):
    return {k: v.numpy() for k, v in model.net_.module_.first.state_dict().items()}


@pytest.mark.slow
@for_each("sampling", ["full", "mixed"])
@for_each("place", ["behind", "before"])
def test_items_without_events_change_no_weight(sampling, place):
    cold, warm = TABLE.iloc[6:], TABLE.iloc[:6]
    table = pd.concat([warm, cold] if place == "behind" else [cold, warm])
    params = {"candidate_sampling": sampling, "max_epochs": 2}
    params["net_params"] = {"iterator_train__n_negatives": 3}
    params["item_transformer"] = FIXED  # the same columns for any table
    alone = small(items=warm, **params).fit(EVENTS)
    among = small(items=table, **params).fit(EVENTS)
    assert len(among.item_ids_) == 9 and len(alone.item_ids_) == 6
    for name, value in weights(alone).items():
        assert_array_equal(weights(among)[name], value)
    names = warm["item"].tolist()
    np.testing.assert_allclose(
        among.embed_items(names), alone.embed_items(names), atol=1e-6
    )


@pytest.mark.slow
@for_each("params", [{}, {"hidden_layer_sizes": (4,)}])
def test_columns_of_nobody_with_events_weigh_nothing(params):
    users = pd.DataFrame({"user": [f"u{u}" for u in range(8)]})
    model = small(users=users, items=TABLE, embedding_dim=4, **params).fit(EVENTS)
    module = model.net_.module_
    learnt = {
        name: np.abs(value).sum(axis=1) > 0
        for name, value in weights(model).items()
        if name.endswith("weight") and value.shape[0] in (8, 12)
    }
    names = model.item_transformer_.get_feature_names_out()
    cold = np.isin(names, ["item_i6", "item_i7", "item_i8", "tag_c"])
    assert cold.sum() == 4
    assert module.first.history is not None and len(learnt) >= 3
    for name, mask in learnt.items():
        expected = ~cold if len(mask) == 12 else np.arange(8) < 6
        assert_array_equal(mask, expected, err_msg=name)
    # so all of them are the answer to an empty row
    assert len(np.unique(model.item_embeddings_[6:], axis=0)) == 1
    assert_array_equal(*model.embed_users(["u6", "u7"]))


def test_who_chose_nothing_and_what_nobody_chose_are_known_by_no_noise():
    shown = pd.DataFrame({"user": ["v0", "v1", "u0"], "item": ["i0", "i1", "shown"]})
    X = pd.concat([EVENTS, shown])
    model = small().fit(X, y=[1] * len(EVENTS) + [0] * 3)
    assert_array_equal(*model.embed_users(["v0", "unknown"]))
    assert_array_equal(*model.embed_users(["v0", "v1"]))
    learnt = weights(model)
    place = model.item_transformer_.get_feature_names_out() == "item_shown"
    assert (learnt["history.weight"][place] == 0).all()
    assert (learnt["item_tower.sparse.weight"][place] != 0).all()


@pytest.mark.slow
def test_a_tower_that_was_given_keeps_its_weights():
    tower = nn.Linear(12, 8)
    before = tower.weight.detach().numpy().copy()
    params = {"items": TABLE, "item_transformer": FIXED, "item_tower": tower}
    for lr in (1e-12, 0.01):  # the first one trains nothing
        model = small(**params, lr=lr, id_dropout=0).fit(EVENTS)
        changes = np.abs(weights(model)["item_tower.module.weight"] - before)
        if lr < 1e-9:
            assert changes.max() < 1e-8
        else:
            assert (changes[:, :6].max(axis=0) > 1e-4).all()


# What features say about who chooses what, before training.


# Users 0 and 1 choose items 0 to 3, users 2 and 3 items 4 to 7.
CHOSEN = csr(np.kron(np.eye(2), np.ones((2, 4))))
# A level for each half of the items.
TELLING = csr(np.repeat(np.eye(2), 4, axis=0))
# The levels swap places between neighbors: both halves have both.
SILENT = csr(np.tile(np.eye(2), (4, 1)))


def with_ids(features):
    n = features.shape[0]
    return sparse.hstack([sparse.identity(n), features], format="csr", dtype=np.float32)


def many(chosen):
    """Repeat the users until there are enough events."""
    return sparse.vstack(80 * [chosen], format="csr")


def test_the_profile_prefers_what_is_like_the_past():
    # the past has the item's level, and no other user's item has it
    assert profile_auc(CHOSEN, TELLING) == 1.0
    # without the item, the past holds its level once and the other twice. The item
    # compared is of the other half: a tie with the same level, else it wins
    assert profile_auc(CHOSEN, SILENT) == pytest.approx(0.25, abs=0.03)
    # each item has both levels, which have no weight
    assert profile_auc(CHOSEN, csr(np.ones((8, 2)))) == 0.5


def test_nothing_to_compare_with():
    assert profile_auc(csr(np.ones((3, 8))), TELLING) == 0.5


def test_values_do_not_count_as_several_choices():
    assert profile_auc(5 * CHOSEN, SILENT) == profile_auc(CHOSEN, SILENT)


def test_ids_are_not_part_of_what_is_judged():
    assert features_worth(many(CHOSEN), with_ids(TELLING)) == 1.0
    assert features_worth(many(CHOSEN), with_ids(SILENT)) == 0.02


@for_each(
    ("chosen", "rows"),
    [
        (CHOSEN, with_ids(SILENT)),  # too few events
        (many(CHOSEN), csr(np.eye(8))),  # ids only
        (many(CHOSEN), csr(np.zeros((8, 3)))),
    ],
)
def test_nothing_to_judge(chosen, rows):
    assert features_worth(chosen, rows) == 1.0


def test_worth_multiplies_the_odds():
    # 10 * 0.5 * 0.2 = 1 against n * 0.5
    np.testing.assert_allclose(id_shares(0.5, [1, 2, 18], 0.2), [2 / 3, 1 / 2, 1 / 10])


@for_each(("features", "worth"), [(TELLING, 1.0), (SILENT, 0.02)])
def test_batches_hide_the_ids_of_items_by_their_worth(features, worth):
    chosen = many(CHOSEN)
    data = TrainingSet(csr(np.ones((320, 1))), with_ids(features), chosen, chosen)
    shares = UserBatches(data, id_dropout=0.5).item_dropout.id_shares
    np.testing.assert_allclose(shares, id_shares(0.5, np.full(8, 160), worth))
    # who asks for all or for none gets it
    for given in (0.0, 1.0):
        shares = UserBatches(data, id_dropout=given).item_dropout.id_shares
        assert (shares == given).all()
