"""The events, users and items from which the models of the golden set learn.

All is drawn by `numpy.random.RandomState`, whose numbers are the same in all versions.
"""

import numpy as np
import pandas as pd

N_USERS, N_ITEMS, N_EVENTS = 60, 30, 840
N_COLD = 4  # items without events, the last ones
START = pd.Timestamp("2024-01-01")
DEVICES = np.array(["phone", "tv", None], dtype=object)
SEARCHES = np.array(["red chair", "old table", "new red table", ""], dtype=object)
ADJECTIVES = ("old", "new", "red")
NOUNS = ("chair", "table")


def user_name(number):
    return f"u{number:02}"


def item_name(number):
    return f"i{number:02}"


def shop():
    """Return events in order of time, with all columns.

    A user has one of three tastes, chooses what follows the item before, and repeats.

    ``when`` are dates; ``number`` are times that are whole numbers; ``device``,
    ``search``, ``labels`` and ``spent`` are of the request; ``country`` and ``color``
    are features; ``y`` are rewards, of which some are 0; ``weight`` are weights.
    """
    draw = np.random.RandomState(0)
    users = draw.randint(N_USERS, size=N_EVENTS)
    users[:N_USERS] = np.arange(N_USERS)
    popularity = np.arange(1.0, N_ITEMS - N_COLD + 1) ** -0.7
    popularity /= popularity.sum()
    ranks = draw.choice(N_ITEMS - N_COLD, size=N_EVENTS, p=popularity)
    has_taste = draw.uniform(size=N_EVENTS) < 0.85
    of_taste = (ranks + users % 3 * 8) % (N_ITEMS - N_COLD)
    items = np.where(has_taste, of_taste, ranks)
    kind = draw.uniform(size=N_EVENTS)
    past = {user: [] for user in range(N_USERS)}
    for event, user in enumerate(users):
        if past[user] and kind[event] < 0.35:  # what follows the item before
            items[event] = (past[user][-1] + 5) % (N_ITEMS - N_COLD)
        elif past[user] and kind[event] > 0.85:  # what the user had before
            items[event] = past[user][0]
        past[user].append(items[event])
    minutes = np.cumsum(draw.randint(1, 300, size=N_EVENTS))
    places = draw.randint(12, size=N_EVENTS)
    labels = [["a"], ["b", "c"], [], ["c"]]
    return pd.DataFrame(
        {
            "user": [user_name(user) for user in users],
            "item": [item_name(item) for item in items],
            "when": START + pd.to_timedelta(minutes, "min"),
            "number": minutes // 60,
            "device": DEVICES[places % 3],
            "search": SEARCHES[places % 4],
            "labels": [labels[place % 4] for place in places],
            "spent": np.where(places == 5, np.nan, places / 4.0),
            "country": np.array(["at", "be", "ch"])[users % 3],
            "color": np.array(["red", "blue"])[items % 2],
            "y": draw.randint(6, size=N_EVENTS).astype(float),
            "weight": draw.randint(1, 4, size=N_EVENTS) / 2.0,
        }
    )


def users_table():
    """Return a row for each user, and for a user without events, of several kinds."""
    n = N_USERS + 1
    numbers = np.arange(n)
    days = pd.to_timedelta(numbers * 7, "D")
    return pd.DataFrame(
        {
            "user": [user_name(number) for number in numbers],
            "sex": np.array(["f", "m", None], dtype=object)[numbers % 3],
            "age": np.where(numbers % 7 == 3, np.nan, 20.0 + numbers % 40),
            "since": START - days,
            "likes": [["tea", "jam", "egg"][: number % 4] for number in numbers],
        }
    )


def items_table():
    """Return a row for each item, also for those without events, of all kinds."""
    numbers = np.arange(N_ITEMS)
    vectors = np.random.RandomState(1).randint(-4, 5, size=(N_ITEMS, 3)) / 4
    since = pd.Series(START - pd.to_timedelta(numbers % 9, "W"))
    texts = [f"{ADJECTIVES[number % 3]} {NOUNS[number % 2]}" for number in numbers]
    return pd.DataFrame(
        {
            "item": [item_name(number) for number in numbers],
            "shelf": np.array(["food", "tools", "toys"])[numbers % 3],
            "tags": [["a"], ["b", "c"], ["a", "c"]] * (N_ITEMS // 3),
            "text": texts,
            "price": np.where(numbers % 8 == 3, np.nan, 1.5 + numbers % 11),
            "new": numbers % 4 == 0,
            "since": since.where(numbers % 5 > 0),
            "vector": vectors.tolist(),
            "level": pd.Categorical.from_codes(numbers % 4 - 1, ["x", "y", "z"]),
        }
    )


def followers(n_users=60):
    """Return eight events of each user: item j + 5 mostly follows item j."""
    draw = np.random.RandomState(4)
    rows = []
    for user in range(n_users):
        item = draw.randint(N_ITEMS)
        for turn in range(8):
            rows.append((user_name(user), item_name(item), user % 7 + turn))
            has_followed = draw.uniform() < 0.7
            item = (item + 5) % N_ITEMS if has_followed else draw.randint(N_ITEMS)
    table = pd.DataFrame(rows, columns=["user", "item", "when"])
    table["device"] = DEVICES[np.arange(len(table)) % 3]
    return table.assign(when=START + pd.to_timedelta(table["when"], "D"))


def lists(n_users=50, n_lists=8):
    """Return lists of five that were shown to users, and which items were chosen.

    At the first places items are chosen more often. The cheap ones are, too.
    """
    draw = np.random.RandomState(2)
    rows = []
    for turn in range(n_users * n_lists):
        shown = draw.permutation(20)[:5]
        prices = draw.randint(4, size=5)
        odds = np.where(prices == 0, 0.9, 0.02 + 0.02 * (shown * 7 % 20))
        chosen = draw.uniform(size=5) < odds / np.arange(1, 6) ** 0.5
        user, day = user_name(turn % n_users), turn // n_users
        for place, item in enumerate(shown):
            row = (user, item_name(item), day, f"{user}-{day}", place + 1)
            rows.append((*row, float(prices[place]), float(chosen[place])))
    columns = ["user", "item", "when", "list", "place", "price", "y"]
    table = pd.DataFrame(rows, columns=columns)
    minutes = np.arange(len(table)) // 5 + table["when"] * 24 * 60
    return table.assign(when=START + pd.to_timedelta(minutes, "min"))


def later(n_users=25):
    """Return events after those of the shop, some of a new user and of a new item."""
    draw = np.random.RandomState(3)
    events = shop()
    numbers = draw.randint(N_USERS, size=4 * n_users)
    items = draw.randint(12, size=4 * n_users)
    table = events.iloc[numbers].reset_index(drop=True)
    minutes = pd.to_timedelta(np.arange(1, len(table) + 1) * 30, "min")
    table = table.assign(
        item=[item_name(item) for item in items],
        color=np.array(["red", "blue"])[items % 2],
        when=events["when"].iloc[-1] + minutes,
        number=events["number"].iloc[-1] + 1 + np.arange(len(table)) // 2,
    )
    table.loc[:3, ["user", "country"]] = ["newcomer", "at"]
    table.loc[[3, 20, 40], ["item", "color"]] = ["novelty", "blue"]
    return table
