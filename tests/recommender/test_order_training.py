"""How fit trains on events in order: candidates, towers, age, and bad input."""

import datetime

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import EarlyStopping
from torch import nn

from sktwotower.towers import RecentHistory
from tests.builders import chain, dated, first_fast, ordered, small
from tests.cases import for_each

X = chain(n_users=15, noise=0.3)
START = pd.Timestamp("2020-03-28")
DATED = dated(X)


def user_vectors(model):
    return model.embed_users(list(model.user_ids_))


def differ(model, other):
    return np.abs(model.item_embeddings_ - other.item_embeddings_).max() > 1e-3


def assert_same(model, other):
    """Check that two models have the same vectors, up to rounding to float32."""
    assert_allclose(model.item_embeddings_, other.item_embeddings_, 1e-4, 1e-5)
    assert_allclose(user_vectors(model), user_vectors(other), 1e-4, 1e-5)


# Candidates, towers and validation.


@pytest.mark.each_time("mixed")
@pytest.mark.slow
@pytest.mark.parametrize(
    "sampling",
    [
        "mixed",
        "in_batch",
        *(pytest.param(name, marks=pytest.mark.grid) for name in ("full", "uniform")),
    ],
)
def test_the_loss_falls_with_candidates_of_every_kind(sampling):
    model = ordered(
        candidate_sampling=sampling,
        max_epochs=8,
        batch_size=4,
        lr=0.05,
        net_params={"iterator_train__n_negatives": 5},
    ).fit(X)
    assert model.candidate_sampling_ == sampling
    losses = [epoch["train_loss"] for epoch in model.history_]
    assert losses[-1] < 0.9 * losses[0]
    again = ordered(**model.get_params()).fit(X)
    assert_array_equal(again.item_embeddings_, model.item_embeddings_)


@pytest.mark.slow
def test_auto_means_other_values_for_a_recent_history():
    model = small(time="when", max_epochs="auto").fit(X)
    assert model.candidate_sampling_ == "mixed" and len(model.history_) == 8
    pooled = small(time="when", history="pooled", max_epochs="auto").fit(X)
    assert pooled.candidate_sampling_ == "full" and len(pooled.history_) == 20
    assert model.temperature_ == pooled.temperature_ == 0.2
    params = {"time": "when", "history": RecentHistory(second_share=0)}
    one_pair = small(**params, max_epochs="auto").fit(X)
    same = small(**params, dropout=0.1, max_epochs=8).fit(X)
    assert_array_equal(same.item_embeddings_, one_pair.item_embeddings_)
    # with many events per item, fewer epochs are enough
    params = {"max_epochs": "auto", "validation_events": None, "batch_size": 512}
    many = chain(n_users=160)  # a hundred of each item
    assert len(small(time="when", **params).fit(many).history_) == 4


@pytest.mark.parametrize("history", first_fast(["pooled", None]))
def test_other_histories_do_not_use_the_order(history):
    model = ordered(history=history).fit(X)
    plain = small(history=history, max_epochs=2).fit(X[["user", "item"]])
    assert_array_equal(model.item_embeddings_, plain.item_embeddings_)
    assert model.history_kind_ == plain.history_kind_ == history
    assert model.half_life_ is None


@pytest.mark.slow
def test_events_before_the_latest_of_max_history_have_no_effect():
    # all users have 8 events
    def with_latest(n):
        history = RecentHistory(max_length=n, second_share=0)
        return ordered(history=history, exclude_seen=False)

    whole = with_latest(8).fit(X)
    same = with_latest(1000).fit(X)
    assert_array_equal(same.item_embeddings_, whole.item_embeddings_)
    short = with_latest(3).fit(X)
    assert differ(short, whole)
    early = X["when"] < 5
    other = X.copy()
    other.loc[early, "item"] = X.loc[early, "item"].to_numpy()[::-1]
    changed = with_latest(3).fit(other)
    assert_array_equal(changed.item_embeddings_, short.item_embeddings_)
    assert_array_equal(user_vectors(changed), user_vectors(short))
    assert differ(with_latest(1000).fit(other), whole)


LAST = X["when"] == 7


@pytest.mark.slow
@pytest.mark.parametrize(
    "monitor", ["early_stopping", pytest.param("callback", marks=pytest.mark.grid)]
)
def test_the_last_basket_of_each_user_is_held_out(monitor):
    params = {"max_epochs": 1, "early_stopping": True}
    if monitor == "callback":
        params = {"max_epochs": 1, "callbacks": [EarlyStopping("valid_loss")]}
    other = X.copy()
    other.loc[LAST, "item"] = np.roll(X.loc[LAST, "item"], 1)
    model, changed = ordered(**params).fit(X), ordered(**params).fit(other)
    # not trained on, but part of the history
    assert_array_equal(changed.item_embeddings_, model.item_embeddings_)
    assert np.abs(user_vectors(changed) - user_vectors(model)).max() > 1e-3
    assert {"valid_loss", "valid_recall"} <= set(model.history_[0])
    validated = [each.history_[0]["valid_loss"] for each in (model, changed)]
    assert validated[0] != validated[1]
    assert differ(ordered(max_epochs=1).fit(other), ordered(max_epochs=1).fit(X))


def test_users_with_one_basket_have_none_to_hold_out():
    # a basket for each user, at different times
    baskets = X.assign(when=X["user"].str[1:].astype(int))
    with pytest.warns(UserWarning, match="No user has two .* has no effect"):
        model = ordered(early_stopping=True).fit(baskets)
    assert model.history_kind_ == "recent" and len(model.history_) == 2
    assert "valid_loss" not in model.history_[0]


@pytest.mark.slow
def test_impressions_that_join_later():
    y = (np.arange(len(X)) % 4 > 0).astype(float)
    params = {"impression_weight": 5.0, "max_epochs": 4}
    model = ordered(impression_start=0.5, **params).fit(X, y)
    never = ordered(impression_start=1, **params).fit(X, y)
    assert differ(model, never)


def linear(n_inputs):
    return nn.Linear(n_inputs, 8)


@pytest.mark.parametrize(
    "towers",
    first_fast(
        [
            {"user_tower": nn.LazyLinear(8)},
            {"user_tower": linear},
            {"user_tower": linear, "item_tower": linear},
            {"item_tower": nn.LazyLinear(8), "hidden_layer_sizes": (6,)},
            {"hidden_layer_sizes": (16, 4), "normalize": False},
        ]
    ),
)
def test_towers_of_every_kind_see_the_order(towers):
    model = ordered(**towers).fit(X)
    vectors = model.embed_users(
        ["a", "b", "c"],
        history={"a": ["i01", "i02"], "b": ["i02", "i01"], "c": ["i01", "i02"]},
    )
    assert np.isfinite(vectors).all() and vectors.shape == (3, 8)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3
    assert_array_equal(vectors[0], vectors[2])
    why = model.explain("u03", "i02")
    assert why["contribution"].sum() == pytest.approx(why.attrs["score"], abs=1e-5)
    assert (why["side"] == "history").sum() == 8


@pytest.mark.slow
def test_a_warm_start_goes_on_from_the_weights():
    model = ordered(warm_start=True, max_epochs=6, lr=0.05).fit(X)
    first = [epoch["train_loss"] for epoch in model.history_]
    model.fit(X.sample(frac=1, random_state=0))
    assert model.history_[0]["train_loss"] < 0.95 * first[0]
    with pytest.raises(ValueError, match="warm_start=True needs the same users"):
        model.set_params(history="pooled").fit(X)
    assert model.history_kind_ == "recent"
    assert model.set_params(warm_start=False).fit(X).history_kind_ == "pooled"


# The age of events.


def weights_by_age(half_life):
    return 0.5 ** ((X["when"].max() - X["when"]) / half_life)


@pytest.mark.slow
@pytest.mark.parametrize(
    "half_life", [2.5, pytest.param(np.float32(40), marks=pytest.mark.grid)]
)
def test_an_event_counts_half_after_a_half_life(half_life):
    model = ordered(history=RecentHistory(half_life=half_life)).fit(X)
    assert model.half_life_ == half_life
    weighted = ordered(history=RecentHistory(half_life=None)).fit(
        X, sample_weight=weights_by_age(half_life)
    )
    assert_same(model, weighted)
    assert differ(model, ordered(history=RecentHistory(half_life=None)).fit(X))
    # together with weights of events
    rewards = 1 + X["when"] % 3
    both = ordered(history=RecentHistory(half_life=half_life)).fit(X, rewards)
    product = rewards * weights_by_age(half_life)
    assert_same(
        both,
        ordered(history=RecentHistory(half_life=None)).fit(X, sample_weight=product),
    )


@pytest.mark.slow
@for_each(
    "half_life",
    [
        pd.Timedelta("60h"),
        datetime.timedelta(days=2, hours=12),
        np.timedelta64(60, "h"),
    ],
)
def test_a_half_life_of_dates_is_a_duration(half_life):
    model = ordered(history=RecentHistory(half_life=half_life), context=None).fit(DATED)
    assert model.half_life_ == pd.Timedelta("60h")
    assert isinstance(model.half_life_, pd.Timedelta)
    assert_same(model, ordered(history=RecentHistory(half_life=2.5)).fit(X))


def test_a_half_life_far_below_the_ages_keeps_all_events():
    model = ordered(history=RecentHistory(half_life=1e-3)).fit(X)
    assert np.isfinite(model.item_embeddings_).all()
    assert len(model.item_ids_) == X["item"].nunique()


@pytest.mark.slow
def test_numbers_do_not_age_by_default():
    model = ordered().fit(X)
    assert model.half_life_ is None
    none = ordered(history=RecentHistory(half_life=None)).fit(X)
    assert_array_equal(model.item_embeddings_, none.item_embeddings_)


# Bad input.


@for_each(
    ("params", "message"),
    [
        ({"time": "when_"}, "time names 'when_', .* not a column of X.*'when'"),
        ({"time": 3}, "time names 3, which is not a column of X"),
        ({"time": "user", "user_id": "user"}, "both the user and the time column"),
        ({"time": "item", "item_id": "item"}, "both the item and the time column"),
        ({"time": None, "history": "recent"}, "needs the order of events: name the"),
        ({"history": "latest"}, "'history' parameter .* must be .*'recent'"),
        ({"history": RecentHistory(max_length=0)}, "'max_length' parameter .* Got 0"),
        (
            {"history": RecentHistory(half_life=0)},
            "half_life must be > 0 and finite. Got 0",
        ),
        (
            {"history": RecentHistory(half_life=np.inf)},
            "half_life must be > 0 and finite. Got inf",
        ),
        (
            {"history": RecentHistory(half_life=np.nan)},
            "half_life must be > 0 and finite. Got nan",
        ),
    ],
)
def test_parameters_out_of_range(params, message):
    with pytest.raises(ValueError, match=message):
        ordered(**params).fit(X)


def test_x_needs_three_columns():
    with pytest.raises(ValueError, match="X has 2 columns, but a user, an item and a"):
        ordered().fit(X[["user", "when"]])
    with pytest.raises(ValueError, match="'when', which is not a column of X"):
        ordered().fit(X[["user", "item"]])


@for_each("half_life", ["7D", True])
def test_half_lives_of_no_known_type(half_life):
    model = ordered(history=RecentHistory(half_life=half_life))
    with pytest.raises(TypeError, match="half_life must be a Timedelta, a number,"):
        model.fit(X)


def test_a_half_life_is_in_the_units_of_the_times():
    with pytest.raises(TypeError, match="half_life must be a number, 'auto' or None"):
        ordered(history=RecentHistory(half_life=pd.Timedelta("7D"))).fit(X)
    with pytest.raises(TypeError, match="half_life must be a Timedelta, as times are"):
        ordered(history=RecentHistory(half_life=7)).fit(DATED)
    for half_life in (pd.Timedelta(0), pd.Timedelta("-1D"), np.timedelta64("NaT")):
        with pytest.raises(ValueError, match="half_life must be > 0 and finite. Got"):
            ordered(history=RecentHistory(half_life=half_life)).fit(DATED)
    too_long = datetime.timedelta(days=200_000)
    for half_life in (too_long, np.timedelta64(1, "Y")):
        with pytest.raises(ValueError, match="half_life must be .* at most 292 years"):
            ordered(history=RecentHistory(half_life=half_life)).fit(DATED)


def replaced(value):
    values = X["when"].astype(object)
    values[3] = value
    return X.assign(when=values)


@for_each(
    ("events", "error", "message"),
    [
        (
            replaced(np.nan),
            ValueError,
            "column 'when' of X has 1 missing values in 120",
        ),
        (DATED.assign(when=DATED["when"].where(LAST)), ValueError, "105 missing"),
        (replaced(np.inf), ValueError, "column 'when' of X contains NaN or infinity"),
        (replaced("monday"), TypeError, "'when' of X must hold dates or numbers"),
        (replaced(START), TypeError, "'when' of X must hold dates or numbers"),
        (X.astype({"when": str}), TypeError, "'when' .* pandas.to_datetime"),
        (
            X.assign(when=pd.to_timedelta(X["when"], "D")),
            TypeError,
            r"'when' .* durations with .dt.total_seconds",
        ),
        (
            X.assign(when=X["when"].astype("uint64") + 2**63),
            ValueError,
            r"'when' of X contains 9223372036854775815; .* less than 2\*\*63",
        ),
        (
            replaced(1).assign(when=datetime.date(1066, 10, 14)),
            ValueError,
            "'when' of X holds dates that cannot be read",
        ),
    ],
)
def test_times_that_are_no_times(events, error, message):
    with pytest.raises(error, match=message):
        ordered().fit(events)


@pytest.mark.slow
def test_a_fit_that_fails_leaves_the_model_as_it_was():
    model = ordered().fit(X)
    before = model.item_embeddings_
    with pytest.raises(ValueError, match="missing"):
        model.fit(replaced(None))
    assert model.item_embeddings_ is before and model.history_kind_ == "recent"


@pytest.mark.parametrize("history", first_fast(["auto", "recent"]))
@pytest.mark.parametrize(
    ("events", "message"),
    first_fast(
        [
            (X.assign(when=7), "All 120 positive events have the same time"),
            (DATED.assign(when=START), "All 120 positive events have the same time"),
            (
                X[X["when"] == X["user"].str[1:].astype(int) % 8],
                "No user has two positive",
            ),
        ]
    ),
)
def test_without_any_order_the_history_is_pooled(events, message, history):
    with pytest.warns(UserWarning, match=f"{message}.*'pooled' was used"):
        model = ordered(history=history).fit(events)
    pooled = ordered(history="pooled").fit(events)
    assert_array_equal(model.item_embeddings_, pooled.item_embeddings_)
    assert model.history_kind_ == "pooled" and model.half_life_ is None
    assert "lag" not in model.explain("u00", "i01")


def test_what_is_only_shown_is_no_order():
    events = pd.concat([X.assign(when=7), X])
    y = np.repeat([1.0, 0.0], len(X))
    with pytest.warns(UserWarning, match="All 120 positive events have the same time"):
        assert ordered().fit(events, y).history_kind_ == "pooled"


ONCE = X.drop_duplicates(["user", "item"])
ONE_PAIR = {"history": RecentHistory(second_share=0, popularity_half_life=None)}


def choosing_again(when):
    """Return the events with the first choice of a user once more, at a time."""
    again = ONCE.head(1).assign(when=when)
    return pd.concat([ONCE, again]).sort_values("when", kind="stable")


@pytest.mark.slow
def test_what_a_user_chooses_again_is_past_but_no_target():
    model = ordered(**ONE_PAIR).fit(ONCE)
    last = ONCE["when"].max() + 1
    # nothing comes after it, so that it is in nobody's past
    at_the_end = ordered(**ONE_PAIR).fit(choosing_again(last))
    assert_array_equal(at_the_end.item_embeddings_, model.item_embeddings_)
    in_the_middle = ordered(**ONE_PAIR).fit(choosing_again(1.5))
    assert differ(in_the_middle, model)
    # lists may hold it, so that it is learnt
    allowed = ordered(**ONE_PAIR, exclude_seen=False).fit(choosing_again(last))
    assert differ(allowed, model)


@pytest.mark.slow
@pytest.mark.parametrize(
    "exclude_seen", [True, pytest.param(False, marks=pytest.mark.grid)]
)
def test_one_repeated_event_is_no_other_model(exclude_seen):
    many = chain(n_users=150, noise=0.1).drop_duplicates(["user", "item"])
    again = pd.concat([many, many.head(1).assign(when=1.5)])
    models = [
        ordered(max_epochs=6, exclude_seen=exclude_seen).fit(events)
        for events in (many, again.sort_values("when", kind="stable"))
    ]
    scores = [model.predict(many[["user", "item"]]) for model in models]
    assert np.corrcoef(scores)[0, 1] > 0.995
    judged = [model.validation_score_["ndcg@10"] for model in models]
    assert judged[0] == pytest.approx(judged[1], rel=0.01)


@pytest.mark.slow
def test_further_events_that_repeat_a_choice_are_no_targets():
    day = ONCE.head(5).assign(when=ONCE["when"].max() + 1)
    for exclude_seen in (True, False):
        model = ordered(**ONE_PAIR, exclude_seen=exclude_seen).fit(ONCE)
        before = model.item_embeddings_.copy()
        model.partial_fit(day)
        assert (model.item_embeddings_ == before).all() == exclude_seen
        # they are in the past of what comes next
        past = model.embed_users(day["user"][:1])
        model.partial_fit(day.assign(when=day["when"] + 1))
        assert (model.embed_users(day["user"][:1]) != past).any()
