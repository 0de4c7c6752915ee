"""TwoTowerRecommender.fit and what it leaves: known answers, columns, parameters."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import TruncatedSVD
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, LRScheduler
from torch import nn

from sktwotower import TowerVectorizer, TwoTowerRecommender
from tests.builders import small
from tests.cases import for_each
from tests.recommender.builders import few


def checkerboard(n=5):
    """Two groups of n users and n items; each user misses one item of the own group."""
    return pd.DataFrame(
        [
            (f"{group}{u}", f"{group.upper()}{i}")
            for group in "ab"
            for u in range(n)
            for i in range(n)
            if u != i
        ],
        columns=["user", "item"],
    )


def vectors(model):
    return np.vstack([model.embed_users(model.user_ids_), model.item_embeddings_])


def assert_same(model, other):
    assert_array_equal(model.item_ids_, other.item_ids_)
    assert_array_equal(vectors(model), vectors(other))


# Known answers


@pytest.mark.parametrize("history", few(["pooled", None]))
@pytest.mark.parametrize("sampling", few(["full", "in_batch", "uniform", "mixed"]))
def test_the_withheld_item_of_the_own_group_comes_first(history, sampling):
    model = TwoTowerRecommender(
        embedding_dim=16,
        max_epochs=25,
        batch_size=4,
        lr=0.05,
        history=history,
        candidate_sampling=sampling,
        net_params={"iterator_train__n_negatives": 6},
        random_state=0,
    ).fit(checkerboard())
    first = model.recommend(n_neighbors=1)
    assert_array_equal(first["user"], model.user_ids_)
    assert_array_equal(first["item"], first["user"].str.upper())
    assert model.candidate_sampling_ == sampling
    held_out = pd.DataFrame({"user": ["a0", "b3"], "item": ["A0", "B3"]})
    assert model.set_params(n_neighbors=1).score(held_out) == 1.0


@pytest.mark.slow
def test_impressions_push_what_was_shown_and_not_chosen_down():
    chosen = checkerboard(4)
    shown = pd.DataFrame({"user": ["a0"], "item": ["A0"]})
    X = pd.concat([chosen, shown], ignore_index=True)
    y = np.r_[np.ones(len(chosen)), 0]
    # Without dropout the two differ in the impression alone.
    params = {"max_epochs": 20, "lr": 0.05, "impression_start": 0.0, "dropout": 0.0}
    plain = small(**params).fit(chosen)
    pushed = small(**params, impression_weight=20.0).fit(X, y)
    assert pushed.predict(shown)[0] < plain.predict(shown)[0] - 0.1
    assert "A0" not in set(pushed.seen_items(["a0"])["item"])  # shown is not seen
    ignored = small(**params, impression_weight=0.0).fit(X, y)
    assert_same(ignored, plain)


def test_an_item_that_was_only_shown_belongs_to_the_catalog():
    X = checkerboard(3)
    X.loc[len(X)] = ["a0", "shown"]
    model = small().fit(X, np.r_[np.ones(len(X) - 1), 0])
    assert "shown" in model.item_ids_
    assert "shown" in set(model.recommend(["a0"], n_neighbors=10)["item"])


# Meaning of rows


def test_a_weight_of_two_is_the_row_twice():
    X, weight = checkerboard(4), np.ones(24)
    weight[3:9] = 2
    repeated = pd.concat([X, X.iloc[3:9]], ignore_index=True)
    assert_same(small().fit(X, sample_weight=weight), small().fit(repeated))


@pytest.mark.slow
def test_a_reward_of_two_is_a_weight_of_two():
    X, reward = checkerboard(4), np.r_[np.ones(20), np.full(4, 2)]
    assert_same(small().fit(X, reward), small().fit(X, sample_weight=reward))


@pytest.mark.slow
def test_a_weight_of_zero_is_the_row_left_out():
    X, weight = checkerboard(4), np.ones(24)
    weight[[0, 5, 6, 7]] = 0
    assert_same(small().fit(X, sample_weight=weight), small().fit(X[weight > 0]))


@pytest.mark.slow
def test_weights_keep_their_rows_whatever_the_index():
    X, weight = checkerboard(4), np.ones(24)
    weight[:3] = 0
    odd = X.set_axis([7] * len(X), axis="index")
    assert_same(
        small().fit(odd, sample_weight=pd.Series(weight)),
        small().fit(X, sample_weight=weight),
    )


@pytest.mark.slow
def test_the_order_of_rows_changes_nothing():
    X = checkerboard()
    model, shuffled = small().fit(X), small().fit(X.sample(frac=1, random_state=1))
    assert_array_equal(model.user_ids_, shuffled.user_ids_)
    assert_array_equal(model.item_ids_, shuffled.item_ids_)
    assert_allclose(vectors(model), vectors(shuffled), atol=1e-5)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model_and_another_does_not():
    X = checkerboard()
    model = small().fit(X)
    assert_same(model, small().fit(X))
    assert np.abs(vectors(model) - vectors(small(random_state=1).fit(X))).max() > 0.1
    generator = np.random.RandomState(3)
    assert_same(
        small(random_state=generator).fit(X),
        small(random_state=np.random.RandomState(3)).fit(X),
    )


@pytest.mark.slow
@for_each("n_jobs", [None, 1, 2])
def test_random_numbers_and_threads_are_left_alone(n_jobs):
    torch.manual_seed(5)
    np.random.seed(5)
    of_torch, of_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    threads = torch.get_num_threads()
    params = {"early_stopping": True, "dropout": 0.3, "hidden_layer_sizes": (4,)}
    model = small(n_jobs=n_jobs, **params).fit(checkerboard())
    model.recommend()
    model.transform(checkerboard())
    assert torch.equal(torch.get_rng_state(), of_torch)
    assert (np.random.get_state()[1] == of_numpy).all()
    assert torch.get_num_threads() == threads


@pytest.mark.slow
def test_fit_changes_neither_the_tables_nor_the_parameters():
    X = checkerboard(3).assign(price=1.0)
    items = pd.DataFrame({"item": X["item"].unique(), "tag": "t"})
    before = X.copy(), items.copy()
    model = small(items=items, item_features="price", callbacks=[EarlyStopping()])
    params = copy.copy(model.get_params(deep=False))
    model.fit(X)
    pd.testing.assert_frame_equal(X, before[0])
    pd.testing.assert_frame_equal(items, before[1])
    assert all(model.get_params(deep=False)[name] is params[name] for name in params)


# Columns


@pytest.mark.slow
def test_columns_are_found_by_name_in_any_order():
    X = checkerboard(3)
    X["time"] = range(len(X))
    named = {"user_id": "user", "item_id": "item"}
    model = small(**named).fit(X[["time", "item", "user"]])
    assert_same(model, small().fit(X[["user", "item"]]))
    assert list(model.feature_names_in_) == ["time", "item", "user"]
    assert model.n_features_in_ == 3
    assert list(model.recommend()) == ["user", "item", "score", "rank"]


@pytest.mark.slow
def test_one_given_id_leaves_the_first_other_column_to_the_other():
    X = checkerboard(3)[["item", "user"]]
    assert_same(small(user_id="user").fit(X), small().fit(X[["user", "item"]]))
    assert_same(small(item_id=0).fit(X), small().fit(X[["user", "item"]]))
    assert_same(small(user_id=-1).fit(X), small().fit(X[["user", "item"]]))


@pytest.fixture
def described():
    X = checkerboard(3)
    X["age"] = X["user"].str[1].astype(int) * 10.0
    X["town"] = X["user"].str[0]
    X["price"] = X["item"].str[1].astype(int) + 0.5
    X["time"] = range(len(X))
    return X


@pytest.mark.slow
@pytest.mark.parametrize(
    "selection",
    [
        [-4, -3],
        pd.Index(["age", "town"]),
        slice(2, 4),
        [False, False, True, True, False, False],
        make_column_selector("age|town"),
        lambda X: ["age", "town"],
    ],
)
def test_features_are_selected_as_in_column_transformer(described, selection):
    model = small(user_features=selection, item_features="price").fit(described)
    assert list(model.user_transformer_.feature_names_in_) == ["user", "age", "town"]
    assert list(model.item_transformer_.feature_names_in_) == ["item", "price"]
    expected = small(user_features=["age", "town"], item_features=["price"])
    assert_same(model, expected.fit(described))


def test_a_slice_of_names_takes_both_ends(described):
    model = small(user_features=slice("age", "town")).fit(described)
    assert list(model.user_transformer_.feature_names_in_) == ["user", "age", "town"]


def test_a_selector_that_takes_the_ids_too_takes_them_once(described):
    every_text = make_column_selector(dtype_exclude="number")
    model = small(user_features=every_text).fit(described)
    assert list(model.user_transformer_.feature_names_in_) == ["user", "town"]


@pytest.mark.slow
def test_columns_that_nothing_names_are_ignored(described):
    plain = small().fit(described[["user", "item"]])
    assert_same(small().fit(described), plain)
    odd = described.assign(junk=[[1], {}] * 6, more=None)
    assert_same(small().fit(odd), plain)


@pytest.mark.slow
def test_rows_that_disagree_on_a_feature_are_counted_and_the_last_wins(described):
    last = described.copy()
    mixed = described.copy()
    first = mixed.drop_duplicates("user").index[:2]
    mixed.loc[first, "age"] = 99.0
    model = small(user_features=["age", "town"])
    with pytest.warns(UserWarning, match="disagree on the features of 2 of 6") as log:
        fitted = clone(model).fit(mixed)
    assert len([w for w in log if "disagree" in str(w.message)]) == 1
    assert_same(fitted, clone(model).fit(last))


def test_missing_features_agree_with_one_another(described, recwarn):
    described.loc[described["user"] == "a0", "age"] = np.nan
    small(user_features=["age"]).fit(described)
    assert not [w for w in recwarn if "disagree" in str(w.message)]


# Side tables


@pytest.fixture
def items():
    ids = [f"{group}{i}" for group in "AB" for i in range(3)] + ["A-new", "B-new"]
    return pd.DataFrame({"item": ids, "group": [i[0] for i in ids]})


@pytest.mark.slow
def test_cold_items_of_the_side_table_are_recommended_by_their_features(items):
    model = small(items=items, max_epochs=25, embedding_dim=16, batch_size=3).fit(
        checkerboard(3)
    )
    assert_array_equal(model.item_ids_, items["item"])
    answer = model.recommend(["a0", "b0"], candidates=["A-new", "B-new"])
    assert list(answer.loc[answer["rank"] == 1, "item"]) == ["A-new", "B-new"]


@pytest.mark.slow
def test_a_side_table_in_any_order_gives_the_same_model_in_that_order(items):
    X = checkerboard(3)
    shuffled = items.sample(frac=1, random_state=2)
    model = small(items=shuffled, max_epochs=20, lr=0.05).fit(X)
    assert_array_equal(model.item_ids_, shuffled["item"])
    assert set(model.item_ids_) == set(small(items=items).fit(X).item_ids_)


@pytest.mark.slow
def test_the_id_column_of_a_side_table_may_stand_anywhere(items):
    X = checkerboard(3)
    assert_same(small(items=items[["group", "item"]]).fit(X), small(items=items).fit(X))


@pytest.mark.slow
def test_side_tables_go_with_arrays_by_their_first_column(items):
    X = checkerboard(3)
    model = small(items=items).fit(X.to_numpy())
    assert_same(model, small(items=items).fit(X))


@pytest.mark.slow
def test_users_without_events_are_known_from_their_side_table():
    users = pd.DataFrame({"user": ["a0", "a1", "a2", "b0", "b1", "b2", "a9", "b9"]})
    users["group"] = users["user"].str[0]
    model = small(users=users, max_epochs=25, lr=0.05, batch_size=3)
    model.fit(checkerboard(3))
    first = model.recommend(["a9", "b9"], n_neighbors=1)["item"]
    assert list(first.str[0]) == ["A", "B"]


def test_features_of_events_are_missing_for_items_without_events(items):
    # one price in X would otherwise be given to every cold item
    X = checkerboard(3)
    X["price"] = 1000.0
    X["brand"] = X["item"].map(lambda item: "acme" if item[1] == "0" else "zeta")
    model = small(items=items, item_features=["price", "brand"])
    model.fit(X)
    for item in model.item_ids_:
        features = set(model.explain("a0", item)["feature"])
        known = features & {"brand_acme", "brand_zeta"}
        assert len(known) == ("new" not in item)


@pytest.mark.slow
def test_an_ignored_column_of_x_never_shadows_a_side_table(items):
    X = checkerboard(3)
    plain = small(items=items).fit(X)
    shadowed = X.assign(group="other")
    model = small(items=items).fit(shadowed)
    assert_same(model, plain)
    assert_array_equal(model.predict(shadowed), plain.predict(X))


@pytest.mark.slow
def test_the_user_side_of_events_is_not_shadowed_either():
    X = checkerboard(3)
    users = pd.DataFrame({"user": X["user"].unique(), "time": range(6)})
    timed = X.assign(time=np.arange(len(X)) * 50)
    model = small(users=users).fit(timed)
    assert_array_equal(
        model.transform(timed), model.embed_users(timed["user"].tolist())
    )
    assert model.score(timed) == small(users=users).fit(X).score(X)


# Towers, transformers, indices


@pytest.mark.slow
def test_towers_of_torch_are_copied_and_never_changed():
    tower = nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(8))
    model = small(user_tower=tower, item_tower=tower, max_epochs=3).fit(checkerboard())
    assert model.item_embeddings_.shape == (10, 8)
    assert all(nn.parameter.is_lazy(p) for p in tower.parameters())
    part = model.net_.module_.first
    assert part.user_tower.module is not part.item_tower.module
    assert_allclose(np.linalg.norm(vectors(model), axis=1), 1, atol=1e-6)
    assert_array_equal(
        model.predict(checkerboard()),
        pickle.loads(pickle.dumps(model)).predict(checkerboard()),
    )


class TwoLayers(nn.Module):
    def __init__(self, n_features):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, 12), nn.Tanh())

    def forward(self, rows):
        return self.layers(rows)


@for_each("history", ["pooled", None])
def test_towers_may_be_classes_or_callables(history):
    model = small(
        user_tower=TwoLayers,
        item_tower=lambda n: nn.Linear(n, 12),
        history=history,
        normalize=False,
    ).fit(checkerboard())
    assert isinstance(model.net_.module_.first.user_tower.module, TwoLayers)
    assert model.item_embeddings_.shape == (10, 12)


def test_one_own_tower_meets_a_default_one():
    model = small(user_tower=lambda n: nn.Linear(n, 8)).fit(checkerboard())
    assert model.item_embeddings_.shape == (10, 8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "transformer",
    [
        TowerVectorizer(min_frequency=1),
        OneHotEncoder(handle_unknown="ignore"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False).set_output(
            transform="pandas"
        ),
        make_pipeline(OneHotEncoder(handle_unknown="ignore"), TruncatedSVD(2)),
        FeatureUnion(
            [
                ("tower", TowerVectorizer()),
                ("ids", OneHotEncoder(handle_unknown="ignore")),
            ]
        ),
        ColumnTransformer(
            [
                ("scaled", StandardScaler(), ["age"]),
                ("ids", OneHotEncoder(handle_unknown="ignore"), ["user"]),
            ]
        ),
    ],
    ids=lambda transformer: type(transformer).__name__,
)
def test_any_transformer_feeds_a_tower(described, transformer):
    model = small(user_features=["age"], user_transformer=transformer).fit(described)
    assert model.user_transformer_ is not transformer
    assert not hasattr(transformer, "n_features_in_")
    table = described.drop_duplicates("user")[["user", "age"]]
    assert_allclose(
        model.embed_users(table), model.transform(described)[table.index], atol=1e-6
    )
    assert len(model.recommend(["stranger"])) > 0


def test_a_forced_kind_reaches_the_default_transformer(described):
    model = small(
        user_features=["town"],
        user_transformer=TowerVectorizer(kinds={"town": "category"}),
    ).fit(described)
    assert model.user_transformer_.kinds == {"user": "id", "town": "category"}


@pytest.mark.slow
@for_each("metric", ["euclidean", "cosine"])
def test_any_neighbor_index_gives_what_exact_search_gives(metric):
    X = checkerboard()
    index = NearestNeighbors(metric=metric)
    model, exact = small(neighbors=index).fit(X), small().fit(X)
    assert model.neighbors_ is not index
    assert_array_equal(
        model.kneighbors(n_neighbors=4)[1], exact.kneighbors(n_neighbors=4)[1]
    )
    assert_allclose(model.kneighbors()[0], exact.kneighbors()[0], atol=1e-6)
    model.set_params(neighbors__algorithm="brute")
    assert model.fit(X).neighbors_.algorithm == "brute"


# Callbacks, early stopping, warm start, verbosity


class Recorder(Callback):
    def __init__(self):
        self.epochs = []

    def on_epoch_end(self, net, **kwargs):
        self.epochs.append(len(net.history))


@pytest.mark.slow
def test_callbacks_of_skorch_run(tmp_path):
    recorder = Recorder()
    callbacks = [
        ("stop", EarlyStopping(patience=2, sink=lambda text: None)),
        Checkpoint(dirname=tmp_path, monitor="valid_loss_best"),
        LRScheduler(policy=torch.optim.lr_scheduler.ConstantLR),
        recorder,
    ]
    model = small(callbacks=callbacks, max_epochs=3, validation_fraction=0.3)
    model.fit(checkerboard())
    assert recorder.epochs[:2] == [1, 2]
    assert {"train_loss", "valid_loss", "valid_recall"} <= set(model.history_[0])


def test_a_callback_on_the_training_loss_needs_no_validation(tmp_path):
    callbacks = [
        EarlyStopping(monitor="train_loss", patience=1, threshold=10.0),
        Checkpoint(dirname=tmp_path, monitor="train_loss_best"),
    ]
    model = small(callbacks=callbacks, max_epochs=5).fit(checkerboard())
    assert len(model.history_) == 2
    assert "valid_loss" not in model.history_[0]
    assert (tmp_path / "params.pt").exists()


def test_net_params_reach_skorch_and_win():
    params = {"optimizer__betas": (0.5, 0.9), "criterion__temperature": 0.7}
    model = small(net_params=params | {"max_epochs": 1}).fit(checkerboard())
    group = model.net_.optimizer_.param_groups[0]
    assert (group["weight_decay"], group["betas"]) == (0.01, (0.5, 0.9))
    assert len(model.history_) == 1
    assert model.net_.criterion_.temperature == 0.7


@for_each(
    ("optimizer", "expected"),
    [
        ("sgd", torch.optim.SGD),
        ("Adagrad", torch.optim.Adagrad),
        (torch.optim.Adam, torch.optim.Adam),
    ],
)
def test_optimizers_by_name_and_class(optimizer, expected):
    model = small(optimizer=optimizer, weight_decay=0.25).fit(checkerboard())
    assert type(model.net_.optimizer_) is expected
    assert model.net_.optimizer_.param_groups[0]["weight_decay"] == 0.25


class BestEpoch(Callback):
    """Keep the weights of the epoch whose validation recall was best."""

    def on_train_begin(self, net, **kwargs):
        self.best, self.weights = -1, None

    def on_epoch_end(self, net, **kwargs):
        recall = net.history[-1, "valid_recall"]
        if recall > self.best:
            state = net.module_.state_dict()
            self.best = recall
            self.weights = {name: value.clone() for name, value in state.items()}


@pytest.mark.slow
def test_early_stopping_stops_and_restores_the_best_epoch():
    witness = BestEpoch()
    model = small(
        early_stopping=True,
        validation_fraction=0.3,
        n_iter_no_change=3,
        n_neighbors=2,
        max_epochs=40,
        lr=0.1,
        callbacks=[witness],
    ).fit(checkerboard())
    recalls = [row["valid_recall"] for row in model.history_]
    assert all(0 <= recall <= 1 for recall in recalls)
    best = int(np.argmax(recalls))
    assert len(recalls) == best + 1 + 3 < 40
    for name, value in model.net_.module_.first.state_dict().items():
        assert torch.equal(value, witness.weights[name])


def test_history_holds_the_figures_of_each_epoch():
    model = small(max_epochs=3).fit(checkerboard())
    assert [row["epoch"] for row in model.history_] == [1, 2, 3]
    assert all(set(row) == {"epoch", "train_loss", "dur"} for row in model.history_)


@pytest.mark.slow
def test_warm_start_goes_on_from_the_last_weights():
    X = checkerboard()
    model = small(max_epochs=6, lr=0.05, warm_start=True).fit(X)
    first = model.history_
    again = model.fit(X).history_
    assert again[-1]["train_loss"] < first[-1]["train_loss"]
    cold = small(max_epochs=6, lr=0.05).fit(X)
    assert_same(cold, cold.fit(X))


@pytest.mark.slow
@for_each("other", [checkerboard(4), checkerboard().replace("A0", "Z")])
def test_warm_start_refuses_other_users_and_items(other):
    model = small(warm_start=True).fit(checkerboard())
    with pytest.raises(ValueError, match="warm_start=True needs the same users, items"):
        model.fit(other)


# Copies


@pytest.mark.slow
def test_clone_shares_the_side_tables_and_copies_the_rest(items):
    model = small(items=items, user_transformer=TowerVectorizer()).fit(checkerboard(3))
    copied = clone(model)
    assert copied.items is items
    assert copied.user_transformer is not model.user_transformer
    assert not hasattr(copied, "net_")
    assert_same(copied.fit(checkerboard(3)), model)
    requesting = clone(small().set_output(transform="pandas"))
    assert isinstance(requesting.fit_transform(checkerboard()), pd.DataFrame)


@pytest.mark.slow
@pytest.mark.parametrize("towers", [{}, {"hidden_layer_sizes": (8,)}])
def test_a_pickle_answers_as_the_model_did(towers, items, tmp_path):
    X = checkerboard(3)
    model = small(items=items, verbose=1, early_stopping=True, **towers).fit(X)
    joblib.dump(model, tmp_path / "model.joblib")
    for restored in (
        pickle.loads(pickle.dumps(model)),
        joblib.load(tmp_path / "model.joblib"),
        copy.deepcopy(model),
    ):
        assert_same(restored, model)
        pd.testing.assert_frame_equal(restored.recommend(), model.recommend())
        assert_same(restored.fit(X), model)


@pytest.mark.slow
def test_a_pickle_holds_no_optimizer_state_and_the_side_table_once():
    rng = np.random.default_rng(0)
    users = pd.DataFrame({"user": range(2000), "noise": rng.uniform(size=2000)})
    X = pd.DataFrame({"user": range(2000), "item": rng.integers(20, size=2000)})
    model = small(users=users, embedding_dim=32, max_epochs=1).fit(X)
    size = len(pickle.dumps(model))
    weights = sum(p.numel() * 4 for p in model.net_.module_.parameters())
    assert weights > 250_000
    assert size < 1.8 * weights
    assert not model.net_.optimizer_.state


@pytest.mark.slow
def test_parameters_may_be_set_after_fit():
    model = small().fit(checkerboard())
    model.set_params(n_neighbors=1, exclude_seen=False, verbose=0)
    assert model.recommend(["a0"]).shape == (1, 4)
    assert model.kneighbors(["a0"])[1].shape == (1, 1)
    model.set_params(embedding_dim=4).fit(checkerboard())
    assert model.item_embeddings_.shape == (10, 4)
