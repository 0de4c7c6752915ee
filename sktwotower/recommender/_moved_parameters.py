"""Parameters that `TwoTowerRecommender` once had, and where they are now.

Input: parameters by name, as given by a caller or as a file of format 1 holds them.
Output: the text of an error with the line to write; the parameters of today.
"""

# Parameters of histories, by the names that the recommender had for them.
OF_RECENT = {
    "max_history": "max_length",
    "half_life": "half_life",
    "popularity_half_life": "popularity_half_life",
    "second_share": "second_share",
}
OF_POOLED = {"second_share": "second_share", "fold_in": "fold_in"}
# What they were if nobody had set them.
DEFAULTS = {
    "max_history": 1000,
    "half_life": "auto",
    "popularity_half_life": "auto",
    "second_share": "auto",
    "fold_in": True,
}
OF_KIND = {"recent": OF_RECENT, "pooled": OF_POOLED}
CLASSES = {"recent": "RecentHistory", "pooled": "PooledHistory"}


def where_moved(given):
    """Return a text about parameters that have left, with the line to write now.

    ``given``: all parameters of a call, by name. None: none of them has left.
    """
    texts = []
    flat = {name: value for name, value in given.items() if name in DEFAULTS}
    if flat:
        kind = _kind_of(flat, given.get("history"), given.get("time"))
        texts.append(_line_of_history(flat, kind))
    if "impression_goal" in given:
        goal = given["impression_goal"]
        weight = "auto"
        if goal == "shown":
            weight = "shown"
        texts.append(f"impression_goal={goal!r} is now impression_weight={weight!r}.")
    if "gather_users" in given:
        texts.append(
            "gather_users is gone: after fit, each process has a model of all users. "
            "Leave it out."
        )
    return " ".join(texts) or None


def _line_of_history(flat, kind):
    """Return the text about parameters that belong to a history of a kind.

    ``flat``: these, by name.
    """
    cls = CLASSES[kind]
    names = OF_KIND[kind]
    moved = {name: value for name, value in flat.items() if name in names}
    left = [f"{name}={value!r}" for name, value in flat.items() if name not in names]
    text = ""
    if moved:
        before = ", ".join(f"{name}={value!r}" for name, value in moved.items())
        now = ", ".join(f"{names[name]}={value!r}" for name, value in moved.items())
        nested = ", ".join(f"history__{names[name]}" for name in moved)
        verb = "is" if len(moved) == 1 else "are"
        text = (
            f"{before} {verb} now history={cls}({now}), with: from sktwotower.towers "
            f"import {cls}. In set_params and in a search, such an object has {nested}."
        )
    if left:
        text += f" {', '.join(left)} would have no effect: leave it out."
    return text.strip()


def _kind_of(flat, history, time):
    """Return "recent" or "pooled": the kind of history that parameters belong to."""
    if history in ("recent", "pooled"):
        return history
    if set(flat) == {"fold_in"}:
        return "pooled"
    only_recent = set(OF_RECENT) - set(OF_POOLED)
    if time is not None or only_recent & set(flat):
        return "recent"
    return "pooled"


def with_history_object(specs):
    """Return the JSON of parameters of today; ``specs``: those of format 1, a dict.

    Files of format 1 may have parameters of a history next to it, a goal of
    impressions, and ``gather_users``.
    """
    specs = dict(specs)
    specs.pop("gather_users", None)
    goal = specs.pop("impression_goal", "catalog")
    if goal == "shown" and specs.get("impression_weight", "auto") == "auto":
        specs["impression_weight"] = "shown"
    flat = {}
    for name, default in DEFAULTS.items():
        value = specs.pop(name, default)
        if value != default:
            flat[name] = value
    if not flat:
        return specs

    history = specs.get("history", "auto")
    known = {}
    if history is None:
        # a share that was set meant that no weights were learnt
        if "second_share" in flat:
            specs["validation_events"] = None
        return specs
    if isinstance(history, dict):
        params = history.get("params")
        if not _is_dict_of_names(params):
            return specs  # a class of the user, or nothing that can be read
        known = dict(zip(params["keys"], params["values"], strict=False))
        history = history.get("kind")
    kind = history
    if kind not in OF_KIND:
        kind = "recent"
        if specs.get("time") is None:
            kind = "pooled"
    for name, new_name in OF_KIND[kind].items():
        is_set = known.get(new_name, DEFAULTS[name]) != DEFAULTS[name]
        if name in flat and not is_set:
            known[new_name] = flat[name]
    if known:
        params = {"type": "dict", "keys": list(known), "values": list(known.values())}
        specs["history"] = {"kind": kind, "params": params}
    return specs


def _is_dict_of_names(params):
    """Return whether JSON holds a dict whose keys are names."""
    if type(params) is not dict:
        return False
    keys = params.get("keys")
    values = params.get("values")
    return type(keys) is type(values) is list and all(type(k) is str for k in keys)
