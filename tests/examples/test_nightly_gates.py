"""The gates of the nightly job: which days are published, and what refusals say."""

import json
import logging
import shutil
import sys

import numpy as np
import pandas as pd
import pytest

from sktwotower import TwoTowerRecommender, io
from sktwotower.datasets import load_online_retail
from tests.builders import small
from tests.examples import nights
from tests.examples.corrupt_days import CORRUPT, CORRUPT_TIMES, day_of, past, with_times

pytestmark = pytest.mark.slow
PAIR = ["customer", "product"]
N_DAYS = 6  # that are published before the corrupt one


@pytest.fixture(scope="module")
def nightly():
    return nights.nightly()


class Shop:
    """A folder with a model, to which nights are given."""

    def __init__(self, folder, nightly):
        self.folder, self.nightly = folder, nightly
        self.path = folder / "model.sktt"

    def fitted(self, X, **params):
        params = {"max_epochs": 15, "lr": 0.02, "sparse_parts": None} | params
        io.dump(small(**params).fit(X), self.path)
        return self

    def copied(self, folder):
        shutil.copytree(self.folder, folder)
        return Shop(folder, self.nightly)

    def night(self, day, *options, name="day.parquet"):
        """Return the exit code of a day, whether it was published, and the log."""
        file, before = self.folder / name, self.path.read_bytes()
        day.to_parquet(file, index=False)
        code, said = self.run(file, *options)
        return code, self.path.read_bytes() != before, said

    def run(self, *arguments):
        """Return the exit code and the log of the script."""
        log, quiet = logging.getLogger(), logging.getLogger("sktwotower")
        said, level, others = [], quiet.level, log.level
        handler = logging.Handler()
        handler.emit = lambda record: said.append(record.getMessage())
        log.addHandler(handler)
        log.setLevel("INFO")
        given, sys.argv = sys.argv, ["nightly.py", self.path, *arguments]
        sys.argv = [str(each) for each in sys.argv]
        try:
            return self.nightly.main(), "\n".join(said)
        finally:
            sys.argv = given
            log.removeHandler(handler)
            log.setLevel(others)
            quiet.setLevel(level)


@pytest.fixture(scope="module")
def usual(tmp_path_factory, nightly):
    """Return a shop after some days."""
    shop = Shop(tmp_path_factory.mktemp("usual"), nightly).fitted(past()[PAIR])
    codes = [shop.night(day_of(number))[0] for number in range(N_DAYS)]
    assert codes == [0] * N_DAYS
    return shop


@pytest.fixture(scope="module")
def usual_with_times(tmp_path_factory, nightly):
    """Return a shop after some days with times, which the model does not use."""
    shop = Shop(tmp_path_factory.mktemp("times"), nightly).fitted(past()[PAIR])
    for number in range(N_DAYS):
        day = with_times(day_of(number), number)
        assert shop.night(day, "--time", "time")[0] == 0
    return shop


@pytest.fixture
def shop(usual, tmp_path):
    return usual.copied(tmp_path / "shop")


CODES = {
    "half of rows": 5,
    "half of customers": 5,
    "first half": 5,
    "one customer": 5,
    "three rows": 5,
    "no rows": 0,
    "prices for customers": 65,
    "customers are text": 65,
    "columns swapped": 65,
}


def quick(ways, *names):
    """Return ways: those that are named run each time, the others by -m fuzz."""
    assert {*names} <= {*ways}
    return [
        pytest.param(way, marks=[] if way in names else pytest.mark.fuzz)
        for way in ways
    ]


OFTEN = "products permuted", "customers are text"


@pytest.mark.parametrize("way", quick(CORRUPT, *OFTEN))
def test_a_corrupt_day_is_not_published(shop, way):
    day = CORRUPT[way](day_of(N_DAYS), np.random.default_rng(0))
    code, is_published, said = shop.night(day)
    assert (code, is_published) == (CODES.get(way, 4), False), said
    if code == 4:
        assert "unlike the days before: " in said and "--accept" in said
    # the day itself is published
    code, is_published, said = shop.night(day_of(N_DAYS), name="good.parquet")
    assert (code, is_published) == (0, True), said


@pytest.mark.parametrize("way", quick(CORRUPT_TIMES))
def test_a_day_with_corrupt_times_is_not_published(usual_with_times, tmp_path, way):
    shop = usual_with_times.copied(tmp_path / "shop")
    good = with_times(day_of(N_DAYS), N_DAYS)
    day = CORRUPT_TIMES[way](good, np.random.default_rng(0))
    code, is_published, said = shop.night(day, "--time", "time")
    expected = {"times to come": 65, "the day ends at noon": 5, "times are equal": 5}
    assert (code, is_published) == (expected.get(way, 4), False), said
    code, is_published, said = shop.night(good, "--time", "time", name="good.parquet")
    assert (code, is_published) == (0, True), said


FIRST_NIGHT = [
    *("products permuted", "customers permuted", "products renumbered", "doubled"),
    *("what nobody bought", "one product", "prices for products", "three rows"),
    *("products in another case", "a robot", "customers renumbered"),
]


@pytest.mark.parametrize("way", quick(FIRST_NIGHT, "products permuted"))
def test_a_first_night_refuses_what_it_can(usual, tmp_path, nightly, way):
    shop = Shop(tmp_path, nightly).fitted(past()[PAIR])
    day = CORRUPT[way](day_of(0), np.random.default_rng(0))
    code, is_published, said = shop.night(day)
    assert not is_published and code in (4, 5), said


@pytest.mark.fuzz
def test_the_last_days_of_fit_again_are_refused_in_the_first_night(tmp_path, nightly):
    shop = Shop(tmp_path, nightly).fitted(past()[PAIR])
    code, is_published, said = shop.night(day_of(111, n_users=60, n_new=0))
    assert (code, is_published) == (4, False)
    assert "pairs of user and item that the model has learnt before: 100%" in said


@pytest.mark.fuzz
def test_a_day_that_is_right_is_accepted_and_then_usual(shop):
    busy = pd.concat(
        [day_of(number, n_users=140, n_new=9) for number in (50, 51)]
    ).drop_duplicates(PAIR)
    code, is_published, said = shop.night(busy)
    assert (code, is_published) == (4, False) and "events: " in said
    assert shop.night(busy, "--accept")[:2] == (0, True)
    days = json.loads((shop.folder / "model.sktt.days").read_text())["days"]
    assert [day["figures"]["events"] for day in days[-1:]] == [len(busy)]


def test_a_quiet_day_waits_and_is_learnt_with_the_next(shop):
    quiet, next_day = day_of(60, n_users=12), day_of(61)
    code, is_published, said = shop.night(quiet, name="quiet.parquet")
    assert (code, is_published) == (5, False)
    assert "12 users, 20 are needed" in said and "waits for the next" in said
    # repeated, it waits once
    assert shop.night(quiet, name="quiet.parquet")[0] == 5
    assert len(list(shop.folder.glob("*.refused.*"))) == 1
    assert shop.night(next_day)[:2] == (0, True)
    model = io.load(shop.path)
    learnt = model.seen_items(quiet["customer"].unique())
    assert len(quiet.merge(learnt)) == len(quiet)
    assert not list(shop.folder.glob("*.refused.*"))


@pytest.mark.fuzz
def test_days_that_wait_do_not_bring_a_corrupt_day_in(shop):
    robot = day_of(60).assign(customer=3)
    assert shop.night(robot, name="robot.parquet")[0] == 5
    before = len(io.load(shop.path).seen_items([3]))
    assert shop.night(day_of(61))[:2] == (0, True)  # without the other
    after = len(io.load(shop.path).seen_items([3]))
    assert after - before < 12 < robot["product"].nunique()
    assert len(list(shop.folder.glob("*.refused.*"))) == 1


def test_going_back(shop):
    old = shop.path.read_bytes()
    assert shop.night(day_of(N_DAYS))[:2] == (0, True)
    code, said = shop.run("--back")
    assert code == 0 and "the model of before again" in said
    assert shop.path.read_bytes() == old
    code, said = shop.run("--back")
    assert code == 66 and "nothing to go back to" in said
    # the day that was taken back counts no more
    assert shop.night(day_of(N_DAYS + 1))[:2] == (0, True)
    days = json.loads((shop.folder / "model.sktt.days").read_text())["days"]
    assert len(days) == N_DAYS + 1
    assert days[-1]["figures"]["events"] == len(day_of(N_DAYS + 1))


@pytest.mark.fuzz
def test_a_new_fit_keeps_what_is_usual_and_holds_days_back_anew(shop):
    shop.fitted(past()[PAIR])
    permuted = CORRUPT["half of products random"](
        day_of(N_DAYS), np.random.default_rng(0)
    )
    code, is_published, said = shop.night(permuted)
    assert (code, is_published) == (4, False) and "agreement: " in said
    assert "no days are held back" in shop.night(day_of(N_DAYS))[2]
    state = json.loads((shop.folder / "model.sktt.days").read_text())
    held_back = [day["events"] is not None for day in state["days"]]
    assert held_back == [False] * N_DAYS + [True]
    assert "on days held back, 36 users" in shop.night(day_of(N_DAYS + 1))[2]


@pytest.mark.fuzz
def test_learning_that_ruins_the_model_is_refused(shop):
    # steps a thousand times too long; the day itself is as good as others
    io.dump(io.load(shop.path).set_params(lr=20.0), shop.path)
    for number in (N_DAYS, N_DAYS + 1):
        code, _, said = shop.night(day_of(number), "--max-loss", "0.05")
    assert code == 3 and "the new model is worse" in said


def test_the_loss_is_a_share_of_recall(nightly):
    old = pd.Series([0.02, 0.04, 0.03, 0.03] * 30)
    less = old * 0.9
    assert nightly.loses(old, less, 0.05, "recall")  # .003 of .03
    assert not nightly.loses(old, less, 0.15, "recall")
    # nine of ten users lose nothing: within noise
    rare = old.where(np.arange(len(old)) > 3, 0)
    assert not nightly.loses(old, rare, 0.01, "recall")


def test_forgotten_users_are_dropped_from_what_is_held_back(shop):
    file = shop.folder / "model.sktt.days"
    user = int(day_of(N_DAYS - 1)["customer"].iloc[0])
    assert f'customer\\":{user},' in file.read_text()
    (shop.folder / "model.sktt.forgotten").write_text(f"{user}\n")
    assert shop.night(day_of(N_DAYS))[0] == 0
    assert f'customer\\":{user},' not in file.read_text()


def test_a_damaged_file_of_days_is_named(shop):
    file = shop.folder / "model.sktt.days"
    for damage in (b"", b"\xff", b"[]", b'{"model": 1, "days": [3]}'):
        file.write_bytes(damage)
        code, is_published, said = shop.night(day_of(N_DAYS))
        assert (code, is_published) == (74, False)
        assert "model.sktt.days is damaged, delete it" in said
    file.unlink()
    assert shop.night(day_of(N_DAYS))[0] == 0


# ------------------------------------------------------------------- side tables


def tables(n_more=0):
    """Return tables of products and customers, with further ones."""
    events = pd.concat([past(), *map(day_of, range(3))])
    products = pd.DataFrame({"product": sorted(past()["product"].unique())})
    new = pd.DataFrame({"product": [f"new{n}" for n in range(n_more)]})
    products = pd.concat([products, new], ignore_index=True)
    products["kind"] = products["product"].str[:2]
    customers = pd.DataFrame({"customer": sorted(events["customer"].unique())})
    customers["land"] = [f"land{n % 3}" for n in customers["customer"]]
    return products, customers


@pytest.fixture(scope="module")
def listed(tmp_path_factory, nightly):
    """Return a shop whose model has side tables, which lack new customers."""
    products, customers = tables()
    customers = customers[customers["customer"] < 1000]
    shop = Shop(tmp_path_factory.mktemp("listed"), nightly)
    return shop.fitted(past()[PAIR], items=products, users=customers)


def test_events_of_ids_that_side_tables_lack_are_left_out_and_counted(listed, tmp_path):
    shop, day = listed.copied(tmp_path / "shop"), day_of(0)[PAIR]
    day.loc[day.index[:3], "product"] = "new0"
    code, is_published, said = shop.night(day)
    n_unknown = ((day["customer"] >= 1000) | (day["product"] == "new0")).sum()
    assert (code, is_published) == (0, True), said
    assert f"left out: {n_unknown} events of ids that the side tables lack" in said
    model = io.load(shop.path)
    assert "new0" not in model.item_ids_ and max(model.user_ids_) < 1000


@pytest.mark.fuzz
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_new_tables_bring_new_ids_with_their_features(listed, tmp_path, form):
    shop, day = listed.copied(tmp_path / "shop"), day_of(0)[PAIR]
    day.loc[day.index[:3], "product"] = "new0"
    products, customers = tables(n_more=2)
    options = []
    for name, table in (("items", products[-1:]), ("users", customers)):
        file = shop.folder / f"{name}.{form}"
        table = products[60:] if name == "items" else table
        getattr(table, f"to_{form}")(file, index=False)
        options += [f"--{name}", file]
    code, is_published, said = shop.night(day, *options)
    assert (code, is_published) == (0, True) and "left out" not in said
    model = io.load(shop.path)
    assert {"new0", "new1"} < set(model.item_ids_)
    assert set(day["customer"]) < set(model.user_ids_)
    pd.testing.assert_frame_equal(model.items, products)
    # without the option, the model knows them in the next night
    day = day_of(1)[PAIR]
    day = day[day["customer"] < 1000].replace({day["product"].iloc[0]: "new1"})
    assert "left out" not in shop.night(day, name="next.parquet")[2]


@pytest.mark.fuzz
def test_forgotten_items_are_left_out(listed, tmp_path):
    shop, day = listed.copied(tmp_path / "shop"), day_of(0)[PAIR]
    day = day[day["customer"] < 1000]
    gone = day["product"].value_counts().index[10]
    io.dump(io.load(shop.path).forget_items([gone]), shop.path)
    products, _ = tables()
    products.to_csv(shop.folder / "items.csv", index=False)
    (shop.folder / "model.sktt.forgotten.items").write_text(f"{gone}\n")
    code, is_published, said = shop.night(day, "--items", shop.folder / "items.csv")
    n_gone = (day["product"] == gone).sum()
    assert (code, is_published) == (0, True), said
    assert f"left out: {n_gone} events of forgotten users and items" in said
    assert gone not in io.load(shop.path).item_ids_
    assert gone not in set(io.load(shop.path).items["product"])


@pytest.mark.fuzz
def test_items_of_set_catalog_are_known(listed, tmp_path):
    shop, day = listed.copied(tmp_path / "shop"), day_of(0)[PAIR]
    day = day[day["customer"] < 1000]
    day.loc[day.index[:3], "product"] = "new0"
    io.dump(io.load(shop.path).set_catalog(tables(n_more=1)[0]), shop.path)
    code, _, said = shop.night(day)
    assert code == 0 and "left out" not in said
    assert len(io.load(shop.path).recommend([5], candidates=["new0"])) == 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"product": ["new0"]}), "has no column 'kind'"),
        (pd.DataFrame({"article": ["new0"], "kind": ["a"]}), "has no column 'product'"),
    ],
)
def test_tables_that_cannot_be_used_are_named(listed, usual, tmp_path, table, message):
    shop = listed.copied(tmp_path / "shop")
    table.to_csv(shop.folder / "items.csv", index=False)
    code, is_published, said = shop.night(
        day_of(0), "--items", shop.folder / "items.csv"
    )
    assert (code, is_published) == (65, False) and message in said
    code, _, said = usual.copied(tmp_path / "other").night(
        day_of(N_DAYS), "--items", shop.folder / "items.csv"
    )
    assert code == 65 and "the model was fitted without items=" in said
    assert shop.night(day_of(0), "--items", shop.folder / "none.csv")[0] == 66


# --------------------------------------------------------------- days of a real shop


@pytest.mark.fuzz
def test_days_of_a_real_shop_are_published_and_corrupt_ones_are_not(tmp_path, nightly):
    X = load_online_retail().data[[*PAIR, "time"]]
    X = X[(X["time"] >= "2011-09-15") & (X["time"] < "2011-11-29")]
    days = X["time"].dt.normalize()
    start = pd.Timestamp("2011-11-20")  # a Sunday
    fit, shop = X[days < start], Shop(tmp_path, nightly)
    model = TwoTowerRecommender(embedding_dim=16, max_epochs=4, random_state=0)
    io.dump(model.fit(fit[PAIR]), shop.path)
    for date, day in X[days >= start].groupby(days[days >= start]):
        code, is_published, said = shop.night(day, name=f"{date:%F}.parquet")
        assert (code, is_published) == (0, True), f"{date:%F}: {said}"
    rng = np.random.default_rng(0)
    shuffled = day.assign(product=rng.permutation(day["product"]))
    half = day.assign(
        product=day["product"].where(rng.random(len(day)) < 0.5, shuffled["product"])
    )
    shop.run("--back")
    for corrupt in (shuffled, half, day[rng.random(len(day)) < 0.5]):
        code, is_published, said = shop.night(corrupt, name="2011-11-28b.parquet")
        assert not is_published and code in (4, 5), said
