"""Data sets from small archives of the layouts that the public sources have."""

import hashlib
import io
import json
import sys
import tarfile
import zipfile
from pathlib import Path

import pandas as pd
import pytest

BENCHMARKS = str(Path(__file__).parents[3] / "benchmarks")
# The scripts import each other by name, as from their own folder.
sys.path.append(BENCHMARKS)
try:
    import _common
    import _sources
    import prepare
finally:
    sys.path.remove(BENCHMARKS)

pytest.importorskip("pyarrow")


def zipped(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Return a function that prepares a data set from the given texts."""

    def make(name, files):
        source = _sources.SOURCES[name]
        monkeypatch.setitem(vars(source), "sha256", None)
        folder = tmp_path / "downloads" / name
        folder.mkdir(parents=True)
        if source.urls[0].endswith(".zip"):
            zipped(folder / source.urls[0].rpartition("/")[2], files)
        elif source.urls[0].endswith(".tar.gz"):
            path = folder / source.urls[0].rpartition("/")[2]
            with tarfile.open(path, "w:gz") as archive:
                for member, text in files.items():
                    info = tarfile.TarInfo(member)
                    info.size = len(text.encode())
                    archive.addfile(info, io.BytesIO(text.encode()))
        else:
            for member, text in files.items():
                (folder / member).write_text(text)
        prepare.prepare(name, tmp_path)
        paths = (tmp_path / name).glob("*.parquet")
        return {path.stem: pd.read_parquet(path) for path in paths}

    return make


def test_movielens_100k_is_what_the_benchmarks_read(made, tmp_path):
    events = "".join(
        f"{u}\t{i}\t3\t88125{u}{i}\n" for u in range(1, 5) for i in (1, 2, 3)
    )
    events += "5\t3\t3\t100\n5\t1\t3\t200\n5\t2\t3\t300\n"
    tables = made(
        "ml-100k",
        {
            "ml-100k/u.data": events,
            "ml-100k/u.genre": "unknown|0\nAction|1\nComedy|2\n",
            "ml-100k/u.item": "1|Toy Story (1995)|01-Jan-1995||http://a|0|1|1\n"
            "2|unknown||||1|0|0\n",
            "ml-100k/u.user": "1|24|M|technician|85711\n2|53|F|other|94043\n",
        },
    )
    assert tables["interactions"].iloc[0].tolist() == [1, 1, 3, 8812511]
    items = tables["items"]
    assert items["genres"].map(list).tolist() == [["Action", "Comedy"], ["unknown"]]
    assert items["year"].tolist() == [1995, 0]
    assert tables["users"]["zip_code"].tolist() == ["85711", "94043"]
    events = _common.load_ordered("ml-100k-last", tmp_path)
    assert sorted(events.test["item"]) == [2, 3, 3, 3, 3]


def test_movielens_1m_keeps_the_order_within_a_user(made):
    tables = made(
        "ml-1m",
        {
            "ml-1m/ratings.dat": "1::10::5::900\n1::11::3::800\n1::12::3::800\n"
            "2::10::1::700\n",
            "ml-1m/movies.dat": "10::Toy Story (1995)::Animation|Comedy\n",
            "ml-1m/users.dat": "1::F::1::10::48067\n",
        },
    )
    events = tables["interactions"]
    assert events["order"].tolist() == [2, 0, 1, 0]
    assert "timestamp" not in events
    assert list(tables["items"]["genres"][0]) == ["Animation", "Comedy"]


def test_movielens_latest(made, tmp_path):
    tables = made(
        "ml-latest-small-2018",
        {
            "ml-latest-small/ratings.csv": "userId,movieId,rating,timestamp\n"
            "1,7,4.5,964982703\n",
            "ml-latest-small/movies.csv": "movieId,title,genres\n"
            '7,"American President, The (1995)",Comedy|Drama\n'
            "8,Untitled,(no genres listed)\n",
        },
    )
    events = tables["interactions"]
    assert events.columns.tolist() == ["user_id", "item_id", "value", "timestamp"]
    assert tables["items"]["year"].tolist() == [1995, 0]
    assert tables["items"]["genres"].map(list).tolist() == [["Comedy", "Drama"], []]


def test_hetrec_counts_tags_of_an_artist(made):
    tables = made(
        "hetrec-lastfm-2k",
        {
            "artists.dat": "id\tname\turl\tpictureURL\n51\tDuran\tu\tp\n52\tX\tu\tp",
            "tags.dat": "tagID\ttagValue\n1\tpop\n2\t80s\n",
            "user_artists.dat": "userID\tartistID\tweight\n2\t51\t13883\n",
            "user_taggedartists.dat": "userID\tartistID\ttagID\tday\tmonth\tyear\n"
            "2\t51\t2\t1\t4\t2009\n3\t51\t1\t1\t4\t2009\n4\t51\t2\t1\t4\t2009\n",
            "user_friends.dat": "userID\tfriendID\n2\t275\n2\t428\n",
        },
    )
    items = tables["items"]
    assert items["tags"].map(list).tolist() == [["80s", "pop"], []]
    assert items["tag_counts"].map(list).tolist() == [[2, 1], []]
    assert tables["interactions"].iloc[0].tolist() == [2, 51, 13883]
    assert list(tables["users"]["friends"][0]) == [275, 428]


def test_splits_of_lightgcn_are_kept(made, tmp_path):
    lists = {"train.txt": "0 5 6 7\n1 5 6\n2\n", "test.txt": "0 8\n1 7\n2\n"}
    events = made("gowalla-lightgcn", lists)["interactions"]
    assert (events["split"] == "train").sum() == 5
    split = _common.load("gowalla", tmp_path)
    # Item 8 is not in train: its event is dropped.
    assert split.test.to_numpy().tolist() == [[1, 7]]
    lines = {"data1.txt": "1\t4\t9\n1\t5\t3\n2\t4\t1\n", "test1.txt": "2\t5\t8\n"}
    made("lastfm-lightgcn", lines)
    assert _common.load("lastfm", tmp_path).test.to_numpy().tolist() == [[2, 5]]


@pytest.mark.parametrize(
    ("name", "file"), [("beauty", "Beauty"), ("sports", "Sports_and_Outdoors")]
)
def test_amazon_is_numbered_in_the_order_of_its_lines(made, name, file):
    tables = made(
        f"amazon-{name}-s3rec",
        {
            f"{file}.txt": "1 4 2 9\n2 4\n",
            f"{file}_item2attributes.json": json.dumps({"4": [7, 8], "2": []}),
        },
    )
    assert tables["interactions"].to_numpy().tolist() == [
        [1, 4, 0],
        [1, 2, 1],
        [1, 9, 2],
        [2, 4, 0],
    ]
    assert tables["items"]["attributes"].map(list).tolist() == [[7, 8], []]


def test_citeulike_has_words_and_tags(made):
    tables = made(
        "citeulike-t",
        {
            "users.dat": "2 0 1\n1 1\n",
            "mult.dat": "2 1:3 0:1\n1 2:1\n",
            "vocabulary.dat": "xylem\nvisitor\nmuseum\n",
            "tags.dat": "survey\nneeds\n",
            "tag-item.dat": "2 0 1\n1 0\n",
        },
    )
    assert tables["interactions"].iloc[:, :2].to_numpy().tolist() == [
        [0, 0],
        [0, 1],
        [1, 1],
    ]
    items = tables["items"]
    assert items["text"].tolist() == ["visitor xylem", "museum"]
    assert items["bow_counts"].map(list).tolist() == [[3, 1], [1]]
    assert items["tags"].map(list).tolist() == [["survey", "needs"], ["survey"]]


def test_kuairand_is_cut_by_date(made, tmp_path):
    head = "user_id,video_id,date,time_ms,long_view,is_like\n"
    log = "KuaiRand-Pure/data/log_standard_"
    tables = made(
        "kuairand-pure-std",
        {
            f"{log}4_08_to_4_21_pure.csv": head + "1,7,20220409,2000,1,0\n"
            "1,8,20220408,1000,0,0\n",
            f"{log}4_22_to_5_08_pure.csv": head + "1,9,20220424,3000,1,1\n"
            "1,7,20220425,4000,1,0\n1,8,20220501,5000,1,0\n",
            "KuaiRand-Pure/data/user_features_pure.csv": "user_id,active\n1,high\n",
            "KuaiRand-Pure/data/video_features_basic_pure.csv": "video_id,tag\n7,a\n",
            "KuaiRand-Pure/data/video_features_statistic_pure.csv": "video_id,show_cnt"
            "\n7,3\n",
        },
    )
    history = tables["train_history"]
    assert history[["pos", "item_id"]].to_numpy().tolist() == [[0, 8], [1, 7], [2, 9]]
    assert history["long_watch"].tolist() == [0, 1, 1]
    assert history["last_time_ms"].tolist() == [3000, 3000, 3000]
    assert tables["interactions"]["split"].tolist() == ["val", "test"]
    assert tables["items"].columns.tolist() == ["item_id", "tag", "show_cnt"]
    found = _common.load_ordered("kuairand", tmp_path)
    assert len(found.train) == 4 and found.test["item"].tolist() == [8]


def test_a_changed_file_is_refused(made, tmp_path, capsys):
    lists = {"train.txt": "0 5\n", "test.txt": "0 6\n"}
    made("gowalla-lightgcn", lists)
    said = capsys.readouterr().out
    recorded = hashlib.sha256(b"0 5\n").hexdigest()
    assert (
        f"gowalla-lightgcn/train.txt: no published checksum; recorded {recorded}"
        in (said)
    )
    path = tmp_path / "downloads" / "gowalla-lightgcn" / "train.txt"
    path.write_text("0 7\n")
    with pytest.raises(
        ValueError, match="train.txt has SHA-256 .* recorded in .*fetch"
    ):
        prepare.prepare("gowalla-lightgcn", tmp_path)


def test_a_published_checksum_is_compared(tmp_path):
    zipped(tmp_path / "downloads" / "ml-1m" / "ml-1m.zip", {"ratings.dat": ""})
    with pytest.raises(ValueError, match="published is a6898adb50b9"):
        prepare.prepare("ml-1m", tmp_path)
    assert not (tmp_path / "ml-1m").exists()


def test_a_file_is_fetched_once(tmp_path):
    source, copy = tmp_path / "there.txt", tmp_path / "new" / "here.txt"
    source.write_text("content")
    prepare.fetch(source.as_uri(), copy)
    assert copy.read_text() == "content" and len(list(copy.parent.iterdir())) == 1
    source.unlink()
    prepare.fetch(source.as_uri(), copy)  # is there: not asked for again


def test_what_cannot_be_fetched_may_be_put_there(tmp_path):
    path = tmp_path / "downloads" / "a.zip"
    with pytest.raises(SystemExit, match="was not fetched: .*Put the file there"):
        prepare.fetch((tmp_path / "no.zip").as_uri(), path)


def test_benchmarks_say_how_to_get_their_data(tmp_path):
    with pytest.raises(SystemExit, match="prepare.py ml-100k --data"):
        _common.load("ml-100k", tmp_path)


def test_an_archive_without_the_table_is_refused(made):
    with pytest.raises(ValueError, match="expected one file ratings.csv, got \\[\\]"):
        made("ml-latest-small-2018", {"other.csv": ""})
