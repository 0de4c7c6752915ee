"""Compare answers with those of before, and say in words what differs."""

import math

# Of numbers that were computed by another processor, or by another version of torch.
TOLERANCE = 1e-4
N_LINES = 6


def differences(model, before, now, *, exact=False, tolerance=TOLERANCE):
    """Return a sentence for each answer of a model that differs.

    ``before`` and ``now``: label -> value, see `answers`. ``exact``: False: numbers may
    differ by ``tolerance``, relative to the largest of a vector, or to 1 if that is
    more; items of equal scores may change places; digests are not compared.
    """
    lines = []
    for label, value in before.items():
        if label not in now:
            lines.append(f"{label} was {shown(value)}, is not among the answers")
            continue
        lines += compared(label, value, now[label], exact, tolerance)
    for label, value in now.items():
        if label not in before:
            lines.append(f"{label} was not among the answers, is {shown(value)}")
    return [f"model '{model}': {line}" for line in lines]


def shortened(lines, n=N_LINES):
    """Return the first lines, and how many there are."""
    if len(lines) <= n:
        return lines
    return [*lines[:n], f"... and {len(lines) - n} more of this model"]


def compared(label, before, now, exact, tolerance):
    """Return sentences for what differs between two values."""
    if kind_of(before) != kind_of(now):
        return [f"{label} was {shown(before)}, is {shown(now)}"]
    if kind_of(before) == "digest":
        changed = exact and before != now
        return [f"{label} was {shown(before)}, is {shown(now)}"] if changed else []
    allowed = 0.0 if exact else tolerance
    if kind_of(before) == "number":
        return compared_numbers(label, before, now, allowed)
    if kind_of(before) == "vector":
        return compared_vectors(label, before, now, allowed)
    if kind_of(before) == "ranked":
        return compared_lists(label, before, now, allowed)
    return [f"{label} was {shown(before)}, is {shown(now)}"] if before != now else []


def kind_of(value):
    """Return which kind of value it is."""
    if isinstance(value, dict):
        return "ranked" if "ranked" in value else "digest"
    if isinstance(value, list):
        are_numbers = all(isinstance(entry, float) for entry in value)
        return "vector" if are_numbers else "texts"
    return "number" if isinstance(value, float) else "text"


def are_close(before, now, allowed):
    """Return whether two numbers differ by no more than is allowed."""
    if before == now or (math.isnan(before) and math.isnan(now)):
        return True
    return abs(before - now) <= allowed


def scale_of(numbers):
    """Return the largest absolute value, at least 1."""
    return max([1.0, *(abs(n) for n in numbers if math.isfinite(n))])


def compared_numbers(label, before, now, allowed):
    if are_close(before, now, allowed * scale_of([before])):
        return []
    return [f"{label} was {written(before, now)}, is {written(now, before)}"]


def compared_vectors(label, before, now, allowed):
    if len(before) != len(now):
        return [f"{label} had {len(before)} entries, has {len(now)}"]
    limit = allowed * scale_of(before)
    places = [
        place
        for place, pair in enumerate(zip(before, now, strict=True))
        if not are_close(*pair, limit)
    ]
    if not places:
        return []
    place = max(places, key=lambda place: abs(before[place] - now[place]))
    was, is_now = before[place], now[place]
    line = f"{label}: entry {place} was {written(was, is_now)}, "
    line += f"is {written(is_now, was)}"
    if len(places) > 1:
        line += f" ({len(places)} of {len(before)} entries differ)"
    return [line]


def compared_lists(label, before, now, allowed):
    """Compare two ranked lists: the scores by place, and the score of each item."""
    was, is_now = before["ranked"], now["ranked"]
    if len(was) != len(is_now):
        return [f"{label} had {len(was)} items, has {len(is_now)}"]
    limit = allowed * scale_of(before["scores"])
    for place, pair in enumerate(zip(before["scores"], now["scores"], strict=True)):
        if not are_close(*pair, limit):
            return [line_of_place(label, before, now, place)]
    if allowed == 0:
        # equal scores: the order is part of the answer
        places = [
            p
            for p, pair in enumerate(zip(was, is_now, strict=True))
            if pair[0] != pair[1]
        ]
        return [line_of_place(label, before, now, place) for place in places[:1]]
    scores_before = dict(zip(was, before["scores"], strict=True))
    scores_now = dict(zip(is_now, now["scores"], strict=True))
    for item, score in scores_before.items():
        # an item that has left the list must have been as good as the last one
        later = scores_now.get(item, now["scores"][-1])
        if not are_close(score, later, 2 * limit):
            return [line_of_place(label, before, now, was.index(item))]
    for item, score in scores_now.items():
        earlier = scores_before.get(item, before["scores"][-1])
        if not are_close(score, earlier, 2 * limit):
            return [line_of_place(label, before, now, is_now.index(item))]
    return []


def line_of_place(label, before, now, place):
    """Return a sentence about a place of a ranked list."""
    old, new = before["scores"][place], now["scores"][place]
    was = f"{before['ranked'][place]} with {written(old, new)}"
    is_now = f"{now['ranked'][place]} with {written(new, old)}"
    return f"{label}: place {place + 1} was {was}, is {is_now}"


def written(number, other):
    """Return a number with as many digits as tell it from another one."""
    for digits in (4, 6, 9):
        text = f"{number:.{digits}g}"
        if text != f"{other:.{digits}g}":
            return text
    return repr(number)


def shown(value):
    """Return a value as text."""
    if kind_of(value) == "number":
        return f"{value:.4g}"
    if kind_of(value) == "vector":
        head = ", ".join(f"{number:.4g}" for number in value[:3])
        return f"({head}, ...)" if len(value) > 3 else f"({head})"
    if kind_of(value) == "ranked":
        return f"the list {', '.join(value['ranked'][:3])} ..."
    if kind_of(value) == "digest":
        return value["digest"]
    return repr(value)
