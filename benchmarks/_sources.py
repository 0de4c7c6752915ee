"""Public data sets: where they come from, and how they become the folders of --data.

Input: the files of a source, as a dict of names to bytes (archives unpacked).
Output: a dict of table names to dataframes, ``interactions`` among them.
"""

import io
import json
from types import SimpleNamespace

import pandas as pd

GROUPLENS = "https://files.grouplens.org/datasets"
LIGHTGCN = "https://raw.githubusercontent.com/gusye1234/LightGCN-PyTorch/master/data"
S3REC = "https://raw.githubusercontent.com/RUCAIBox/CIKM2020-S3Rec/master/data"
TWEETS = (
    "https://raw.githubusercontent.com/sidooms/MovieTweetings/master/snapshots/100K"
)
CITEULIKE = "https://raw.githubusercontent.com/js05212/citeulike-t/master"
IDS = ["user_id", "item_id"]
KUAIRAND_LOGS = ["log_standard_4_08_to_4_21_pure.csv"]
KUAIRAND_LOGS += ["log_standard_4_22_to_5_08_pure.csv"]


def _text(files, name, encoding="utf-8"):
    """Return the text of the one file whose path ends in ``name``."""
    found = [path for path in files if path == name or path.endswith(f"/{name}")]
    if len(found) != 1:
        raise ValueError(f"expected one file {name}, got {found} of {sorted(files)}")
    return files[found[0]].decode(encoding)


def _table(files, name, sep, columns=None, encoding="utf-8"):
    """Read a delimited file; ``columns`` are its names if it has no header."""
    rows = [line.split(sep) for line in _text(files, name, encoding).splitlines()]
    head, rows = (columns, rows) if columns else (rows[0], rows[1:])
    return pd.DataFrame(rows, columns=head)


def _csv(files, name):
    return pd.read_csv(io.StringIO(_text(files, name)))


def _lists(files, name):
    """Return the whitespace-separated words of each line."""
    return [line.split() for line in _text(files, name).splitlines()]


def _pairs(lists):
    """Return an event for each word after the first of a line, which is the user."""
    return pd.DataFrame(
        [(int(user), int(item)) for user, *items in lists for item in items],
        columns=IDS,
    )


def _year(titles):
    """Return the year at the end of a title; 0 without one."""
    years = titles.str.extract(r"\((\d{4})\)\s*$")[0]
    return years.fillna("0").astype("int32")


def _ratings(table):
    kinds = {"user_id": int, "item_id": int, "value": float, "timestamp": int}
    return table.astype(kinds)


def ml_100k(files):
    columns = [*IDS, "value", "timestamp"]
    genres = _table(files, "u.genre", "|", ["name", "number"])["name"].tolist()
    head = ["item_id", "title", "release_date", "video", "imdb_url", *genres]
    items = _table(files, "u.item", "|", head, encoding="latin-1")
    flags = items[genres].to_numpy() == "1"
    items["genres"] = [
        [g for g, is_one in zip(genres, row, strict=True) if is_one] for row in flags
    ]
    items["year"] = _year(items["title"])
    head = ["user_id", "age", "gender", "occupation", "zip_code"]
    users = _table(files, "u.user", "|", head)
    kept = ["item_id", "title", "release_date", "imdb_url", "genres", "year"]
    return {
        "interactions": _ratings(_table(files, "u.data", "\t", columns)),
        "items": items[kept].astype({"item_id": int}),
        "users": users.astype({"user_id": int, "age": int}),
    }


def ml_1m(files):
    """``order``: which of a user's ratings came first; equal times as in the file."""
    columns = [*IDS, "value", "timestamp"]
    events = _ratings(_table(files, "ratings.dat", "::", columns))
    by_user = events.groupby("user_id")["timestamp"]
    events["order"] = by_user.rank(method="first").astype(int) - 1
    events["file_row"] = range(len(events))
    head = ["item_id", "title", "genres"]
    items = _table(files, "movies.dat", "::", head, encoding="latin-1")
    head = ["user_id", "gender", "age", "occupation", "zip_code"]
    users = _table(files, "users.dat", "::", head)
    return {
        "interactions": events.drop(columns="timestamp"),
        "items": _films(items),
        "users": users.astype({"user_id": int, "age": int, "occupation": int}),
    }


def _films(items):
    genres = items["genres"].replace("(no genres listed)", "")
    return items.assign(
        item_id=items["item_id"].astype(int),
        genres=[text.split("|") if text else [] for text in genres],
        year=_year(items["title"]),
    )


def ml_latest(files):
    names = {"userId": "user_id", "movieId": "item_id", "rating": "value"}
    return {
        "interactions": _csv(files, "ratings.csv").rename(columns=names),
        "items": _films(_csv(files, "movies.csv").rename(columns=names)),
    }


def movietweetings(files):
    columns = [*IDS, "value", "timestamp"]
    return {"interactions": _ratings(_table(files, "ratings.dat", "::", columns))}


def hetrec(files):
    names = {"userID": "user_id", "artistID": "item_id", "weight": "value"}
    names |= {"id": "item_id", "tagID": "tag_id", "tagValue": "tag"}
    names |= {"friendID": "friend"}

    def table(name, encoding="utf-8"):
        read = _table(files, name, "\t", encoding=encoding).rename(columns=names)
        numbers = [c for c in read if c not in ("name", "url", "pictureURL", "tag")]
        return read.astype(dict.fromkeys(numbers, int))

    given = table("user_taggedartists.dat")
    tags = given.merge(table("tags.dat", "latin-1"), on="tag_id")
    counts = tags.groupby(["item_id", "tag"]).size().reset_index(name="n")
    counts = counts.sort_values(["item_id", "n", "tag"], ascending=[True, False, True])
    of_item = counts.groupby("item_id").agg(tags=("tag", list), tag_counts=("n", list))
    items = table("artists.dat")[["item_id", "name"]].join(of_item, on="item_id")
    for column in ("tags", "tag_counts"):
        items[column] = [v if isinstance(v, list) else [] for v in items[column]]
    friends = table("user_friends.dat").groupby("user_id")["friend"].agg(list)
    return {
        "interactions": table("user_artists.dat"),
        "items": items,
        "users": friends.reset_index(name="friends"),
        "tag_assignments": given,
    }


def _parts(train, test):
    parts = [train.assign(split="train"), test.assign(split="test")]
    return pd.concat(parts, ignore_index=True)


def lastfm_lightgcn(files):
    parts = [
        _table(files, name, "\t", [*IDS, "value"]).astype(float)
        for name in ("data1.txt", "test1.txt")
    ]
    return {"interactions": _parts(*parts).astype(dict.fromkeys(IDS, int))}


def gowalla(files):
    parts = [_pairs(_lists(files, name)) for name in ("train.txt", "test.txt")]
    return {"interactions": _parts(*parts).assign(value=1)}


def amazon(files):
    """A line of NAME.txt is a user, then what the user bought, in order."""
    (name,) = (path for path in files if path.endswith("_item2attributes.json"))
    events = _pairs(_lists(files, name.replace("_item2attributes.json", ".txt")))
    events["order"] = events.groupby("user_id").cumcount()
    found = json.loads(_text(files, name))
    items = pd.DataFrame({"item_id": map(int, found), "attributes": found.values()})
    return {"interactions": events, "items": items}


def citeulike(files):
    """A line of users.dat, mult.dat, tag-item.dat begins with how many follow."""
    users = [line[1:] for line in _lists(files, "users.dat")]
    events = _pairs([user, *items] for user, items in enumerate(users))
    words = _text(files, "vocabulary.dat").split()
    bags = [
        [tuple(map(int, pair.split(":"))) for pair in line[1:]]
        for line in _lists(files, "mult.dat")
    ]
    tags = [[] for _ in bags]
    names = _text(files, "tags.dat").splitlines()
    for name, line in zip(names, _lists(files, "tag-item.dat"), strict=True):
        for item in line[1:]:
            tags[int(item)].append(name.strip())
    items = {
        "item_id": range(len(bags)),
        "bow_words": [[word for word, _ in bag] for bag in bags],
        "bow_counts": [[count for _, count in bag] for bag in bags],
        "tags": tags,
        "text": [" ".join(words[word] for word, _ in bag) for bag in bags],
    }
    return {
        "interactions": events.assign(value=1),
        "items": pd.DataFrame(items),
        "vocabulary": pd.DataFrame({"word_id": range(len(words)), "word": words}),
    }


def kuairand(files):
    """Until 24 April: history; from 25 April: val; from 1 May on: test."""
    names = {"video_id": "item_id"}
    log = pd.concat([_csv(files, name) for name in KUAIRAND_LOGS], ignore_index=True)
    log = log.rename(columns=names)
    log = log.sort_values(["user_id", "time_ms"], kind="stable")
    early = log["date"] <= 20220424
    by_user = log[early].groupby("user_id")
    history = log[early].assign(
        pos=by_user.cumcount(), last_time_ms=by_user["time_ms"].transform("max")
    )
    history = history.rename(columns={"long_view": "long_watch", "is_like": "like"})
    shown = log[~early].assign(
        timestamp=log["time_ms"] // 1000,
        split=log["date"].map(lambda date: "val" if date <= 20220430 else "test"),
    )
    items = _csv(files, "video_features_basic_pure.csv").rename(columns=names)
    counts = _csv(files, "video_features_statistic_pure.csv").rename(columns=names)
    kept = ["user_id", "pos", "item_id", "long_watch", "like", "last_time_ms"]
    return {
        "interactions": shown,
        "train_history": history[kept],
        "items": items.merge(counts, on="item_id", how="left"),
        "users": _csv(files, "user_features_pure.csv"),
    }


def online_retail(files):
    """Keep lines that have a customer and a price and were not cancelled."""
    (name,) = (path for path in files if path.endswith(".xlsx"))
    lines = pd.read_excel(io.BytesIO(files[name]), dtype={"StockCode": str})
    lines["InvoiceNo"] = lines["InvoiceNo"].astype(str)
    kept = lines["CustomerID"].notna() & ~lines["InvoiceNo"].str.startswith("C")
    lines = lines[kept & (lines["UnitPrice"] > 0)]
    return {"purchases": lines.astype({"CustomerID": int})}


def _source(read, *urls, sha256=None):
    """``sha256`` is that of the one archive, or None if it is not known for certain."""
    return SimpleNamespace(read=read, urls=urls, sha256=sha256)


# Checksums as other projects publish them for the same addresses; not from a download.
SOURCES = {
    "ml-100k": _source(
        ml_100k,
        f"{GROUPLENS}/movielens/ml-100k.zip",
        sha256="50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
    ),
    "ml-1m": _source(
        ml_1m,
        f"{GROUPLENS}/movielens/ml-1m.zip",
        sha256="a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
    ),
    "ml-latest-small-2018": _source(
        ml_latest,
        f"{GROUPLENS}/movielens/ml-latest-small.zip",
        sha256="696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
    ),
    "movietweetings": _source(movietweetings, f"{TWEETS}/ratings.dat"),
    "hetrec-lastfm-2k": _source(
        hetrec, f"{GROUPLENS}/hetrec2011/hetrec2011-lastfm-2k.zip"
    ),
    "lastfm-lightgcn": _source(
        lastfm_lightgcn, f"{LIGHTGCN}/lastfm/data1.txt", f"{LIGHTGCN}/lastfm/test1.txt"
    ),
    "gowalla-lightgcn": _source(
        gowalla, f"{LIGHTGCN}/gowalla/train.txt", f"{LIGHTGCN}/gowalla/test.txt"
    ),
    "amazon-beauty-s3rec": _source(
        amazon, f"{S3REC}/Beauty.txt", f"{S3REC}/Beauty_item2attributes.json"
    ),
    "amazon-sports-s3rec": _source(
        amazon,
        f"{S3REC}/Sports_and_Outdoors.txt",
        f"{S3REC}/Sports_and_Outdoors_item2attributes.json",
    ),
    "citeulike-t": _source(
        citeulike,
        *(
            f"{CITEULIKE}/{name}.dat"
            for name in ("users", "mult", "vocabulary", "tags", "tag-item")
        ),
    ),
    "kuairand-pure-std": _source(
        kuairand, "https://zenodo.org/records/10439422/files/KuaiRand-Pure.tar.gz"
    ),
    "online-retail": _source(
        online_retail, "https://archive.ics.uci.edu/static/public/352/online+retail.zip"
    ),
}
