"""What the command line prints, and what it means in a sentence.

Input: a fitted recommender, its report, and events.
Output: text.
"""

from sktwotower.metrics._verdict import said_of_models_without_scores

from ._models import RANKED
from ._steps import BOLD, GREEN, RED, YELLOW, styled
from ._tasks import SPLIT_LAST

COLUMNS = ["recall@20", "ndcg@20", "coverage@20"]
MORE_EVENTS = "Collect more events of users who return: best sellers suffice so far."
COLORS = {"ahead": GREEN, "tied": YELLOW, "unclear": YELLOW, "behind": RED}


def meaning(report) -> str:
    """Return the first 20 places of all models of a report in one sentence."""
    (_, first), *of_baselines = report.loc["all", "recall@20"].items()
    others = ", ".join(f"{name} {recall:.1%}" for name, recall in of_baselines)
    rows = "users"
    if "requests" in report:
        rows = "requests"
    return (
        f"The first 20 recommendations contain {first:.1%} of the held-out events, on "
        f"average over {rows} ({others})."
    )


def show_quality(model, report) -> None:
    """Print the figures of the model and of the baselines, and what they mean."""
    sentence = meaning(report)
    verdict = report.verdict()
    lost = said_of_models_without_scores(report)
    note = report.attrs["best_sellers"]
    report = report.loc["all"]
    sizes = f"{report['users'].iloc[0]:,.0f} users"
    if "requests" in report:
        n_requests = report["requests"].iloc[0]
        sizes += f" in {n_requests:,.0f} requests, each with its context"
    print(f"\nThe models are judged by the held-out events of {sizes}.")
    print(f"They rank {len(model.item_ids_):,} items, except what a user has chosen.\n")
    table = report[COLUMNS].rename_axis(None).to_string(float_format="{:.4f}".format)
    header, *rows = table.split("\n")
    print("\n".join([styled(header, BOLD), *rows]))
    print(f"\n{sentence}\nThat is recall@20; ndcg@20 counts early places more.")
    print("coverage@20 is the share of all items that somebody gets.")
    if note:
        print(note)
    if RANKED in report.index:
        call = f"TwoStageRecommender(EASERecommender(), time={model.time!r})"
        print(f"{RANKED} is {call}. It knows no new items.")
    if verdict is not None:
        print("\n" + styled(str(verdict), COLORS[verdict.word]))
    if lost:
        print("\n" + styled(lost, YELLOW))


def show_next_steps(args, task, report, losses) -> None:
    """Print what to try next with one's own events; ``losses``: of each epoch."""
    verdict = report.verdict()
    steps = []
    if task.time is None and args.time_option and not args.in_order:
        steps.append(f"{args.time_option} lets the model learn the order of events.")
    if task.items is None:
        steps.append("--items FILE adds words, categories and prices.")
    if verdict is not None and verdict.word != "ahead":
        if args.epochs is not None and still_falls(losses):
            steps.append(f"Leave out --epochs {args.epochs}, which may be too few.")
        elif verdict.word == "unclear":
            if task.offers_last:
                steps.append(SPLIT_LAST)
            steps.append("Collect events of more users, for a clear result.")
        elif "popularity" in verdict.other:
            steps.append(MORE_EVENTS)
        else:
            steps.append(f"Fit {verdict.other}, unless you have new items or features.")
    if args.data is not None and steps:
        print("\n- ".join(["What to try next:", *steps]))


def still_falls(losses) -> bool:
    """Return whether the last epoch brought over a twentieth of the fall of the loss.

    A single epoch is too few to see it.
    """
    *before, last = losses
    if not before:
        return True
    return min(before) - last > 0.05 * (before[0] - last)


def show_recommendations(model, task) -> None:
    """Print recommendations for a few users, and items like the most popular one."""
    train = task.examples(model).drop_duplicates([task.user, task.item], keep="last")
    sizes = train[task.user].value_counts()
    chosen = typical_users(sizes)
    requests = task.requests(chosen)
    asked = requests
    if requests is None:
        asked = chosen
    top = model.recommend(asked, n_neighbors=10)
    for user in chosen:
        items = train.loc[train[task.user] == user, task.item]
        last = items.tail(5)
        shown = f"{task.which}{len(last)} of {sizes[user]} items"
        title = f"{task.user} {user}, {shown}:"
        print(f"\n{styled(title, BOLD)}")
        for item in last:
            print(f"            {task.name(item)}")
        if task.context:
            print(f"Asked {_context_in_words(task, requests, user)}:")
        print_ranked("recommended", task, top[top[task.user] == user])
    item = train[task.item].value_counts().index[0]
    print("\n" + styled(f"{task.item} {task.name(item)}:", BOLD))
    print_ranked("similar", task, model.similar_items([item], n_neighbors=5))


def _context_in_words(task, requests, user):
    """Return in which context a user asks; ``requests``: a table, or None."""
    if requests is None:
        return "without context"
    request = requests.loc[requests[task.user] == user, task.context].iloc[0]
    cells = []
    for name, cell in request.dropna().items():
        origin = "last event"
        if name == task.time:
            origin = "end of the data"
        cells.append(f"{name} {cell} ({origin})")
    if not cells:
        return "without context"
    return f"with {', '.join(cells)}"


def typical_users(sizes, n_users=3) -> list:
    """Return users with a middling number of events; ``sizes``: numbers by user."""
    order = sizes.index
    if (sizes >= 5).any():
        order = sizes.index[sizes >= 5]
    places = [len(order) * (i + 1) // (n_users + 1) for i in range(n_users)]
    return list(dict.fromkeys(order[place] for place in places))


def print_ranked(title, task, top) -> None:
    """Print rank, score and name of ranked items."""
    print(f"rank  score {title}")
    for row in top.itertuples(index=False):
        print(f"{row.rank:4d}  {row.score:5.2f} {task.name(row[1])}")
