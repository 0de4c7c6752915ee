"""Dates as people write them, and files that are odd."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sktwotower._command_line import _files as files
from tests.cases import for_each


@pytest.mark.parametrize(
    ("written", "days", "said"),
    [
        # month first and day first both fit
        (
            ["05/01/2024 20:46", "06/01/2024 10:00"],
            ["2024-05-01", "2024-06-01"],
            "when: 05/01/2024 20:46 is read as 2024-05-01. If the day comes first: "
            "--time-format '%d/%m/%Y %H:%M'.\n",
        ),
        # a later date shows that the day is first
        (
            ["05/01/2024", None, "17/05/2024"],
            ["2024-01-05", None, "2024-05-17"],
            "when: 05/01/2024 is read as 2024-01-05.\n",
        ),
        (
            [None, "17/05/2024", "05/06/2024"],
            [None, "2024-05-17", "2024-06-05"],
            "when: 17/05/2024 is read as 2024-05-17.\n",
        ),
        (
            ["05/01/2024", "01/17/2024"],
            ["2024-05-01", "2024-01-17"],
            "when: 05/01/2024 is read as 2024-05-01.\n",
        ),
        (["2024-05-01 09:00 PM"], ["2024-05-01"], ""),
        (["Jan 5, 2024 10:00 PM"], ["2024-01-05"], ""),
    ],
)
def test_the_order_of_day_and_month_is_said(written, days, said, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = files.read_times(pd.Series(written, dtype=object), "when")
    assert [None if pd.isna(d) else f"{d:%Y-%m-%d}" for d in read] == days
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("usual", "form"),
    [("17/05/2024", None), ("874724710", None), ("01.05.2024", "%d.%m.%Y")],
)
def test_a_value_that_is_no_time_is_missing(usual, form, capsys, place=60):
    values = pd.Series(["?" if i == place else usual for i in range(100)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = files.read_times(values, "when", form)
    assert read.isna().to_numpy().nonzero()[0].tolist() == [place]
    assert read.nunique() == 1
    said = f"when: 1 of 100 values are no such times: '?' in row {place + 1}.\n"
    assert said in capsys.readouterr().out
    with pytest.raises(ValueError, match="values of 'when' must be"):
        files.read_times(values[:80], "when", form)


def test_years_of_two_digits_are_not_guessed():
    with pytest.raises(ValueError, match="05.01.24' can be read month first and day"):
        files.read_times(pd.Series(["05.01.24", "17.01.24"]), "when")


@pytest.mark.filterwarnings("ignore:The DataFrame has column names of mixed")
@pytest.mark.parametrize("names", [["who"], ["who", "track"], []])
def test_row_names_of_parquet_files_are_columns(tmp_path, names):
    frame = pd.DataFrame({"who": [7, 8], "track": [1, 2], 3: [4, 5]})
    (frame.set_index(names) if names else frame[1:]).to_parquet(tmp_path / "x.parquet")
    table = files.read_table(tmp_path / "x.parquet")
    assert table.columns.tolist() == ["who", "track", "3"]
    assert table["who"].tolist() == ([7, 8] if names else [8])


@for_each(
    "times, expected",
    [
        ([3, 5, np.nan], "from 3.0 to 5.0, numbers that give only the order"),
        (
            [1362029415, 1362029416],
            "Unix seconds, from 2013-02-28 05:30:15 to 2013-02-28 05:30:16",
        ),
        (
            pd.to_datetime(["2013-02-28", "2013-03-01"]),
            "from 2013-02-28 00:00:00 to 2013-03-01 00:00:00",
        ),
        ([np.nan], "from nan to nan"),
    ],
)
def test_it_is_printed_what_times_are_taken_as(times, expected):
    assert files.span_of(pd.Series(times, name="when")) == expected
