"""What a training depends on, in a form that can be compared with that of another one.

Input: a ``Recipe`` and ``Events``.
Output: a dict of texts; where two trainings may differ, theirs do.
"""

import hashlib
import inspect
from importlib.metadata import version

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from sktwotower import __version__
from sktwotower._tables._sparse import slices
from sktwotower.towers.histories import History

LIBRARIES = "torch", "numpy", "skorch"
# What classes of these have is known by the version.
VERSIONED = {"builtins", "sktwotower", *LIBRARIES}
# Parameters without an effect on what is learnt.
IGNORED = {"verbose"}
# What differs between processes that train together: each has its own users.
OF_PROCESS = "positives", "impressions", "order", "contexts"
# Number of entries that are hashed at a time.
CHUNK = 1 << 22
# Parts of the data, whose digests mean nothing to a reader.
DATA = {
    "users": "the ids of users",
    "items": "the ids of items",
    "user_rows": "the features of users",
    "item_rows": "the features of items",
    "positives": "the chosen pairs (X, y, sample_weight)",
    "impressions": "the pairs that were shown and not chosen",
    "order": "the order of events",
    "events": "the events (X, y, sample_weight)",
    "contexts": "the contexts of events",
    "start": "the weights to start from (warm_start)",
}


def fingerprint(recipe, events, before=None):
    """Return what a training depends on, a dict of texts.

    ``before``: the module whose weights it starts from, or None.
    """
    # parameters
    texts = {}
    for name, value in recipe._asdict().items():
        if name not in IGNORED:
            texts[name] = _described(value)
    texts["device"] = recipe.device.partition(":")[0]  # each process has its own GPU

    # versions
    texts["sktwotower"] = __version__
    for library in LIBRARIES:
        texts[library] = version(library)

    # data
    texts["users"] = digest(events.users.ids)
    texts["items"] = digest(events.items.ids)
    texts["user_rows"] = digest(events.users.rows)
    texts["item_rows"] = digest(events.items.rows)
    texts["positives"] = digest(events.positives)
    texts["impressions"] = digest(events.impressions)
    texts["order"] = ""
    if events.ordered is not None:
        texts["order"] = digest(events.ordered)
    texts["contexts"] = ""
    if events.contexts is not None:
        clock = ()
        if events.contexts.context.clock is not None:
            clock = tuple(events.contexts.context.clock)
        # if order counts, the digest of the order has the context of each event
        pairs = {}
        if events.of_pairs is not None:
            pairs = vars(events.of_pairs)
        texts["contexts"] = digest((events.contexts.own, clock), pairs)
    texts["start"] = ""
    if before is not None:
        texts["start"] = digest(before.state_dict())
    return texts


def differences(before, now, where=("there", "here")):
    """Return where two fingerprints differ, as text; "" if they are equal.

    ``where``: how the text says which of them a value is of.
    """
    there, here = where
    texts = []
    for name in before | now:
        value_there = before.get(name)
        value_here = now.get(name)
        if value_there == value_here:
            continue
        text = f"{name} ({value_there} {there}, {value_here} {here})"
        texts.append(DATA.get(name, text))
    return "; ".join(texts)


def digest(*values):
    """Return a hash of nested tuples and dicts of arrays, matrices, ids and tensors."""
    hasher = hashlib.blake2b(digest_size=16)
    _update(hasher, values)
    return hasher.hexdigest()


def _update(hasher, value):
    if isinstance(value, pd.Index):
        value = pd.util.hash_pandas_object(value, index=False).to_numpy()
    if sparse.issparse(value):
        value = (*value.shape, value.data, value.indices, value.indptr)
    if isinstance(value, dict):
        value = list(value.items())
    if hasattr(value, "detach"):
        value = value.detach().cpu().double().numpy()
    if isinstance(value, np.ndarray):
        hasher.update(f"{value.dtype.kind}{value.shape}".encode())
        flat = value.reshape(-1)
        # the width of integers depends on the size of other arrays
        if value.dtype.kind in "iu":
            kind = np.int64
        else:
            kind = value.dtype
        for chunk in slices(len(flat), CHUNK):  # it may be larger than memory
            part = flat[chunk].astype(kind, copy=False)
            hasher.update(np.ascontiguousarray(part).view(np.uint8).data)
    elif isinstance(value, list | tuple):
        for part in value:
            _update(hasher, part)
    else:
        hasher.update(repr(value).encode())


def _described(value):
    """Return the text of a parameter: the same in each process."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_described, value))}]"
    if isinstance(value, dict):
        entries = [f"{key!r}: {_described(entry)}" for key, entry in value.items()]
        return f"{{{', '.join(entries)}}}"
    if isinstance(value, type) or inspect.isroutine(value):
        return f"{value.__module__}.{value.__qualname__}{_code_of(value)}"
    name = type(value).__qualname__
    if hasattr(value, "state_dict"):
        # of its weights, except those that are not made yet
        state = {k: v for k, v in value.state_dict().items() if hasattr(v, "numpy")}
        try:
            return f"{name}({digest(state)})"
        except (RuntimeError, ValueError):
            return f"{name}({sorted(state)})"
    if hasattr(value, "on_train_begin"):  # a callback
        return name + _described(_parameters_of_callback(value))
    text = repr(value)
    if " at 0x" in text:
        text = name
    if isinstance(value, History):
        text += _code_of(type(value))
    return text


def _code_of(value, users=()):
    """Return a digest of the code of a class of the user; "" for others.

    Its name stays the same when a cell of a notebook defines it anew. The code of what
    it makes belongs to it: of modules that its functions name. Only classes of torch
    modules and of histories have code that is looked at.

    ``users``: the classes that name this one.
    """
    if not isinstance(value, type) or not issubclass(value, torch.nn.Module | History):
        return ""
    parts = []
    for base in value.__mro__:
        if base.__module__.partition(".")[0] in VERSIONED:
            continue
        for name, member in sorted(vars(base).items()):
            member = getattr(member, "fget", getattr(member, "__func__", member))
            code = getattr(member, "__code__", None)
            if code is not None:
                defaults = _described((member.__defaults__, member.__kwdefaults__))
                around = _described(_values_around(member))
                # the code of the classes that it names
                codes = {}
                for class_name in code.co_names:
                    named = member.__globals__.get(class_name)
                    if isinstance(named, type) and named not in (*users, value):
                        codes[class_name] = _code_of(named, (*users, value))
                parts.append((name, _instructions(code), defaults, around, codes))
            elif not name.startswith("__"):
                parts.append((name, _described(member)))
    if not parts:
        return ""
    return f"({digest(parts)})"


def _values_around(function):
    """Return what a function reads of those it is defined in, a dict.

    The class that ``super()`` belongs to is left out: it is the one described.
    """
    values = {}
    for name, cell in zip(
        function.__code__.co_freevars, function.__closure__ or (), strict=True
    ):
        if name == "__class__":
            continue
        try:
            values[name] = cell.cell_contents
        except ValueError:  # it is not set yet
            values[name] = None
    return values


def _instructions(code):
    """Return what a code object does, as nested tuples; no line numbers."""
    constants = []
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):
            constant = _instructions(constant)
        elif isinstance(constant, frozenset):  # its order is another in each process
            constant = sorted(map(repr, constant))
        constants.append(constant)
    return code.co_code.hex(), code.co_names, constants


def _parameters_of_callback(callback):
    """Return the parameters of a callback's constructor that it has kept, a dict."""
    accepted = inspect.signature(type(callback)).parameters
    kept = {n: v for n, v in vars(callback).items() if not n.endswith("_")}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values()):
        return kept  # of LRScheduler: those of its policy
    return {name: kept[name] for name in accepted if name in kept}
