"""Data sets: what is shipped, what is fetched (from a folder), what is made."""

import hashlib
import pickle
import zipfile
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from sktwotower import datasets
from sktwotower.datasets import (
    _movielens,
    fetch_movielens,
    load_online_retail,
    make_interactions,
)
from tests.cases import for_each


def test_all_is_sorted():
    assert datasets.__all__ == sorted(datasets.__all__)


# ---- load_online_retail ----------------------------------------------------------


@pytest.fixture(scope="module")
def shop():
    return load_online_retail()


@pytest.mark.slow
def test_online_retail_has_every_line(shop):
    assert shop.data.shape == (397_884, 6)
    assert shop.data["customer"].nunique() == 4_338
    assert shop.data["product"].nunique() == 3_665
    assert shop.data["invoice"].nunique() == 18_532
    assert shop.data["time"].nunique() == 17_282
    assert shop.data["time"].is_monotonic_increasing
    assert int(shop.data.duplicated().sum()) == 5_194


@pytest.mark.slow
def test_online_retail_revenue_is_that_of_the_source(shop):
    """The sums of the source, in thousandths of a pound to be exact."""
    price = (shop.data["unit_price"] * 1000).round().astype("int64")
    assert int((shop.data["quantity"] * price).sum()) == 8_911_407_904
    assert shop.data["quantity"].max() == 80_995
    assert (shop.data["unit_price"].min(), shop.data["unit_price"].max()) == (
        0.001,
        8142.75,
    )
    assert int((shop.data["unit_price"] < 0.01).sum()) == 4


def test_online_retail_rows_looked_up_in_the_source(shop):
    for row, expected in [
        (0, (17850, "85123A", "2010-12-01 08:26", 6, 2.55, 536365)),
        (7, (17850, "22633", "2010-12-01 08:28", 6, 1.85, 536366)),
        (1_000, (14729, "84985A", "2010-12-01 12:43", 1, 1.45, 536520)),
        (100_000, (13102, "23158", "2011-04-07 12:30", 12, 2.08, 549258)),
        (200_000, (16332, "82483", "2011-08-01 13:29", 4, 6.95, 561968)),
        (397_883, (12680, "22138", "2011-12-09 12:50", 3, 4.95, 581587)),
    ]:
        customer, product, time, quantity, price, invoice = shop.data.loc[row]
        assert (customer, product, quantity, price, invoice) == (
            *expected[:2],
            *expected[3:],
        )
        assert time == pd.Timestamp(expected[2])


def test_online_retail_types(shop):
    assert shop.feature_names == list(shop.data.columns)
    assert shop.feature_names == [
        "customer",
        "product",
        "time",
        "quantity",
        "unit_price",
        "invoice",
    ]
    for name in ["customer", "quantity", "invoice"]:
        assert shop.data[name].dtype == np.int64
    assert shop.data["time"].dtype == "datetime64[s]"
    assert all(isinstance(code, str) for code in shop.data["product"].head(100))


@pytest.mark.slow
def test_online_retail_side_tables(shop):
    assert shop.products.shape == (3_665, 2)
    assert shop.customers.shape == (4_338, 2)
    for table, key in [(shop.products, "product"), (shop.customers, "customer")]:
        assert table[key].is_unique
        assert table[key].is_monotonic_increasing
        assert set(table[key]) == set(shop.data[key])
    text = shop.products["description"]
    assert (text == text.str.split().str.join(" ")).all()
    assert (text != "").all()
    named = shop.products.set_index("product")["description"]
    assert named["85123A"] == "WHITE HANGING HEART T-LIGHT HOLDER"
    assert named["84406B"] == "CREAM CUPID HEARTS COAT HANGER"
    country = shop.customers.set_index("customer")["country"]
    assert country[17850] == "United Kingdom"
    assert country[12680] == "France"
    assert country.nunique() == 37


@pytest.mark.slow
def test_online_retail_target_is_the_quantity(shop):
    data, target = load_online_retail(return_X_y=True)
    assert data.shape == shop.data.shape and data.columns.equals(shop.data.columns)
    assert (target == shop.data["quantity"]).all()
    target.iloc[0] = -1
    assert data.loc[0, "quantity"] == 6, "the target is a copy"


@pytest.mark.grid
def test_online_retail_as_arrays(shop):
    bunch = load_online_retail(as_frame=False)
    assert bunch.frame is None
    assert isinstance(bunch.data, np.ndarray)
    assert bunch.data.shape == shop.data.shape
    assert bunch.data[1_000, 1] == "84985A"
    np.testing.assert_array_equal(bunch.target, shop.target)
    assert bunch.target.dtype == np.int64


def test_a_wrong_form_of_the_shop_is_refused():
    with pytest.raises(ValueError, match="'as_frame' parameter"):
        load_online_retail(as_frame="yes")


def test_online_retail_states_licence_and_citation(shop):
    for part in ["CC0", "doi:10.1057/dbm.2012.17", "UCI Machine Learning", "397,884"]:
        assert part in shop.DESCR


def test_online_retail_is_small(shop):
    folder = files("sktwotower.datasets") / "data"
    size = sum(len(path.read_bytes()) for path in folder.iterdir() if path.is_file())
    assert size < 3_000_000
    assert (folder / shop.filename).is_file()


# ---- fetch_movielens ---------------------------------------------------------------

FLAGS = "0|" * 18 + "0"
FILES = {
    "100k": {
        "ml-100k/u.data": (
            "2\t10\t3\t881250949\n1\t10\t5\t881250948\n1\t20\t1\t881250949\n"
        ),
        "ml-100k/u.user": "1|24|M|technician|85711\n2|53|F|other|T8H1N\n",
        "ml-100k/u.item": (
            f"10|Amélie (2001) (V)|01-Jan-2001||http://x|0|1|0|0|1|{FLAGS[:-10]}\n"
            f"20|unknown||||1|{FLAGS[2:]}\n"
        ),
    },
    "1m": {
        "ml-1m/ratings.dat": "1::10::5::978300760\n1::20::3::978300759\n",
        "ml-1m/users.dat": "1::F::1::10::48067\n2::M::56::16::01234\n",
        "ml-1m/movies.dat": (
            '10::Misérables, Les: "A" (1995)::Drama|Musical\n20::M (1931)::Crime\n'
        ),
    },
    "latest-small": {
        "ml-latest-small/ratings.csv": (
            "userId,movieId,rating,timestamp\n3,10,4.5,964982703\n1,20,4.0,964981247\n"
        ),
        "ml-latest-small/movies.csv": (
            "movieId,title,genres\n"
            '10,"American President, The (1995)",Comedy|Drama\n'
            "20,Desu nôto (2006–2007),(no genres listed)\n"
            "30,Babylon 5,Sci-Fi\n"
        ),
    },
}


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder with small zips in place of GroupLens, and their checksums."""
    folder = tmp_path / "server"
    folder.mkdir()
    for name, members in FILES.items():
        path = folder / f"ml-{name}.zip"
        encoding = "utf-8" if name == "latest-small" else "latin-1"
        with zipfile.ZipFile(path, "w") as archive:
            for member, text in members.items():
                archive.writestr(member, text.encode(encoding))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        monkeypatch.setitem(_movielens._CHECKSUMS, name, digest)
    monkeypatch.setattr(_movielens, "_BASE_URL", folder.as_uri() + "/")
    return folder


def test_movielens_100k(server, tmp_path):
    films = fetch_movielens("100k", data_home=tmp_path)
    # as in the file, which is not in the order of time
    assert films.data[["user", "item", "rating"]].to_numpy().tolist() == [
        [2, 10, 3],
        [1, 10, 5],
        [1, 20, 1],
    ]
    assert films.data["time"].dtype == "datetime64[s]"
    assert films.data["time"][1] == pd.Timestamp("1997-12-04 15:55:48")
    assert films.target.tolist() == [3, 5, 1]
    assert films.feature_names == ["user", "item", "rating", "time"]
    assert films.user_table.to_numpy().tolist() == [
        [1, 24, "M", "technician", "85711"],
        [2, 53, "F", "other", "T8H1N"],
    ]
    assert films.item_table["title"].tolist() == ["Amélie (2001) (V)", "unknown"]
    assert films.item_table["genres"].tolist() == ["Action|Children's", ""]
    np.testing.assert_array_equal(films.item_table["year"], [2001, np.nan])


def test_movielens_1m(server, tmp_path):
    films = fetch_movielens("1m", data_home=tmp_path)
    assert films.data["item"].tolist() == [10, 20]
    assert films.data["time"][0] == pd.Timestamp("2000-12-31 22:12:40")
    assert films.user_table.columns.tolist() == [
        "user",
        "age",
        "gender",
        "occupation",
        "zip_code",
    ]
    assert films.user_table.to_numpy().tolist() == [
        [1, 1, "F", "K-12 student", "48067"],
        [2, 56, "M", "self-employed", "01234"],
    ]
    assert films.item_table.to_numpy().tolist() == [
        [10, 'Misérables, Les: "A" (1995)', 1995, "Drama|Musical"],
        [20, "M (1931)", 1931, "Crime"],
    ]


def test_movielens_latest_small(server, tmp_path):
    films = fetch_movielens(data_home=tmp_path)
    assert films.data["rating"].tolist() == [4.5, 4.0]
    assert films.user_table.to_numpy().tolist() == [[1], [3]]
    assert films.item_table["title"].tolist()[0] == "American President, The (1995)"
    assert films.item_table["genres"].tolist() == ["Comedy|Drama", "", "Sci-Fi"]
    np.testing.assert_array_equal(films.item_table["year"], [1995, 2006, np.nan])
    assert "research" in films.DESCR


@pytest.mark.parametrize("name", sorted(FILES))
def test_movielens_second_call_leaves_the_source_alone(name, server, tmp_path):
    first = fetch_movielens(name, data_home=tmp_path)
    (server / f"ml-{name}.zip").unlink()
    data, target = fetch_movielens(
        name, data_home=tmp_path, download_if_missing=False, return_X_y=True
    )
    pd.testing.assert_frame_equal(data, first.data)
    pd.testing.assert_series_equal(target, first.target)


def test_movielens_broken_download_leaves_nothing(server, tmp_path):
    path = server / "ml-1m.zip"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(OSError, match="SHA-256 checksum is .*, expected"):
        fetch_movielens("1m", data_home=tmp_path, n_retries=1, delay=0)
    assert list((tmp_path / "sktwotower_movielens").iterdir()) == []


def test_movielens_refuses_another_file_put_by_hand(server, tmp_path):
    folder = tmp_path / "sktwotower_movielens"
    folder.mkdir()
    (folder / "ml-1m.zip").write_bytes(b"no zip")
    with pytest.raises(OSError, match=r"ml-1m\.zip is broken .* Delete it"):
        fetch_movielens("1m", data_home=tmp_path)
    assert (folder / "ml-1m.zip").read_bytes() == b"no zip", "not ours to delete"


@pytest.mark.parametrize("comes_back", [False, True])
def test_movielens_tries_again_after_a_failure(
    server, tmp_path, monkeypatch, comes_back
):
    hidden, waits = (server / "ml-1m.zip").rename(server / "later.zip"), []

    def sleep(seconds):
        waits.append(seconds)
        if comes_back:
            hidden.rename(server / "ml-1m.zip")

    monkeypatch.setattr("time.sleep", sleep)
    how = {"data_home": tmp_path, "n_retries": 2, "delay": 7.5}
    if comes_back:
        assert len(fetch_movielens("1m", **how).data) == 2
        assert waits == [7.5]
        return
    with pytest.raises(OSError, match="in 3 attempts") as caught:
        fetch_movielens("1m", **how)
    assert waits == [7.5, 7.5]
    url = (server / "ml-1m.zip").as_uri()
    for part in [url, str(tmp_path / "sktwotower_movielens"), "download_if_missing"]:
        assert part in str(caught.value)


def test_movielens_missing_and_not_to_be_fetched(server, tmp_path):
    with pytest.raises(OSError, match="download_if_missing is False") as caught:
        fetch_movielens("1m", data_home=tmp_path, download_if_missing=False)
    assert (server / "ml-1m.zip").as_uri() in str(caught.value)
    assert str(tmp_path / "sktwotower_movielens") in str(caught.value)


def test_movielens_unknown_name(tmp_path):
    with pytest.raises(ValueError, match="'name' parameter") as caught:
        fetch_movielens("20m", data_home=tmp_path)
    for part in ["'100k'", "'1m'", "'latest-small'", "'20m'"]:
        assert part in str(caught.value)
    assert list(tmp_path.iterdir()) == []


# ---- make_interactions -------------------------------------------------------------


def naive_best_recall(made, k):
    """Rank all items for one user after the other, as the docstring says."""
    rows = made.data.assign(y=made.target, test=made.test_mask)
    recalls = []
    for user, own in rows.groupby("user"):
        seen = set(own["item"][~own["test"]])
        wanted = set(own["item"][own["test"] & (own["y"] == 1)])
        p = made.item_probabilities[made.user_cluster[user]]
        ranking = sorted(range(len(p)), key=lambda item, p=p: (-p[item], item))
        top = [item for item in ranking if item not in seen][:k]
        recalls.append(len(wanted & set(top)) / len(wanted))
    return np.mean(recalls)


@pytest.mark.slow
def test_best_recall_is_that_of_a_naive_ranking():
    for k in [1, 5, 30]:
        for noise in [0.1, 1.0]:
            for n_impressions in [0, 2]:
                made = make_interactions(
                    40,
                    60,
                    n_clusters=4,
                    interactions_per_user=10,
                    noise=noise,
                    n_impressions=n_impressions,
                    random_state=0,
                )
                assert made.best_recall(k) == pytest.approx(naive_best_recall(made, k))


def test_best_recall_by_hand():
    """One cluster, no noise, 3 items, all drawn; one held out.

    After two are left out the third has the first place: recall 1 at any k.
    """
    made = make_interactions(
        5, 3, n_clusters=1, interactions_per_user=3, noise=0, random_state=1
    )
    assert made.best_recall(1) == 1.0
    assert made.best_recall(0) == 0.0


def test_made_rows_are_ordered_and_distinct():
    made = make_interactions(
        30, 50, interactions_per_user=10, n_impressions=3, noise=0.5, random_state=0
    )
    data = made.data
    assert data.shape == (30 * 10 * 4, 3)
    assert data.columns.tolist() == ["user", "item", "time"]
    assert data["time"].is_monotonic_increasing
    assert data["time"].dtype == "datetime64[s]"
    assert not data.duplicated(["user", "item"]).any()
    assert made.target.groupby(data["user"]).sum().eq(10).all()
    chosen = data[made.target == 1]
    assert not chosen.duplicated(["user", "time"]).any()
    is_test = pd.Series(made.test_mask)
    assert is_test.groupby(data["user"]).sum().eq(2 * 4).all()
    latest_train = data[~is_test].groupby("user")["time"].max()
    first_test = data[is_test].groupby("user")["time"].min()
    assert (latest_train < first_test).all()


def test_first_choices_follow_the_probabilities():
    """Each user's first item is one draw from p: frequencies within 5 sigma."""
    n = 20_000
    made = make_interactions(
        n, 6, n_clusters=2, interactions_per_user=2, noise=0.3, random_state=0
    )
    first = made.data.drop_duplicates("user")
    for cluster, p in enumerate(made.item_probabilities):
        assert p.sum() == pytest.approx(1)
        items = first["item"][made.user_cluster[first["user"]] == cluster]
        got = np.bincount(items, minlength=6) / len(items)
        np.testing.assert_array_less(abs(got - p), 5 * np.sqrt(p / len(items)))


def test_probabilities_by_hand():
    """Two clusters of two items, noise .2, exponent 1.

    Own items 2/3 and 1/3 of .8, and .05 for each of the four.
    """
    p = make_interactions(
        4, 4, n_clusters=2, interactions_per_user=2, noise=0.2, random_state=0
    ).item_probabilities
    np.testing.assert_allclose(
        np.sort(p, axis=1), [[0.05, 0.05, 0.8 / 3 + 0.05, 1.6 / 3 + 0.05]] * 2
    )


def test_second_choice_is_drawn_from_what_is_left():
    """P(second = j) = sum over i != j of p_i p_j / (1 - p_i)."""
    n = 20_000
    made = make_interactions(
        n, 4, n_clusters=1, interactions_per_user=2, noise=0.1, random_state=3
    )
    p = made.item_probabilities[0]
    expected = p * ((p / (1 - p)).sum() - p / (1 - p))
    second = made.data[made.data.duplicated("user")]
    got = np.bincount(second["item"], minlength=4) / n
    np.testing.assert_array_less(abs(got - expected), 5 * np.sqrt(expected / n))


def test_made_side_tables():
    made = make_interactions(500, 60, n_clusters=4, random_state=0)
    users, items = made.user_table, made.item_table
    assert users.columns.tolist() == ["user", "segment", "city"]
    assert items.columns.tolist() == ["item", "category", "tags", "title", "price"]
    assert users["user"].tolist() == list(range(500))
    assert items["item"].tolist() == list(range(60))
    # the category of an item is the cluster in which it is most probable
    cluster = made.item_probabilities.argmax(axis=0)
    assert items["category"].tolist() == [f"category{c}" for c in cluster]
    true_segment = pd.Series(made.user_cluster).map("segment{}".format)
    # .8 named and a quarter of .2 by luck; 5 sigma of 500 are .08
    assert (users["segment"] == true_segment).mean() == pytest.approx(0.85, abs=0.08)
    shares = pd.crosstab(users["city"], made.user_cluster, normalize="columns")
    assert shares.to_numpy().max() < 0.4
    for tags, c in zip(items["tags"], cluster, strict=True):
        assert len(set(tags)) == 3
        assert [tag.startswith(f"tag{c}-") for tag in tags] == [True, True, False]
    assert items["title"].str.split().str.len().eq(3).all()
    assert (items["price"] > 0).all()


def test_made_data_depends_on_the_seed_alone():
    first, again, other = (
        make_interactions(50, 40, n_impressions=1, random_state=seed)
        for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(first.data, again.data)
    pd.testing.assert_frame_equal(first.item_table, again.item_table)
    assert not first.data.equals(other.data)
    copied = pickle.loads(pickle.dumps(first))
    assert copied.best_recall(5) == first.best_recall(5)


@pytest.mark.slow
def test_many_users_are_drawn_in_blocks_and_none_is_left_out():
    # more than four million pairs of a user and an item are not held at once
    made = make_interactions(450, 10_000, interactions_per_user=4, random_state=0)
    sizes = made.data.groupby("user")["item"].agg(["size", "nunique"])
    assert len(sizes) == 450 and (sizes == 4).all(axis=None)


def test_made_sizes_that_cannot_be():
    for params, message in [
        ({"n_clusters": 50, "n_items": 40}, "n_clusters must be at most n_items"),
        ({"n_items": 30, "n_impressions": 1}, "must be at most n_items.* 40 and 30"),
        ({"n_items": 100, "noise": 0}, "With noise=0 .* 20 and 10"),
        ({"noise": 1.5}, "'noise' parameter"),
        ({"interactions_per_user": 1}, "'interactions_per_user' parameter"),
        ({"test_size": 1.0}, "'test_size' parameter"),
    ]:
        with pytest.raises(ValueError, match=message):
            make_interactions(10, **{"n_items": 100, **params})


@for_each(("test_size", "n_test"), [(0.01, 1), (0.5, 2), (0.99, 3)])
def test_one_event_at_least_is_on_each_side(test_size, n_test):
    made = make_interactions(
        6, 20, interactions_per_user=4, test_size=test_size, random_state=0
    )
    assert made.test_mask.sum() == 6 * n_test
