"""Small made data sets in the layouts of the public sources, for ``--quick``.

Input: a folder. Output: there, the tables that ``prepare.py`` makes of each source.

Users and items belong to four groups, and users choose from their own group most of the
time. Ids, counts and words are made; no row of a public data set is in here.
"""

import json

import numpy as np
import pandas as pd
from _sources import KUAIRAND_LOGS, SOURCES

# A fifth of a fifth of the items is withheld by some scripts, which rank 20 of them.
N_USERS, N_ITEMS, EVENTS_PER_USER, N_GROUPS, N_WORDS = 120, 160, 28, 4, 300
GENRES = ["unknown", "Action", "Comedy", "Drama"]
WORDS = ["tea", "rose", "clock", "garden", "paper", "lamp", "ribbon", "cake"]
DAY = 86_400


def made_events(seed=0):
    """Return events, a row each: user, item from 1 on, value 1 to 5, time in seconds.

    Rows are in order of time.
    """
    rng = np.random.default_rng(seed)
    of_items = np.arange(N_ITEMS) % N_GROUPS
    popularity = 1 / (10 + np.arange(N_ITEMS))
    parts = []
    for user in range(N_USERS):
        odds = popularity * np.where(of_items == user % N_GROUPS, 8, 1)
        n = rng.integers(EVENTS_PER_USER - 8, EVENTS_PER_USER + 8)
        items = rng.choice(N_ITEMS, n, replace=False, p=odds / odds.sum())
        parts.append(pd.DataFrame({"user": user + 1, "item": items + 1}))
    events = pd.concat(parts, ignore_index=True)
    likes = events["user"] % N_GROUPS == events["item"] % N_GROUPS
    events["value"] = np.where(likes, 5, rng.integers(1, 5, len(events)))
    start = pd.Timestamp("2020-01-01").timestamp()
    seconds = rng.permutation(100 * DAY // 60)[: len(events)] * 60
    events["time"] = int(start) + seconds
    return events.sort_values("time", ignore_index=True)


def lines(rows, sep, head=None):
    """Return the text of a delimited file."""
    texts = [sep.join(map(str, row)) for row in rows]
    return "\n".join(([head] if head else []) + texts) + "\n"


def titles():
    """Return a title for each item: two words and a year."""
    return [
        f"{WORDS[n % N_GROUPS]} {WORDS[n % len(WORDS)]} {n} ({1980 + n % 40})"
        for n in range(N_ITEMS)
    ]


def lists_by_user(events):
    """Return a line for each user: the user, then the user's items in order."""
    groups = events.groupby("user")["item"]
    return [[user, *items] for user, items in groups]


def last_quarter(events):
    """Return which events are among the last quarter of their user's."""
    by_user = events.groupby("user")
    return by_user.cumcount() >= 0.75 * by_user["item"].transform("size")


def ml_100k(events):
    items = []
    for n, title in enumerate(titles()):
        flags = [int(n % N_GROUPS == place) for place in range(len(GENRES))]
        items.append([n + 1, title, "01-Jan-1995", "", "http://example.org", *flags])
    users = [
        [n + 1, 20 + n % 50, "FM"[n % 2], ["artist", "writer"][n % 2], "00000"]
        for n in range(N_USERS)
    ]
    return {
        "u.data": lines(events.to_numpy(), "\t"),
        "u.genre": lines([[name, n] for n, name in enumerate(GENRES)], "|"),
        "u.item": lines(items, "|"),
        "u.user": lines(users, "|"),
    }


def ml_1m(events):
    films = [[n + 1, title, GENRES[n % 4]] for n, title in enumerate(titles())]
    users = [[n + 1, "FM"[n % 2], 25, n % 7, "00000"] for n in range(N_USERS)]
    return {
        "ratings.dat": lines(events.to_numpy(), "::"),
        "movies.dat": lines(films, "::"),
        "users.dat": lines(users, "::"),
    }


def ml_latest(events):
    films = [[n + 1, title, GENRES[n % 4]] for n, title in enumerate(titles())]
    films.append([N_ITEMS + 1, "Never seen (1999)", "Drama"])
    return {
        "ratings.csv": lines(events.to_numpy(), ",", "userId,movieId,rating,timestamp"),
        "movies.csv": lines(films, ",", "movieId,title,genres"),
    }


def hetrec(events):
    pairs = events[["user", "item"]].to_numpy()
    tagged = [[u, i, i % 8 + 1, 1, 4, 2009] for u, i in pairs[::3]]
    artists = [[n + 1, title, "u", "p"] for n, title in enumerate(titles())]
    friends = [[n + 1, (n + N_GROUPS) % N_USERS + 1] for n in range(N_USERS)]
    return {
        "user_artists.dat": lines(
            events[["user", "item", "value"]].to_numpy(),
            "\t",
            "userID\tartistID\tweight",
        ),
        "artists.dat": lines(artists, "\t", "id\tname\turl\tpictureURL"),
        "tags.dat": lines(
            [[n + 1, word] for n, word in enumerate(WORDS)], "\t", "tagID\ttagValue"
        ),
        "user_taggedartists.dat": lines(
            tagged, "\t", "userID\tartistID\ttagID\tday\tmonth\tyear"
        ),
        "user_friends.dat": lines(friends, "\t", "userID\tfriendID"),
    }


def lastfm_lightgcn(events):
    later = last_quarter(events)
    rows = events[["user", "item", "value"]]
    return {
        "data1.txt": lines(rows[~later].to_numpy(), "\t"),
        "test1.txt": lines(rows[later].to_numpy(), "\t"),
    }


def gowalla(events):
    later = last_quarter(events)
    return {
        "train.txt": lines(lists_by_user(events[~later]), " "),
        "test.txt": lines(lists_by_user(events[later]), " "),
    }


def amazon(name, events):
    attributes = {str(n + 1): [n % N_GROUPS + 1, n % 7 + 10] for n in range(N_ITEMS)}
    return {
        f"{name}.txt": lines(lists_by_user(events), " "),
        f"{name}_item2attributes.json": json.dumps(attributes),
    }


def citeulike(events):
    # A user's line is how many items follow, and their positions from 0 on.
    users = [
        [len(items), *(item - 1 for item in items)]
        for _, *items in lists_by_user(events)
    ]
    words = [*WORDS, *(f"word{n}" for n in range(N_WORDS - len(WORDS)))]
    bags = []
    for item in range(N_ITEMS):
        others = {(7 * item + 11 * n) % N_WORDS for n in range(15)}
        counts = dict.fromkeys(others, 1) | {item % N_GROUPS: 3}
        bags.append([len(counts), *(f"{word}:{n}" for word, n in counts.items())])
    of_tags = [
        [N_ITEMS // N_GROUPS, *range(group, N_ITEMS, N_GROUPS)]
        for group in range(N_GROUPS)
    ]
    return {
        "users.dat": lines(users, " "),
        "mult.dat": lines(bags, " "),
        "vocabulary.dat": lines([[word] for word in words], " "),
        "tags.dat": lines([[f"tag{n}"] for n in range(N_GROUPS)], " "),
        "tag-item.dat": lines(of_tags, " "),
    }


def kuairand(events):
    """Make what was shown from 8 April to 8 May: each event twice or so."""
    rng = np.random.default_rng(1)
    shown = events.sample(2 * len(events), replace=True, random_state=1)
    start = pd.Timestamp("2022-04-08", tz="Asia/Shanghai").timestamp()
    seconds = np.sort(rng.uniform(0, 31 * DAY, len(shown)))
    times = pd.to_datetime(start + seconds, unit="s") + pd.Timedelta(hours=8)
    log = pd.DataFrame(
        {
            "user_id": shown["user"].to_numpy(),
            "video_id": shown["item"].to_numpy(),
            "date": times.strftime("%Y%m%d").astype(int),
            "time_ms": ((start + seconds) * 1000).astype(int),
            "is_click": 1,
            "is_like": rng.integers(0, 2, len(shown)),
            "long_view": (shown["value"] == 5).astype(int).to_numpy(),
            "tab": rng.integers(0, 4, len(shown)),
        }
    )
    ids = np.arange(1, N_ITEMS + 1)
    videos = pd.DataFrame(
        {
            "video_id": ids,
            "author_id": ids % 20,
            "video_type": np.where(ids % 5, "NORMAL", "AD"),
            "upload_dt": "2022-04-01",
            "upload_type": np.where(ids % 2, "Kmovie", "LongImport"),
            "visible_status": "public",
            "video_duration": 1000.0 * ids,
            "music_id": ids % 30,
            "music_type": 4.0,
            "tag": (ids % N_GROUPS).astype(str),
        }
    )
    people = np.arange(1, N_USERS + 1)
    users = pd.DataFrame(
        {
            "user_id": people,
            "user_active_degree": np.where(people % 3, "full_active", "high_active"),
            "fans_user_num_range": np.where(people % 2, "0", "[1,10)"),
            "register_days": people,
            "onehot_feat0": people % N_GROUPS,
        }
    )
    counts = pd.DataFrame({"video_id": ids, "show_cnt": ids})
    early = log["date"] <= 20220421
    tables = dict(zip(KUAIRAND_LOGS, (log[early], log[~early]), strict=True)) | {
        "video_features_basic_pure.csv": videos,
        "video_features_statistic_pure.csv": counts,
        "user_features_pure.csv": users,
    }
    return {name: table.to_csv(index=False) for name, table in tables.items()}


MADE = {
    "ml-100k": ml_100k,
    "ml-1m": ml_1m,
    "ml-latest-small-2018": ml_latest,
    "movietweetings": lambda events: {"ratings.dat": lines(events.to_numpy(), "::")},
    "hetrec-lastfm-2k": hetrec,
    "lastfm-lightgcn": lastfm_lightgcn,
    "gowalla-lightgcn": gowalla,
    "amazon-beauty-s3rec": lambda events: amazon("Beauty", events),
    "amazon-sports-s3rec": lambda events: amazon("Sports_and_Outdoors", events),
    "citeulike-t": citeulike,
    "kuairand-pure-std": kuairand,
}


def tables_of(name):
    """Return the tables that ``prepare.py`` makes of a made source."""
    texts = MADE[name](made_events())
    return SOURCES[name].read({file: text.encode() for file, text in texts.items()})


def write_all(folder):
    """Write the tables of all made data sets, as ``prepare.py`` does."""
    for name in MADE:
        (folder / name).mkdir(parents=True)
        for table, frame in tables_of(name).items():
            frame.to_parquet(folder / name / f"{table}.parquet", index=False)
