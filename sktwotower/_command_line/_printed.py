"""What the command line prints, and what it means in a sentence.

Input: a fitted recommender, its report, and events.
Output: text.
"""

from ._models import RANKED

# With fewer users, a recall of .1 has a standard error of more than .03.
FEW_USERS = 100
COLUMNS = ["recall@10", "recall@20", "ndcg@10", "coverage@10"]
# Below this recall, a sentence on 100 items would be about fewer than five.
SMALL = 0.05


def meaning(report) -> str:
    """Return the first 20 places of all models of a report in one sentence."""
    found = report.loc["all", "recall@20"]
    of = 100 if found.iloc[0] >= SMALL else 1000
    first, *others = (found * of).items()
    others = [f"{name} finds {n:.0f}" for name, n in others]
    return (
        f"Of {of:,} later events, on average over {_rows(report)}, {first[1]:.0f} are "
        f"among the first 20 recommendations; {', '.join(others)}."
    )


def _rows(report) -> str:
    """Return what the rows of a ranking are, which the mean is over."""
    return "requests" if "requests" in report else "users"


def show_quality(model, report) -> None:
    """Print the figures of the model and of the baselines, and what they mean."""
    sentence, note = meaning(report), report.attrs["best_sellers"]
    report = report.loc["all"]
    n_users, whose = int(report["users"].iloc[0]), _rows(report)
    sizes, has = f"{n_users:,} users", "has"
    if whose == "requests":
        n_requests = int(report["requests"].iloc[0])
        sizes += f" in {n_requests:,} requests, each with its context"
        has = "has and that are not to be found"
    print(
        f"\nHeld-out events of {sizes}. For each of them all "
        f"{len(model.item_ids_):,} items were ranked, except those that "
        f"the user {has}:\n"
    )
    print(report[COLUMNS].T.to_string(float_format="{:.4f}".format))
    error = report["recall@20 se"].iloc[0]
    print(
        f"\n{sentence}\nThat is recall@20 (standard error of the first: {error:.1%}).\n"
        "coverage@10: the share of the catalog that is among the first 10 of some "
        f"{whose[:-1]}."
    )
    if note:
        print(note)
    if RANKED in report.index:
        print(
            f"{RANKED}: TwoStageRecommender(EASERecommender(), time={model.time!r}) "
            "orders what EASE finds\nby what is chosen of late. It knows no new items; "
            "the model that is saved is the first."
        )
    if n_users < FEW_USERS:
        print("With so few users the figures are not reliable.")


def show_recommendations(model, task, n_users=3) -> None:
    """Print recommendations for a few users, and items like the most popular one."""
    train = task.examples(model).drop_duplicates([task.user, task.item], keep="last")
    sizes = train[task.user].value_counts()
    chosen = typical_users(sizes, n_users)
    requests = task.requests(chosen)
    top = model.recommend(chosen if requests is None else requests, n_neighbors=10)
    for user in chosen:
        last = train.loc[train[task.user] == user, task.item].tail(5)
        print(f"\n{task.user} {user}, {task.which}{len(last)} of {sizes[user]} items:")
        for item in last:
            print(f"            {task.name(item)}")
        if task.context:
            print(f"Asked {context_of(task, requests, user)}:")
        print_ranked("recommended", task, top[top[task.user] == user])
    item = train[task.item].value_counts().index[0]
    print(f"\n{task.item} {task.name(item)}:")
    print_ranked("similar", task, model.similar_items([item], n_neighbors=5))


def typical_users(sizes, n_users=3) -> list:
    """Return users with a middling number of events; ``sizes``: numbers by user."""
    order = sizes.index[sizes >= 5] if (sizes >= 5).any() else sizes.index
    places = [len(order) * (i + 1) // (n_users + 1) for i in range(n_users)]
    return list(dict.fromkeys(order[place] for place in places))


def context_of(task, requests, user) -> str:
    """Return in which context an example user was asked for."""
    if requests is None:
        return "without context"
    request = requests.loc[requests[task.user] == user, task.context].iloc[0].dropna()
    cells = [
        f"{name} {cell} ({'end of the data' if name == task.time else 'last event'})"
        for name, cell in request.items()
    ]
    return f"with {', '.join(cells)}" if cells else "without context"


def print_ranked(title, task, top) -> None:
    """Print rank, score and name of ranked items."""
    print(f"rank  score {title}")
    for row in top.itertuples(index=False):
        print(f"{row.rank:4d}  {row.score:5.2f} {task.name(row[1])}")
