"""Write the tables of what "auto" stands for, from the code that chooses.

Call: ``python docs/auto_values.py``. The page ``guide/tune.md`` gets a table of the
values that follow the kind of model, and one of the others, between two comments.
"""

import re
from pathlib import Path

from sktwotower.neighbors import _graph_for_many as many
from sktwotower.recommender import _ages, _choices, _kept_back, _partial_fit
from sktwotower.towers import _auto
from sktwotower.towers.parts import _filter

PAGE = Path(__file__).parent / "guide" / "tune.md"
PLACE = re.compile(
    r"(<!-- auto values -->)\n.*?(<!-- end of auto values -->)", re.DOTALL
)
# The kinds of ``AUTO`` in words, in the order of the table.
KINDS = {
    "pooled": "without times",
    "pooled, features": "the same, with features",
    "pooled, large catalog": "without times, more than {large:,} items",
    "pooled, large catalog, features": "the same, with features",
    "recent": "with `time`",
    "recent, large baskets": "the same, {basket} or more items in a basket on average",
    "recent, hidden layer": "with `time`, {events} or more events per item",
    "second pair": "second pair of towers, beside one with `time`",
}
BY_KIND = ["dropout", "max_epochs", "batch_size", "second_share"]


def rows_by_kind():
    """Return the values of each kind of model, a list of rows of text."""
    sizes = {"large": _auto.LARGE_CATALOG, "basket": _auto.LARGE_BASKET}
    sizes["events"] = _auto.EVENTS_FOR_HIDDEN_LAYER
    values = _auto.AUTO | {"second pair": _auto.SECOND_PAIR}
    return [
        [text.format(**sizes), *(str(values[kind].get(name, "")) for name in BY_KIND)]
        for kind, text in KINDS.items()
    ]


def temperature():
    """Return what the temperature is, in words."""
    sizes = [1_000, 2_000, 5_000, 10_000]
    figures = ", ".join(f"{_auto.auto_temperature(n):.2f} for {n:,}" for n in sizes)
    large = ", ".join(
        f"{_auto.auto_temperature(n, True):.2f} for {n:,}" for n in [20_000, 50_000]
    )
    return (
        f"falls with the number of items with events: {figures}. Without times, "
        f"and above {_auto.LARGE_CATALOG:,} items, it is higher: {large}. With "
        f"`time` and {_auto.EVENTS_FOR_HIDDEN_LAYER} or more events per item it is "
        f"at most {_auto.HIDDEN_LAYER_TEMPERATURE}"
    )


def share_of_filter():
    """Return what the share of a linear filter is, in words."""
    figures = ", ".join(
        f"{_filter.auto_share(*counts):.2f} for {counts[0]} and {counts[1]}"
        for counts in [(20, 10), (120, 220)]
    )
    return (
        "without times it grows with the mean number of events per user and per item. "
        f"It is {figures}. It is 0 with `embedding_dim` below {_filter.MIN_LENGTH}. "
        f"It is 0 with at most {2 * _auto.WIDTH} users or items, too. With `time`: the "
        "table above. From there, weights are learnt on `validation_events`"
    )


def rows_of_others():
    """Return parameter, what "auto" stands for and an attribute, as rows of text."""
    wide = _auto.WIDTH + _auto.FILTER_WIDTH
    weights, cold = (
        ", ".join(f"{weight:g}" for weight in values)
        for values in (_choices.WEIGHTS, _choices.COLD_WEIGHTS)
    )
    half_lives = ", ".join(f"1/{1 / share:g}" for share in _ages.TO_WEIGH)
    return [
        [
            "time_unit",
            "the unit of Unix times, if nine in ten numbers are then between 1990 and "
            "2100, else an order",
            "time_unit_",
        ],
        ["history", '"recent" with `time`, else "pooled"', "history_kind_"],
        ["history__second_share", share_of_filter(), "second_share_"],
        ["history__half_life", "none: all events count alike", "half_life_"],
        [
            "history__popularity_half_life",
            f"half-lives of {half_lives} of the time that the events cover. Their "
            "weights, and that of overall popularity, are learnt on "
            "`validation_events`, if these are the latest ones. Otherwise only overall "
            "popularity has a weight. With fewer than "
            f"{_kept_back.MIN_USERS} users to judge by there is neither",
            "popularity_half_life_",
        ],
        [
            "sparse_parts",
            "EASE, RP3beta, successors in time and, with `exclude_seen=False`, what "
            "the user had before, as far as each can be made in seconds "
            "([Formulas](formulas.md#how-much-each-part-counts)) and has a weight",
            "weights_",
        ],
        [
            "validation_events",
            '"latest" with `time`, if at least '
            f"{_kept_back.MIN_RETURNING:.0%} of the latest "
            f"{_kept_back.MAX_SHARE:.0%} of the events are of users who were there "
            "long before and times do not only count the events of each user, else "
            '"last". With "latest", requests long before these have weights of their '
            "own. Without `time`, they are random pairs. None "
            f"with fewer than {_kept_back.MIN_USERS} users who can be asked for, and "
            "in the cases of [Events that judge](#events-that-judge)",
            "validation_score_",
        ],
        [
            "embedding_dim",
            f"{wide} with a linear filter, {_auto.WIDTH} without one",
            "item_embeddings_.shape[1]",
        ],
        ["temperature", temperature(), "temperature_"],
        [
            "candidate_sampling",
            f'"full" up to {_auto.FULL_SOFTMAX_ITEMS:,} items that have at most '
            f'{_auto.FULL_SOFTMAX_ENTRIES:,} feature values together, else "mixed"; '
            'with `time` always "mixed"',
            "candidate_sampling_",
        ],
        [
            "impression_weight",
            f"the best of {weights} in short fits. It is 0 unless the NDCG of held-out "
            f"choices rises by {_choices.MIN_GAIN:.0%} and beyond its "
            'standard error. With "shown" they are judged by the order of shown items. '
            f"With fewer than {_choices.MIN_USERS} users to judge by it is "
            f"then {_choices.USUAL_WEIGHT:g}",
            "impression_weight_",
        ],
        [
            "reward_scale",
            "as they are, or the best of log1p and sqrt in short fits, if it is better "
            "beyond its standard error. With fewer than "
            f"{_choices.MIN_USERS} users to judge by it is log1p if the rows "
            "are worth fewer equal ones than a tenth of them (the default is none)",
            "reward_scale_",
        ],
        [
            "cold_item_weight",
            f"the best of {cold} in a short fit. A higher one of them is taken if it "
            f"has {_choices.ENOUGH:.0%} of the gain. It is 1 if fewer than "
            f"{_choices.MIN_COLD_SHARE:.0%} of the items are cold, or the gain is "
            f"below {_choices.MIN_COLD_GAIN:.0%}",
            "cold_item_weight_",
        ],
        ["max_epochs", "the table above", "len(history_)"],
        [
            "batch_size",
            f"the table above; {_partial_fit.PARTIAL_BATCH} in `partial_fit`, "
            f"{_partial_fit.RECENT_BATCH} with `time`",
            "net_.batch_size",
        ],
        ["dropout", "the table above", "net_.iterator_train__history_dropout"],
        [
            "neighbors",
            '"exact"; above '
            f"{many.MAX_EXACT_ITEMS:,} items a call for {many.MIN_QUERIES:,} users or "
            "more builds a graph",
            "neighbors_",
        ],
    ]


def table(heads, rows):
    """Return a table as lines of Markdown."""
    lines = ["| " + " | ".join(cells) + " |" for cells in [heads, *rows]]
    lines.insert(1, "|" + "---|" * len(heads))
    return [re.sub(r"(?<=\|) +(?=\|)", " ", line) for line in lines]


def lines():
    """Return both tables as lines of Markdown."""
    by_kind = ["model", *(f"`{name}`" for name in BY_KIND)]
    others = [
        [f"`{name}`", text, f"`{attribute}`"]
        for name, text, attribute in rows_of_others()
    ]
    heads = ["parameter", '"auto" stands for', "what was used"]
    return [*table(by_kind, rows_by_kind()), "", *table(heads, others)]


def written(text):
    """Return the text of the page with the tables of now."""
    tables = "\n".join(lines())
    return PLACE.sub(lambda match: f"{match[1]}\n\n{tables}\n\n{match[2]}", text)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
