"""Which columns are taken, which rows are held out, and what is said of it."""

import gzip
import re

import numpy as np
import pandas as pd
import pytest

from .builders import task_of, task_of_options

TABLE = pd.DataFrame({"who": [1, 1, 2], "what": list("aba"), "at": [3, 4, 3]})
CUT = gzip.compress(b"who,what\n1,a\n", mtime=0)[:-9]  # a file that ends too early


@pytest.mark.parametrize(
    ("options", "taken"),
    [
        ([], ("who", "what")),
        (["--user", "what"], ("what", "who")),
        (["--item", "who"], ("what", "who")),
        (["--time", "who"], ("what", "at")),
        (["--context", "what"], ("who", "at")),
    ],
)
def test_the_first_free_columns_are_the_ids(tmp_path, capsys, options, taken):
    task = task_of(tmp_path, TABLE, *options)
    assert (task.user, task.item) == taken
    said = capsys.readouterr().out
    assert "These columns are taken: --user {} --item {}.\n".format(*taken) in said
    unused = {*TABLE} - {*taken, *options}
    assert said.count("Columns not used: ") == len(unused)
    assert all(f"Columns not used: {name!r}.\n" in said for name in unused)


USUAL_NAMES = [
    # the raw purchases of Online Retail
    (
        "InvoiceNo StockCode Description Quantity UnitPrice CustomerID Country",
        "CustomerID",
        "StockCode",
    ),
    ("rating movie_id user_id", "user_id", "movie_id"),
    ("price listener artist", "listener", "artist"),
    ("userId movieId rating", "userId", "movieId"),
    ("reviewer items_sold", "reviewer", "items_sold"),
    ("customers_age productivity user", "user", "customers_age"),
]


def test_columns_with_usual_names_are_the_ids(tmp_path):
    for columns, user, item in USUAL_NAMES:
        table = pd.DataFrame([range(len(columns.split()))], columns=columns.split())
        task = task_of(tmp_path, table)
        assert (task.user, task.item) == (user, item)


def test_a_usual_name_that_is_given_is_not_taken_twice(tmp_path):
    table = pd.DataFrame([[1, 2, 3]], columns=["age", "user", "item"])
    task = task_of(tmp_path, table, "--item", "user")
    assert (task.user, task.item) == ("age", "user")
    task = task_of(tmp_path, table, "--user", "item")
    assert (task.user, task.item) == ("item", "age")


def test_names_with_spaces_can_be_copied(tmp_path, capsys):
    table = TABLE.rename(columns={"who": "the user", "what": "it's"})
    days = ["2024-01-05", "2024-01-06", "2024-01-07"]
    task_of(tmp_path, table.assign(**{"the day": days}))
    said = capsys.readouterr().out
    assert """taken: --user 'the user' --item 'it'"'"'s'.""" in said
    assert "taken: --time 'the day'. To ignore it" in said


def test_columns_that_are_named_are_not_announced(tmp_path, capsys):
    names = ["--item-name", "at"]
    task_of(tmp_path, TABLE, "--user", "what", "--item", "who", *names)
    said = capsys.readouterr().out
    assert "columns are taken" not in said and "not used" not in said


@pytest.mark.parametrize(("option", "side"), [("--users", "who"), ("--items", "what")])
def test_rows_that_a_side_table_lacks_are_an_error_at_once(tmp_path, option, side):
    path = tmp_path / "side.csv"
    TABLE[[side]][:1].assign(kind="x").to_csv(path, index=False)
    lacks = f"{option} lacks 1 ids of '{side}': .*. Add a row for each; it may be"
    with pytest.raises(ValueError, match=lacks):
        task_of(tmp_path, TABLE, option, str(path))
    # a row may be empty, and rows of events that are left out need none
    TABLE[[side]].drop_duplicates().assign(kind=["x", None]).to_csv(path, index=False)
    gap = pd.DataFrame({"who": [None, "q"], "what": ["z", None], "at": 1})
    assert len(task_of(tmp_path, pd.concat([TABLE, gap]), option, str(path)).events)


def test_numbers_of_rows_are_no_ids(tmp_path):
    task = task_of(tmp_path, TABLE.reset_index(names=""))
    assert (task.user, task.item) == ("who", "what")


def test_one_column_is_too_few(tmp_path):
    with pytest.raises(
        ValueError, match="--data: .*events.csv has no column for --item"
    ):
        task_of(tmp_path, TABLE[["who"]])


def test_the_first_columns_of_files_on_disk(tmp_path):
    pytest.importorskip("duckdb")
    TABLE.to_parquet(tmp_path / "a.parquet")
    task = task_of_options("--data", str(tmp_path), "--time", "who")
    assert (task.user, task.item) == ("what", "at")


def rows(*items_by_user):
    """Return one event for each item of each user, in turn."""
    pairs = [(u, i) for u, items in enumerate(items_by_user) for i in items]
    return pd.DataFrame(pairs, columns=["u", "i"])


UP, DOWN, MIXED = [1, 2, 5, 7, 9], [9, 7, 5, 2, 1], [1, 9, 2, 7, 5]


ORDERS = [
    ([UP, UP, MIXED], True),
    ([UP, DOWN, MIXED], True),  # two of three, each one way
    ([UP, MIXED], False),  # one of two is not most
    ([UP[:4]] * 9, False),  # of four rows one in twelve is sorted by chance
    ([MIXED], False),
    ([[10, 9, 100, 11, 2]], False),
]


def test_rows_that_are_sorted_by_item(tmp_path):
    for items, expected in ORDERS:
        events = rows(*items, [1], [1])  # further users, of whom nothing is known
        # nor does it matter how rows of several users are mixed
        mixed = events.iloc[np.argsort(events.groupby("u").cumcount(), kind="stable")]
        for each in (events, mixed, events.assign(i=events["i"].map("i{:03d}".format))):
            task = task_of(tmp_path, each, "--user", "u", "--item", "i")
            assert ("at random" in task.caution) == expected


def test_of_sorted_rows_a_random_part_is_held_out(tmp_path, capsys):
    table = rows(*[range(10)] * 50).assign(created_at=0)
    task = task_of(tmp_path, table)
    train, test, how = task.split()
    assert (
        "Without --time created_at, rows are held out at random: those of most users "
        "are sorted by i.\n" in capsys.readouterr().out
    )
    assert task.caution == "Rows were held out at random: do not trust small leads."
    assert how == "20 % of each u's rows, at random"
    assert len(test) == 100 and (test.groupby("u").size() == 2).all()
    # of the last rows, 45 of 50 in the mean would be later than of the first
    assert 20 < (test["i"] < 5).sum() < 80
    assert not set(map(tuple, train.to_numpy())) & set(map(tuple, test.to_numpy()))
    again = task_of(tmp_path, table).split()[1]
    assert again.equals(test)
    assert not task_of(tmp_path, table, "--seed", "1").split()[1].equals(test)


def test_with_times_sorted_rows_are_held_out_by_time(tmp_path):
    table = rows(*[range(u, u + 10) for u in range(5)])
    table["t"] = table.groupby("u").cumcount()
    task = task_of(tmp_path, table, "--time", "t")
    assert set(task.split()[1]["t"]) == {8, 9} and task.which == "the last "


def test_order_of_rows_is_assumed_and_that_is_said(tmp_path, capsys):
    task = task_of(tmp_path, rows(MIXED, MIXED[::-1]))
    assert (
        "Without times, rows are taken as in order of time." in capsys.readouterr().out
    )
    assert task.caution == ""
    _, test, how = task.split()
    assert how == "the last 20 % of each u's rows" and test["i"].tolist() == [5, 1]


def test_of_few_rows_the_last_one_is_held_out(tmp_path):
    events = rows([1, 2, 3], [3, 1], [2, 3])
    _, test, how = task_of(tmp_path, events, "--user", "u", "--item", "i").split()
    assert how == "the last one of each u's rows" and test["i"].tolist() == [3, 1, 3]


def test_users_with_one_event_each_are_the_reason(tmp_path):
    table = pd.DataFrame({"row": range(9), "item": [1, 2, 3] * 3})
    task = task_of(tmp_path, table, "--user", "row")
    with pytest.raises(
        ValueError, match="Each user has one event. Is --user the right"
    ):
        task.split()


@pytest.mark.parametrize(("n_later", "is_said"), [(2, True), (1, False)])
def test_few_users_that_come_back_are_named(tmp_path, n_later, is_said):
    events = rows([1, 2, 3, 4], [1, 2, 3], [1]).assign(t=[1, 1, 1, 2] * 2)
    names = ["--user", "u", "--item", "i", "--time", "t"]
    task = task_of(tmp_path, events, *names)
    said = task.summary(events[:6], events[: 3 - n_later], "some")
    assert ("Few users come back, or many items are new." in said) == is_said
    assert f"2 events are held out: some. Of these, {3 - n_later} are judged" in said


def test_the_span_of_times_is_printed(tmp_path, capsys):
    table = TABLE.assign(at=["17/05/2024", None, "05/06/2024"])
    task_of(tmp_path, table, "--time", "at")
    said = capsys.readouterr().out
    assert "at: from 2024-05-17 00:00:00+00:00 to 2024-06-05 00:00:00+00:00." in said
    assert "1 rows without who or what or at are left out." in said


def test_text_that_gzip_compressed(tmp_path):
    path = tmp_path / "plays.tsv.gz"
    path.write_bytes(gzip.compress(TABLE.to_csv(index=False, sep="\t").encode()))
    assert task_of_options("--data", str(path)).events["what"].tolist() == list("aba")


def test_spaces_around_a_cell_are_no_part_of_it(tmp_path):
    path = tmp_path / "plays.csv"
    path.write_text("who,what\n17850,tea\n17850 , tea\nann lee, \nann lee,jam\n")
    events = task_of_options("--data", path, "--user", "who", "--item", "what").events
    assert events.to_numpy().tolist() == [["17850", "tea"], ["ann lee", "jam"]]


def test_names_below_an_empty_line(tmp_path):
    path = tmp_path / "plays.csv"
    names = ["--user", "who", "--item", "what", "--item-name", "score.1"]
    path.write_bytes(b"\nwho;what;score.1\na;x;1\nb;y;2\n")
    events = task_of_options("--data", path, *names).events
    assert events[["who", "what"]].to_numpy().tolist() == [["a", "x"], ["b", "y"]]


BAD_FILES = [
    ("plays.xlsx", b"PK", "must be .csv, .* A spreadsheet program saves a sheet"),
    ("u.data", b"196\t242\n186\t302\n", "begins with numbers. Write names of"),
    ("more.csv", b"user,item,name\na,b,Foo, Inc\nc,d,Bar\n", "Quote cells with ','"),
    ("two.csv", b"id,id,at\n1,2,3\n", "two columns are called id. Rename one"),
    ("plays.csv.gz", b"who,what\n1,a\n", "cannot be read: Not a gzip"),
    (
        "cut.csv.gz",
        gzip.compress(b"who,what\n1,a\n", mtime=0)[:-9],
        "cannot be read: .*ended",
    ),
]


def test_files_that_are_refused(tmp_path):
    for name, content, message in BAD_FILES:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(
            ValueError, match=f"--data: .*{re.escape(name)} .*{message}"
        ):
            task_of_options("--data", str(tmp_path / name))


def test_a_side_table_without_the_ids_names_a_column_of_both(tmp_path):
    path = tmp_path / "side.csv"
    pd.DataFrame({"at": [1], "kind": "x"}).to_csv(path, index=False)
    with pytest.raises(ValueError, match="Both tables have 'at'.*: --item at."):
        task_of(tmp_path, TABLE, "--items", str(path))
