"""Unix times make the model that the same instants as dates make."""

import logging
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

import sktwotower.runtime
from sktwotower import PopularityRecommender, TwoStageRecommender, TwoTowerRecommender
from sktwotower.baselines import ClickRateRecommender
from sktwotower.io import dump, load
from sktwotower.model_selection import TimeSplit
from sktwotower.towers import RecentHistory

from .builders import planted

X = planted(12, 6)[["user", "item", "time"]]
DATES = pd.Timestamp("2024-02-28 05:00") + pd.to_timedelta(X["time"] * 7, "h")
MONTH = pd.Timedelta(days=30)
PARAMS = {"time": "time", "max_epochs": 2, "embedding_dim": 8, "random_state": 0}
NANOSECONDS = DATES.astype("datetime64[ns]").astype("int64")
FORMS = {
    "s": NANOSECONDS // 10**9,
    "ms": NANOSECONDS // 10**6,
    "us": NANOSECONDS // 10**3,
    "ns": NANOSECONDS,
    "float s": (NANOSECONDS // 10**9).astype(float),
    "Int64 s": (NANOSECONDS // 10**9).astype("Int64"),
    "object ms": (NANOSECONDS // 10**6).astype(object),
}


def events(times):
    return X.assign(time=times)


def fitted(times, **params):
    params = (
        PARAMS | {"history": RecentHistory(half_life=MONTH), "context": "time"} | params
    )
    return TwoTowerRecommender(**params).fit(events(times))


@pytest.fixture(scope="module")
def dated():
    return fitted(DATES)


@pytest.fixture(scope="module")
def in_seconds():
    return fitted(FORMS["s"])


def requests(times):
    """Return a request of two users, each at a time of its own."""
    return pd.DataFrame({"user": ["u00", "u01"], "time": times.iloc[:2].to_numpy()})


OTHERS = [pytest.param(form, marks=pytest.mark.slow) for form in ("ns", "object ms")]
OTHERS += [
    pytest.param(form, marks=pytest.mark.grid)
    for form in ("ms", "us", "float s", "Int64 s")
]


@pytest.mark.parametrize("form", ["s", *OTHERS])
def test_all_forms_make_the_model_of_dates(form, dated):
    times = FORMS[form]
    model = fitted(times)
    assert_array_equal(model.item_embeddings_, dated.item_embeddings_)
    assert model.half_life_ == dated.half_life_ == MONTH
    assert model.time_unit_ == form.split()[-1] and dated.time_unit_ == "dates"

    found = model.recommend(requests(times), 3)
    pd.testing.assert_frame_equal(found, dated.recommend(requests(DATES), 3))
    # dates are understood as well
    pd.testing.assert_frame_equal(found, model.recommend(requests(DATES), 3))
    assert model.score(events(times)[:20]) == dated.score(events(DATES)[:20])


def test_a_request_in_a_context(dated, in_seconds):
    expected = dated.recommend(["u03"], 3, context={"time": DATES[5]})
    for time in (int(FORMS["s"][5]), float(FORMS["s"][5]), FORMS["s"][5], DATES[5]):
        found = in_seconds.recommend(["u03"], 3, context={"time": time})
        pd.testing.assert_frame_equal(found, expected)
    with pytest.raises(ValueError, match="Unix seconds, .*like Unix milliseconds"):
        in_seconds.recommend(["u03"], 3, context={"time": int(FORMS["ms"][5])})


def test_a_history_with_times(dated, in_seconds):
    past = pd.DataFrame({"user": ["u03", "u03"], "item": ["i01", "i02"]})
    expected = dated.recommend(["u03"], 3, history=past.assign(time=DATES[:2]))
    for times in (FORMS["s"][:2], DATES[:2]):
        found = in_seconds.recommend(["u03"], 3, history=past.assign(time=times))
        pd.testing.assert_frame_equal(found, expected)


def test_partial_fit_goes_on_in_the_unit_of_fit(dated):
    later = pd.DataFrame({"user": ["u03", "new"], "item": ["i01", "i02"]})
    when = pd.Series([DATES.max() + MONTH] * 2)
    expected = fitted(DATES).partial_fit(later.assign(time=when))
    seconds = when.astype("datetime64[ns]").astype("int64") // 10**9
    model = fitted(FORMS["s"]).partial_fit(later.assign(time=seconds))
    assert_array_equal(model.item_embeddings_, expected.item_embeddings_)
    with pytest.raises(ValueError, match="like Unix milliseconds"):
        model.partial_fit(later.assign(time=seconds * 1000))
    # it is still what it was
    assert_array_equal(model.item_embeddings_, expected.item_embeddings_)


@pytest.mark.slow
@pytest.mark.parametrize("form", [pytest.param("s", marks=pytest.mark.grid), "ns"])
def test_events_on_disk(form, dated, tmp_path):
    path = tmp_path / "events.parquet"
    events(FORMS[form]).to_parquet(path)
    params = PARAMS | {"history": RecentHistory(half_life=MONTH), "context": "time"}
    model = TwoTowerRecommender(**params).fit(str(path))
    assert_array_equal(model.item_embeddings_, dated.item_embeddings_)
    found = model.recommend(requests(FORMS[form]), 3)
    pd.testing.assert_frame_equal(found, dated.recommend(requests(DATES), 3))
    assert model.time_unit_ == form.split()[-1]


@pytest.mark.slow
def test_bad_times_on_disk(tmp_path):
    path = tmp_path / "events.parquet"
    mixed = FORMS["s"].where(X.index > 5, FORMS["ms"])
    events(mixed).to_parquet(path)
    with pytest.raises(ValueError, match="mixes units: 66 look like Unix seconds"):
        TwoTowerRecommender(**PARAMS).fit(str(path))
    events(20240101 + X["time"] % 28).to_parquet(path)
    with pytest.warns(UserWarning, match="order only"):
        model = TwoTowerRecommender(**PARAMS).fit(str(path))
    assert model.time_unit_ == "order"


@pytest.mark.slow
def test_half_lives_are_in_the_unit_of_the_column(dated):
    model = fitted(
        FORMS["ms"], history=RecentHistory(half_life=MONTH.total_seconds() * 1000)
    )
    assert model.half_life_ == MONTH
    assert_array_equal(model.item_embeddings_, dated.item_embeddings_)
    with pytest.raises(ValueError, match="half_life must be .* Unix seconds. Got"):
        fitted(FORMS["s"], history=RecentHistory(half_life=1e12))


@pytest.mark.slow
def test_an_order_only():
    model = fitted(FORMS["s"], time_unit=None, history=RecentHistory(half_life=None))
    assert model.time_unit_ == "order"
    order = fitted(X["time"], history=RecentHistory(half_life=None))
    assert order.time_unit_ == "order"
    with pytest.raises(TypeError, match="in fit it held numbers"):
        model.partial_fit(events(DATES)[:1])


@pytest.mark.slow
def test_day_numbers_are_instants_if_that_is_said():
    days = (DATES - pd.Timestamp(0)) // pd.Timedelta(days=1)
    midnights = DATES.dt.floor("D")
    model = fitted(days, time_unit="D")
    expected = fitted(midnights)
    assert_array_equal(model.item_embeddings_, expected.item_embeddings_)
    assert fitted(days, history=RecentHistory(half_life=None)).time_unit_ == "order"


def test_the_unit_is_a_parameter_like_others():
    model = TwoTowerRecommender(time="time", time_unit="ms")
    assert clone(model).time_unit == "ms"
    with pytest.raises(ValueError, match="time_unit"):
        TwoTowerRecommender(time="time", time_unit="minutes").fit(events(DATES))


def test_files_keep_the_unit(in_seconds, tmp_path):
    path = tmp_path / "model.sktt"
    dump(in_seconds, path)
    other, small = load(path), sktwotower.runtime.load(path)
    table = requests(FORMS["s"])
    expected = in_seconds.recommend(table, 3)
    pd.testing.assert_frame_equal(other.recommend(table, 3), expected)
    for row, user in enumerate(table["user"]):
        for times in (FORMS["s"], DATES):
            ids, _ = small.recommend(user, 3, context={"time": times[row]})
            assert_array_equal(ids, expected["item"][3 * row :][:3])
    with pytest.raises(ValueError, match="cannot be read as datetime"):
        small.recommend("u00", 3, context={"time": int(FORMS["ms"][0])})


def test_it_is_said_what_times_are_taken_as(caplog):
    with caplog.at_level(logging.INFO, "sktwotower"):
        model = fitted(FORMS["s"])
    span = f"{DATES.min():%Y-%m-%d} to {DATES.max():%Y-%m-%d}"
    assert f"'time' of X: Unix seconds, {span}" in caplog.text
    assert "time as Unix seconds" in model._repr_html_()


def test_popularity_with_a_window():
    window = pd.Timedelta(days=5)
    params = {"time": "time", "window": window}
    expected = PopularityRecommender(**params).fit(events(DATES)).recommend(["zoe"], 9)
    for form, given in (("s", window), ("ms", window.total_seconds() * 1000)):
        model = PopularityRecommender(time="time", window=given)
        found = model.fit(events(FORMS[form])).recommend(["zoe"], 9)
        pd.testing.assert_frame_equal(found, expected)


def test_click_rates_with_a_half_life():
    y = X.index % 2
    rates = [
        ClickRateRecommender(time="time", half_life=MONTH)
        .fit(events(times)[:50], y[:50])
        .partial_fit(events(times)[50:], y[50:])
        .item_rates_
        for times in (DATES, FORMS["s"])
    ]
    assert_array_equal(*rates)


def test_splits_take_durations():
    gap = pd.Timedelta(days=2)
    splits = [
        list(TimeSplit(time="time", test_size=20, gap=gap).split(events(times)))
        for times in (DATES, FORMS["s"], FORMS["ns"])
    ]
    for other in splits[1:]:
        for expected, found in zip(splits[0], other, strict=True):
            assert_array_equal(expected[0], found[0])
            assert_array_equal(expected[1], found[1])


@pytest.mark.slow
def test_two_stages():
    answers = []
    for times in (DATES, FORMS["s"]):
        retriever = TwoTowerRecommender(**PARAMS | {"context": "time"})
        model = TwoStageRecommender(retriever, time="time", random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few users
            model.fit(events(times))
        answers.append(model.recommend(requests(times), 3))
        answers.append(model.recommend(["u02"], 3, context={"time": times[4]}))
        model.partial_fit(events(times + (times.max() - times.min()))[:5])
        answers.append(model.recommend(["u00"], 3))
    for expected, found in zip(answers[:3], answers[3:], strict=True):
        pd.testing.assert_frame_equal(found, expected)


def test_pickles_keep_the_unit(in_seconds):
    copy = pickle.loads(pickle.dumps(in_seconds))
    assert copy.time_unit_ == "s"
    found = copy.recommend(requests(FORMS["s"]), 3)
    pd.testing.assert_frame_equal(found, in_seconds.recommend(requests(DATES), 3))


def test_missing_times_of_requests_are_unknown(dated, in_seconds):
    later = np.array([np.nan, FORMS["s"][1]])
    found = in_seconds.recommend(pd.DataFrame({"user": ["u00", "u01"], "time": later}))
    when = pd.Series([pd.NaT, DATES[1]])
    table = pd.DataFrame({"user": ["u00", "u01"], "time": when})
    pd.testing.assert_frame_equal(found, dated.recommend(table))
