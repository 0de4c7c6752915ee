"""The command line, on the shipped purchases and on a person's own file."""

import importlib
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sktwotower import __version__, io
from sktwotower.__main__ import main
from sktwotower._command_line._files import (
    read_feature,
    read_side_table,
    read_table,
    read_times,
)
from sktwotower._command_line._options import make_parser, parse
from sktwotower._command_line._tasks import disk_task, own_task, shipped_task
from tests.cases import for_each

OWN = ["--data", "x.csv", "--user", "u", "--item", "i"]


@pytest.fixture
def plays(tmp_path):
    """Two groups of listeners with a taste of their own, one play a minute."""
    rng = np.random.default_rng(0)
    listener = rng.integers(40, size=800)
    track = rng.integers(10, size=800) + 10 * (listener % 2)
    frame = pd.DataFrame(
        {
            "track": track,
            "listener": listener,
            "title": [f"song {t}" for t in track],
            "played_at": pd.date_range("2024-01-01", periods=800, freq="min"),
        }
    )
    path = tmp_path / "plays.csv"
    frame.to_csv(path, index=False)
    return path


def figures_of(printed):
    """Return the table of figures that is printed, a row for each model."""
    header, *rows = re.search(r"^ +recall@20.*\n(?:.+\n)+", printed, re.M)[
        0
    ].splitlines()
    cells = [re.split(r"  +", row) for row in rows]
    table = pd.DataFrame([row[1:] for row in cells], [row[0] for row in cells])
    return table.set_axis(header.split(), axis=1).astype(float)


def models_of(printed):
    return figures_of(printed).index.tolist()


def run_own(path, tmp_path, *options):
    columns = ["--user", "listener", "--item", "track"]
    columns += [] if "--time" in options else ["--time", "none"]
    output = ["--epochs", "2", "--output", str(tmp_path / "out")]
    return main(["--data", str(path), *columns, *output, *options])


@pytest.mark.slow
def test_own_file_is_split_by_time_and_named(plays, tmp_path, capsys):
    status = run_own(plays, tmp_path, "--time", "played_at", "--item-name", "title")
    printed = capsys.readouterr().out
    assert status == 0
    assert "the last 20 % by played_at" in printed
    assert "recent popularity" in printed
    assert "song 1" in printed
    assert (
        len(re.findall(r"^listener \d+, the last 5 of \d+ items:$", printed, re.M)) == 3
    )
    assert printed.count("rank  score recommended") == 3
    assert printed.count("rank  score similar") == 1
    model = io.load(tmp_path / "out" / "model.sktt")
    assert set(model.item_ids_) == set(range(20))
    assert model.history_kind_ == "recent"


@pytest.fixture
def files(plays):
    """The same in two Parquet files."""
    folder = plays.parent / "plays"
    folder.mkdir()
    frame = pd.read_csv(plays, parse_dates=["played_at"])
    frame[:300].to_parquet(folder / "a.parquet")
    frame[300:].to_parquet(folder / "b.parquet")
    return folder


@pytest.mark.slow
def test_several_files_are_learnt_from_on_disk(files, tmp_path, capsys):
    pytest.importorskip("duckdb")
    options = ["--time", "played_at", "--item-name", "title"]
    assert run_own(files, tmp_path, *options) == 0
    printed = capsys.readouterr().out
    assert "The models learn from 640 events on disk. 160 events are held" in printed
    assert (
        "out: the last 20.00% by played_at. Of these, 160 are judged: their" in printed
    )
    assert models_of(printed) == ["TwoTowerRecommender", "popularity"]
    assert len(re.findall(r"^listener \d+, 5 of \d+ items:$", printed, re.M)) == 3
    assert "song 1" in printed
    model = io.load(tmp_path / "out" / "model.sktt")
    # the two files hold 800 events, and the saved model has learnt from all of them
    plays = pd.concat(map(pd.read_parquet, sorted(files.glob("*"))))
    pairs = plays[["listener", "track"]].drop_duplicates()
    assert len(model.seen_items()) == len(pairs)
    assert model.history_kind_ == "recent"


@pytest.fixture
def devices(tmp_path):
    """Tracks below 10 are played on a phone only, the others on a desktop only."""
    rng = np.random.default_rng(0)
    track, minutes = rng.integers(20, size=800), np.arange(800)
    frame = pd.DataFrame(
        {
            "track": track,
            "listener": rng.integers(40, size=800),
            "device": np.where(track < 10, "phone", "desktop"),
            "played_at": pd.Timestamp("2024-01-01") + pd.to_timedelta(minutes, "min"),
        }
    )
    frame.loc[::10, "device"] = None
    frame.to_csv(tmp_path / "devices.csv", index=False)
    return tmp_path / "devices.csv"


@pytest.mark.slow
def test_events_with_context(devices, tmp_path, capsys):
    options = ["--time", "played_at", "--context", "device,played_at"]
    path = tmp_path / "top.csv"
    epochs = ["--epochs", "6", "--recommendations", str(path)]
    assert run_own(devices, tmp_path, *options, *epochs) == 0
    printed = capsys.readouterr().out
    assert ", each once in a context of device, played_at." in printed
    assert "40 users in 160 requests, each with its context" in printed
    assert "on average over requests" in printed
    first, *others = figures_of(printed)["ndcg@20"]
    assert first > 1.05 * max(others)
    end = r"played_at 2024-01-01 13:19:00\+00:00 \(end of the data\)"
    asked = rf"^Asked with (device (phone|desktop) \(last event\), )?{end}:$"
    assert len(re.findall(asked, printed, re.M)) == 3
    assert (
        f"Saved {path}: at most 10 items of two towers for each user, without"
        in printed
    )
    model = io.load(tmp_path / "out" / "model.sktt")
    plain = model.recommend(n_neighbors=10)
    assert pd.read_csv(path)["track"].tolist() == plain["track"].tolist()
    top = model.recommend(context={"device": "phone"}, n_neighbors=1)
    assert (top["track"] < 10).mean() > 0.8


def test_an_event_counts_once_in_each_context(tmp_path):
    pairs = {"u": [1, 1, 1, 1, 2], "i": [3, 3, 3, 3, 3], "hour": [8, 9, 8, "", ""]}
    frame = pd.DataFrame({**pairs, "t": [1, 2, 3, 4, 5]})
    frame.to_csv(tmp_path / "x.csv", index=False)
    own = ["--data", str(tmp_path / "x.csv"), "--user", "u", "--item", "i"]
    task = own_task(parse([*own, "--time", "t", "--context", "hour"]))
    assert task.events["t"].tolist() == [1, 2, 4, 5]
    assert task.events["hour"].tolist()[:2] == [8, 9]
    assert task.requests([2, 1]).isna()["hour"].all()
    task = own_task(parse([*own, "--time", "t", "--context", "t, hour"]))
    assert task.events["t"].tolist() == [1, 2, 3, 4, 5]
    assert task.requests([2, 1])["t"].tolist() == [5, 5]
    assert own_task(parse(own)).requests([1]) is None


def test_contexts_that_are_lists_count_once(tmp_path):
    frame = pd.DataFrame({"u": [1, 1, 1, 2], "i": 3})
    frame["tags"] = [["a"], ["a"], ["b"], ["a"]]
    frame.to_parquet(tmp_path / "x.parquet")
    own = ["--data", str(tmp_path / "x.parquet"), "--user", "u", "--item", "i"]
    assert len(own_task(parse([*own, "--context", "tags"])).events) == 3


@pytest.mark.slow
def test_context_of_several_files_is_learnt(files, tmp_path, capsys):
    pytest.importorskip("duckdb")
    frame = pd.concat(map(pd.read_parquet, sorted(files.glob("*"))))
    frame["device"] = np.where(frame["track"] % 10 < 5, "phone", "desktop")
    frame[:400].to_parquet(files / "a.parquet")
    frame[400:].to_parquet(files / "b.parquet")
    options = ["--time", "played_at", "--context", "device,played_at"]
    assert run_own(files, tmp_path, *options) == 0
    printed = capsys.readouterr().out
    assert "in 160 requests, each with its context" in printed
    assert printed.count("Asked without context:") == 3
    model = io.load(tmp_path / "out" / "model.sktt")
    phone, desktop = (
        model.recommend([0], context={"device": d})["score"]
        for d in ("phone", "desktop")
    )
    assert not np.allclose(phone, desktop)


def test_context_of_events_on_disk(files):
    pytest.importorskip("duckdb")
    own = ["--data", str(files), "--user", "listener", "--item", "track"]
    own += ["--time", "played_at", "--context"]
    task = own_task(parse([*own, "title,played_at"]))
    assert task.context == ["title", "played_at"]
    with pytest.raises(
        ValueError, match="--context: .* no column 'titel'.* mean 'title'"
    ):
        own_task(parse([*own, "titel"]))


def test_a_url_of_several_files(files):
    pytest.importorskip("duckdb")
    own = ["--data", files.as_uri(), "--user", "listener", "--item", "track"]
    task = own_task(parse([*own, "--time", "played_at"]))
    assert task.n_events == sum(len(pd.read_parquet(path)) for path in files.iterdir())


@pytest.mark.parametrize("pattern", ["", "/*.parquet"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "several files, which need --time COL"),
        (
            ["--time", "played"],
            "--time: .* no column 'played'.* Did you mean 'played_at'",
        ),
    ],
)
def test_several_files_need_a_time(files, pattern, tmp_path, capsys, options, message):
    pytest.importorskip("duckdb")
    assert run_own(f"{files}{pattern}", tmp_path, *options) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.slow
def test_own_file_without_time_is_compared_explained_and_drawn(plays, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert run_own(plays, tmp_path) == 0
    printed = capsys.readouterr().out
    assert "the last 20 % of each listener's rows" in printed
    assert "Without --time played_at, rows are taken as in order of time." in printed
    models = ["TwoTowerRecommender", "popularity", "item-kNN", "EASE"]
    assert models_of(printed) == models
    said = re.search(r"recommendations contain ([\d.]+)% of", printed)
    recall = figures_of(printed)["recall@20"].iloc[0]
    assert float(said[1]) / 100 == pytest.approx(recall, abs=0.00051)
    assert "coverage@20 is the share of all items" in printed
    assert io.load(tmp_path / "out" / "model.sktt").history_kind_ == "pooled"
    assert (tmp_path / "out" / "report.png").stat().st_size > 10_000


@pytest.mark.slow
def test_shipped_purchases_are_without_carriage_and_charges(capsys):
    task = shipped_task()
    said = "568 are left out: carriage, manual entries, bank charges."
    assert said in capsys.readouterr().out
    codes = set(task.events["product"])
    assert not codes & {"POST", "DOT", "C2", "M", "BANK CHARGES"}
    assert "PADS" in codes  # a product: pads to match all cushions
    assert not task.events.duplicated(["customer", "product"]).any()


@pytest.mark.slow
def test_ids_stay_what_they_are_and_rows_without_them_are_counted(
    plays, tmp_path, capsys
):
    frame = pd.read_csv(plays)
    frame.loc[[3, 5], "track"] = np.nan  # the others are written as 7.0
    frame["listener"] = frame["listener"].map("{:04d}".format).replace("0003", "3B")
    frame.to_csv(plays, index=False, sep=";")
    assert run_own(plays, tmp_path) == 0
    assert "2 rows without listener or track are left out" in capsys.readouterr().out
    model = io.load(tmp_path / "out" / "model.sktt")
    assert model.item_ids_.dtype.kind == "i"
    assert model.user_ids_[0] == "0000" and "3B" in model.user_ids_


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("plays.json", "{}", "must be .csv, .tsv or .parquet"),
        ("few.csv", "listener,track\na,x\nb,y\n", "Events: 2, users: 2, items: 2."),
        ("head.csv", "listener,track\n", "head.csv has no row with listener and track"),
        (
            "when.csv",
            "listener,track,played_at\na,x,garbage\n",
            "--time: the values of 'played_at' must be numbers or dates in one format",
        ),
        (
            "once.csv",
            "listener,track,played_at\na,x,1\na,y,1\nb,x,1\n",
            "track must occur in earlier events. Events: 3, users: 2, items: 2.",
        ),
        ("empty.csv", "", "empty.csv is empty"),
        ("old.csv", "listener,track\n\xe9,x\n", "old.csv is not UTF-8 from byte 15 on"),
        ("no.parquet", "listener,track\n", "no.parquet cannot be read"),
    ],
)
def test_files_that_do_not_do(tmp_path, capsys, name, text, message):
    (tmp_path / name).write_text(text, encoding="latin-1")
    options = ["--time", "played_at"] if "played_at" in text else []
    assert run_own(tmp_path / name, tmp_path, *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "out").write_text("")
    with pytest.raises(SystemExit):
        parse(["--output", str(tmp_path / "out")])
    assert "out is not a folder" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_refused_before_fit(plays, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "top.csv")
    assert run_own(plays, tmp_path, "--recommendations", path) == 2
    printed = capsys.readouterr()
    assert "--recommendations: the folder" in printed.err
    assert "Fitted" not in printed.out


def test_a_folder_that_is_read_only_is_refused_before_fit(plays, tmp_path, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.access", lambda path, mode: False)
        assert run_own(plays, tmp_path) == 2
    printed = capsys.readouterr()
    assert (
        printed.err == f"error: --output: nothing can be written into {tmp_path}/out.\n"
    )
    assert "Fitting" not in printed.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--time", "when"], "--time: .* has no column 'when', but track, listener"),
        (["--item-name", "name"], "--item-name: .* has no column 'name'"),
        (["--context", "titel"], "--context: .* no column 'titel'.* mean 'title'"),
    ],
)
def test_unknown_columns_are_named(plays, tmp_path, capsys, options, message):
    assert run_own(plays, tmp_path, *options) == 2
    printed = capsys.readouterr().err
    assert re.search(message, printed)
    assert len(printed.splitlines()) == 1


def test_missing_file_is_named(tmp_path, capsys):
    assert run_own(tmp_path / "no.csv", tmp_path) == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--user", "u"], "need a --data file"),
        (["--epochs", "0"], "--epochs must be at least 1"),
        (["--k", "0"], "--k must be at least 1"),
        (["--seed", "-1"], "--seed must be at least 0"),
        (["--recomendations", "x.csv"], "Did you mean --recommendations?"),
        (["plays.csv"], "unknown: plays.csv"),
        ([__file__], f"Did you mean --data {__file__}?"),
        (["--recommendations", "top.txt"], "top.txt must be a .csv or .parquet file"),
        ([*OWN, "--recommendations", "./x.csv"], "x.csv is to be read, too"),
        (["--recommendations", "a.csv", "--items", "a.csv"], "a.csv is to be read"),
        (["--items", "x.csv"], "need a --data file"),
        (["--time", "none"], "need a --data file"),
        ([*OWN[:4], "--item", "u"], "--user and --item name the same column, 'u'"),
        ([*OWN, "--time", "i"], "--item and --time name the same column, 'i'"),
        (["--time-format", "%Y"], "need a --data file"),
        (["--context", "hour"], "need a --data file"),
        (["--context", "hour,"], "expected COL or COL,COL, got 'hour,'"),
        ([*OWN, "--context", "h,h"], "--context and --context name the same column"),
        ([*OWN, "--context", "h,u"], "--user and --context name the same column, 'u'"),
        ([*OWN, "--item-name", "n", "--context", "n"], "--item-name and --context"),
        ([*OWN, "--time-format", "%Y"], "--time-format is the format of --time, which"),
        ([*OWN, "--time", "none", "--time-format", "%Y"], "--time, which is missing"),
    ],
)
def test_options_that_do_not_go_together(arguments, message, capsys):
    with pytest.raises(SystemExit):
        parse(arguments)
    assert message in capsys.readouterr().err


def test_the_command_that_is_installed_is_there():
    text = (Path(__file__).parents[1] / "setup.py").read_text(encoding="utf-8")
    module, name = re.search(r'"sktwotower = ([\w.]+):(\w+)"', text).groups()
    assert callable(getattr(importlib.import_module(module), name))
    assert make_parser().prog == "sktwotower"


def test_module_runs_as_a_program(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["sktwotower", "--help"])
    monkeypatch.delitem(sys.modules, "sktwotower.__main__")  # as in a new process
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("sktwotower", run_name="__main__")
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "Without options, the events are the shipped purchases" in printed
    assert "Stopped." not in printed


@for_each(
    ("written", "form", "days"),
    [
        (["05/01/2024 20:46", "01/13/2024 10:00"], None, ["2024-05-01", "2024-01-13"]),
        (
            ["2024-01-05T00:00Z", "2024-01-13T10:00Z"],
            None,
            ["2024-01-05", "2024-01-13"],
        ),
        (["Jan 5 2024", "Jan 13 2024"], None, ["2024-01-05", "2024-01-13"]),
        (["5.1.2024", "13.1.2024"], "%d.%m.%Y", ["2024-01-05", "2024-01-13"]),
        (["05/01/2024", "06/01/2024"], "%d/%m/%Y", ["2024-01-05", "2024-01-06"]),
        (["2024-01-05", "2024-01-13T10:00"], "ISO8601", ["2024-01-05", "2024-01-13"]),
        (["20240105", "20240113"], "%Y%m%d", ["2024-01-05", "2024-01-13"]),
    ],
)
def test_dates_are_read_by_pandas_or_by_the_format_given(written, form, days):
    dates = read_times(pd.Series(written), "when", form)
    assert dates.dt.strftime("%Y-%m-%d").tolist() == days


def test_numbers_and_dates_of_a_file_stay_what_they_are():
    numbers = read_times(pd.Series(["3", "1.5", None, "inf", "-inf"]), "when")
    assert numbers.tolist()[:2] == [3.0, 1.5] and numbers.isna().tolist()[2:] == [1] * 3
    dates = read_times(pd.Series(pd.to_datetime(["2024-01-05", None])), "when")
    assert dates.isna().tolist() == [False, True]
    assert dates[0] == pd.Timestamp("2024-01-05", tz="UTC")


@for_each(
    ("written", "form", "message"),
    [
        (["01/13/2024", "13/01/2024"], None, "'when' must be .* in one format.*13/01"),
        (["13/01/2024"], "%m/%d/%Y", "'when' must be '%m/%d/%Y'"),
        (["2024-01-05", "5"], None, "numbers or dates in one format"),
        ([["a"]], None, "numbers or dates in one format"),
    ],
)
def test_dates_in_no_one_format_are_refused(written, form, message):
    with pytest.raises(ValueError, match=message):
        read_times(pd.Series(written), "when", form)


@for_each(
    ("written", "form"),
    [
        (["01/13/2024", "13/01/2024"], None),
        (["13/01/2024"], "%m/%d/%Y"),
        (["garbage"], None),
    ],
)
def test_errors_of_dates_are_whole_sentences(written, form):
    with pytest.raises(ValueError, match="must be") as caught:
        read_times(pd.Series(written), "when", form)
    message = str(caught.value)
    assert "You might want" not in message and message.endswith(".")
    assert len(message.splitlines()) == 1 and ".." not in message
    assert written[-1] in message
    assert ("Give --time-format" in message) == (form is None)


@pytest.mark.slow
def test_the_format_of_the_command_line_is_used(plays, tmp_path, capsys):
    frame = pd.read_csv(plays, parse_dates=["played_at"])
    frame["played_at"] = frame["played_at"].dt.strftime("%M:%H %d/%m/%Y")
    frame.to_csv(plays, index=False)
    time = ["--time", "played_at"]
    assert run_own(plays, tmp_path, *time) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert run_own(plays, tmp_path, *time, "--time-format", "%M:%H %d/%m/%Y") == 0
    assert "the last 20 % by played_at" in capsys.readouterr().out


@pytest.mark.slow
def test_features_names_and_recommendations_for_everyone(plays, tmp_path, capsys):
    songs = pd.DataFrame(
        {
            "track": [*range(20), 99, 3],
            "genre": ["rock", "jazz"] * 11,
            "minutes": np.arange(22) / 2,
            "called": [f"air {n}" for n in range(22)],
        }
    )
    songs.to_csv(tmp_path / "songs.csv", index=False)
    people = pd.DataFrame({"listener": range(40), "age": range(20, 60)})
    people.to_csv(tmp_path / "people.csv", index=False)
    files = ["--items", str(tmp_path / "songs.csv"), "--item-name", "called"]
    files += ["--users", str(tmp_path / "people.csv"), "--seed", "7"]
    top = tmp_path / "new" / "top.csv"
    files += ["--recommendations", str(top), "--k", "3"]
    assert run_own(plays, tmp_path, *files) == 0
    printed = capsys.readouterr().out
    assert "of 1 repeated ids the last row counts" in printed
    assert f"Saved {top}: at most 3 items of two towers for each user.\n" in printed
    assert "model.sktt: two towers of all events, for sktwotower.io.load.\n" in printed
    rows = pd.read_csv(top)
    assert rows.columns.tolist() == "listener track score rank item_name".split()
    assert set(rows["listener"]) == set(range(40))
    names = dict(zip(songs["track"], songs["called"], strict=True))
    assert rows["item_name"].tolist() == rows["track"].map(names).tolist()
    assert rows.groupby("listener").size().max() == 3
    model = io.load(tmp_path / "out" / "model.sktt")
    assert 99 in model.item_ids_  # nobody has played it
    assert model.random_state == 7
    assert model.items["minutes"].dtype.kind == "f"
    assert model.users["age"].tolist() == list(range(20, 60))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and "</html>" in page
    assert "on average over users" in page and "<table" in page
    assert "air 1" in page and "http" not in page
    assert 'src="data:image/png;base64,' in page


@for_each(
    ("written", "kind"),
    [
        (["1.5", None, "-2"], "f"),
        (["007", "008"], "O"),
        (["2024-01-05", "2024-02-01T10:00"], "M"),
        (["red", "1"], "O"),
    ],
)
def test_features_of_text_files_are_numbers_or_dates_if_all_are(written, kind):
    values = pd.Series(written, dtype=object)
    read = read_feature(values)
    assert read.dtype.kind == kind
    if kind == "O":
        assert read is values


def test_ids_of_events_and_side_tables_are_of_one_type(tmp_path):
    plays, songs, known = tmp_path / "a.csv", tmp_path / "b.csv", ["1", "2", "POST"]
    played = pd.DataFrame({"listener": [1, 2, 3], "track": ["1", "2.0", "2"]})
    played.to_csv(plays, index=False)
    pd.DataFrame({"track": known, "called": known}).to_csv(songs, index=False)
    options = ["--data", str(plays), "--user", "listener", "--item", "track"]
    options += ["--items", str(songs), "--item-name", "called"]
    task = own_task(parse(options))
    assert set(task.events["track"]) >= {"1", "2"}
    assert task.items["track"].tolist() == known
    assert [task.name(item).split() for item in ["1", "2"]] == [["1"] * 2, ["2"] * 2]
    assert task.users is None
    played.assign(track=known).to_csv(plays, index=False)
    pd.DataFrame({"track": [1, 2], "called": ""}).to_csv(songs, index=False)
    with pytest.raises(ValueError, match="--items lacks 1 ids of 'track': 'POST'. Add"):
        own_task(parse(options))


def test_names_of_ids_that_are_written_in_two_ways(tmp_path):
    plays = tmp_path / "plays.csv"
    plays.write_text("listener,track,called\na,7,x\nb,7.0,y\nb,8,z\n")
    options = ["--data", str(plays), "--user", "listener", "--item", "track"]
    task = own_task(parse([*options, "--item-name", "called"]))
    assert task.events["track"].map(task.names).tolist() == ["y", "y", "z"]
    assert own_task(parse([*options, "--item-name", "track"])).names[8] == 8


def test_words_for_a_gap_are_ids_and_levels_among_text(tmp_path):
    path = tmp_path / "plays.csv"
    path.write_text(
        "who,track,when,age,born\n"
        "NA,x,1,7,2001-02-03\nnull,None,2,NA,NA\n,N/A,3,8,\nbob,y,NaN,9,2001-02-04\n"
    )
    columns = ["--data", str(path), "--user", "who", "--item", "track"]
    task = own_task(parse(columns))
    assert task.events["who"].tolist() == ["NA", "null", "bob"]
    assert task.events["track"].tolist() == ["x", "None", "y"]
    task = own_task(parse([*columns, "--time", "when"]))
    assert task.events["who"].tolist() == ["NA", "null"]
    side = read_side_table(path, "who", "--users")
    assert side["age"].dtype == float and side["born"].dtype.kind == "M"
    assert side["who"].tolist() == ["NA", "null", "bob"]


def test_words_for_a_gap_are_gaps_among_numbers(tmp_path):
    path = tmp_path / "plays.csv"
    path.write_text("who,track\n1,2\nNULL,3\n2,NA\n3,4\n")
    task = own_task(parse(["--data", str(path), "--user", "who", "--item", "track"]))
    assert task.events.to_numpy().tolist() == [[1, 2], [3, 4]]
    given = read_times(pd.Series(["01/02/2026", "None"]), "when", "%d/%m/%Y")
    assert given.isna().tolist() == [False, True]


def test_side_tables_of_several_files_have_their_type_of_ids_and_names(tmp_path):
    pytest.importorskip("duckdb")
    plays = pd.DataFrame({"listener": ["1"], "track": [2], "time": [3]})
    plays.to_parquet(tmp_path / "a.parquet")
    people = pd.DataFrame({"listener": [1], "age": [20]})
    songs = pd.DataFrame({"track": [2], "genre": ["rock"]})
    options = ["--user", "listener", "--item", "track", "--time", "time"]
    args = parse(["--data", str(tmp_path), *options, "--item-name", "genre"])
    task = disk_task(args, people, songs)
    assert task.name(2).split() == ["2", "rock"]
    assert task.users["listener"].tolist() == ["1"]
    assert task.items["track"].tolist() == [2]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("listener,track,day\n1,2,3,\n4,5,6,\n", ["1", "4"]),
        ("listener,track,day\n1,2,\n4,5,\n", ["1", "4"]),
        ("listener;track\n0;1;2\n1;4;5\n", ["1", "4"]),  # with row names
    ],
)
def test_rows_longer_than_the_header(tmp_path, text, columns):
    (tmp_path / "plays.csv").write_text(text)
    table = read_table(tmp_path / "plays.csv")
    assert table["listener"].tolist() == columns
    assert table["track"].tolist() == ["2", "5"]


def test_side_tables_need_the_id_column(plays, tmp_path, capsys):
    (tmp_path / "songs.csv").write_text("tracks,genre\n1,rock\n")
    assert run_own(plays, tmp_path, "--items", str(tmp_path / "songs.csv")) == 2
    printed = capsys.readouterr().err
    assert re.search("--items: .* has no column 'track', but tracks, genre", printed)
    assert "Did you mean 'tracks'?" in printed


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"sktwotower {__version__}\n"


def test_names_on_disk_whose_column_is_called_almost_as_that_of_the_items(tmp_path):
    pytest.importorskip("duckdb")
    plays = pd.DataFrame({"who": [1], "name": [2], "time": [3], "Name": ["rock"]})
    plays.to_parquet(tmp_path / "a.parquet")
    options = ["--user", "who", "--item", "name", "--time", "time"]
    task = own_task(parse(["--data", str(tmp_path), *options, "--item-name", "Name"]))
    assert task.name(2).split() == ["2", "rock"]
