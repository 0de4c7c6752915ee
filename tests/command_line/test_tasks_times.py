"""Which column is taken as the time of events, and which is not."""

import numpy as np
import pandas as pd
import pytest

from .builders import task_of

N = 60


def taken_time(folder, values, name):
    """Return the column that is taken as the time of events, or None."""
    table = pd.DataFrame({"who": np.arange(N) % 12, "what": np.arange(N) // 3})
    table[name] = values
    return task_of(folder, table, "--user", "who", "--item", "what").time


SECONDS = [874724710 + 1000 * n for n in range(N)]
TIMES = """time timestamp UNIX_TIME time_ms ts date InvoiceDate created_at createdAt
created Datum epoch"""
OTHERS = "candidate cats customer_at_shop format rating birth_date releaseDate"


TIME_NAMES = [*TIMES.split(), "order date"]


def test_numbers_below_names_of_times_are_times(tmp_path):
    for name in TIME_NAMES:
        assert taken_time(tmp_path, SECONDS, name) == name


OTHER_NAMES = OTHERS.split()


def test_numbers_below_other_names_are_none(tmp_path):
    for name in OTHER_NAMES:
        assert taken_time(tmp_path, SECONDS, name) is None


DATES = pd.date_range("2024-01-05", periods=N, freq="h")
DAYS = pd.date_range("2024-01-05", periods=N)


COLUMNS = [
    (DATES.strftime("%Y-%m-%dT%H:%M:%SZ"), "x", True),
    (DATES.strftime("%d/%m/%Y %H:%M"), "x", True),
    (DAYS.strftime("%d %b %Y"), "x", True),
    ([*DATES.astype(str)[:-1], "later"], "x", False),
    ([f"1.2.{n}" for n in range(N)], "version", False),
    (["Heat (1995)"] * N, "title", False),
    # seconds and thousandths of 1997 and 2024, but not as any number
    ([1704412800000 + n for n in range(N)], "ts", True),
    ([1704412800.5 + n for n in range(N)], "time", True),
    (list(range(N)), "time_spent", False),
    ([20240105 + n for n in range(N)], "date", False),
    ([None] * N, "time", False),
]


def test_what_looks_like_times(tmp_path):
    for values, name, expected in COLUMNS:
        assert (taken_time(tmp_path, values, name) == name) == expected


@pytest.fixture
def plays():
    """Five events of each of 30 users: when, and dates of the user and of the item."""
    rng = np.random.default_rng(0)
    minute, user = rng.permutation(150), np.arange(150) % 30
    item = (user + 7 * (np.arange(150) // 30)) % 25
    day = np.datetime64("2024-01-01")
    columns = {"when": day + minute.astype("m8[m]"), "born": day - user - 9000}
    columns |= {"birth_date": columns["when"], "joined": columns["born"]}
    columns["shown"] = day - item
    text = {name: np.datetime_as_string(dates) for name, dates in columns.items()}
    text["returned"] = np.where(minute < 70, None, text["when"])
    return pd.DataFrame({"who": user, "what": item, "minute": minute} | text)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("when", True),
        ("birth_date", False),  # by its name
        ("born", False),
        ("joined", False),  # one value for each user
        ("shown", False),  # one for each item
        ("returned", False),  # of half of the events
    ],
)
def test_dates_of_users_and_items_are_not_of_events(plays, tmp_path, column, expected):
    table = plays[["who", "what", column]]
    assert (task_of(tmp_path, table).time == column) == expected
    # nor if a user has written another one now and then
    plays.loc[0, column] = plays[column].iloc[-1]
    table = plays[["who", "what", column]]
    assert (task_of(tmp_path, table).time == column) == expected


def test_the_result_is_that_of_the_option_in_any_order(plays, tmp_path, capsys):
    table = plays[["born", *plays.columns.drop(["born", "minute"])]]
    named = task_of(tmp_path, table, "--time", "when")
    assert "A column of times" not in capsys.readouterr().out
    for rows in (table, table.sort_values("when"), table.sort_values("what")):
        task = task_of(tmp_path, rows)
        said = capsys.readouterr().out
        assert "These columns are taken: --user who --item what.\n" in said
        assert (
            "A column of times is taken: --time when. To ignore it: --time none.\n"
            in said
        )
        assert "when: from 2024-01-01 00:00:00+00:00 to" in said
        assert "in order of time" not in said and "at random" not in said
        assert task.time == "when" and task.events.equals(named.events)
        parts = zip(task.split(), named.split(), strict=True)
        assert all(str(part) == str(of_named) for part, of_named in parts)


def test_without_a_time_rows_are_in_order(plays, tmp_path, capsys):
    task = task_of(tmp_path, plays.drop(columns="minute"), "--time", "none")
    said = capsys.readouterr().out
    assert task.time is None and task.events["who"].tolist() == plays["who"].tolist()
    assert "Without times, rows are taken as in order of time." in said
    assert "A column of times" not in said


FORMS_OF_DATES = ["20240105", "5/1/24", "January 5, 2024"]


def test_dates_in_any_form_are_no_users(plays, tmp_path, capsys):
    for day in FORMS_OF_DATES:
        dated = plays.assign(Date=day)[["Date", "who", "what"]]
        task = task_of(tmp_path, dated)
        assert (task.user, task.item, task.time) == ("who", "what", None)
        assert "Without --time Date, rows" in capsys.readouterr().out


def test_users_that_are_dates_are_an_error(plays, tmp_path):
    with pytest.raises(ValueError, match="--user: 'when' holds dates. Name a column"):
        task_of(tmp_path, plays, "--user", "when")


def test_a_time_that_is_not_sure_is_named(plays, tmp_path, capsys):
    columns = {"minute": "played_time", "born": "born_at"}
    task = task_of(tmp_path, plays.drop(columns="when").rename(columns=columns))
    assert task.time is None
    assert "Without --time played_time, rows" in capsys.readouterr().out


def test_few_dates_that_cannot_be_read_are_left_out_many_are_an_error(
    plays, tmp_path, capsys
):
    plays.loc[148, "when"] = "2024-02-31"
    task = task_of(tmp_path, plays)
    said = capsys.readouterr().out
    assert "when: 1 of 150 values are no such times: '2024-02-31' in row 149.\n" in said
    assert "\n1 rows without who or what or when are left out.\n" in said
    assert len(task.events) == len(plays.drop(148).drop_duplicates(["who", "what"]))
    plays.loc[149, "when"] = "2024-02-31"
    with pytest.raises(ValueError, match="values of 'when' must.* or --time none"):
        task_of(tmp_path, plays)
