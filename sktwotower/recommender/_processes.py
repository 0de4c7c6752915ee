"""Processes that fit one model together: what each of them has, and what all have.

Input: the same events, or files of events, in each process.
Output: in training the events of its own users; then a model of all users.
"""

import contextlib
import os
from dataclasses import replace
from importlib import import_module

import numpy as np
from sklearn.utils import check_random_state
from torch import distributed

from sktwotower._tables._sequences import Sequences, as_rows
from sktwotower.towers.processes._division import divisions, owners_of_users
from sktwotower.towers.processes._group import current_group, is_first, rank, summed

from ._fingerprint import differences, digest, fingerprint


@contextlib.contextmanager
def joined():
    """Join the processes that torchrun has started; yield whether this is the first.

    They communicate by gloo. Without torchrun, or in a group already, nothing is done.
    """
    if not distributed.is_torchelastic_launched() or current_group() is not None:
        yield is_first()
        return
    distributed.init_process_group("gloo")
    try:
        yield is_first()
    finally:
        distributed.destroy_process_group()


def of_all(value):
    """Return the values (n_processes,) that all processes have, a list."""
    group = current_group()
    return [value] if group is None else group.gather(value)


def compare(group, depends_on):
    """Raise ``ValueError`` if a ``fingerprint`` is not the same in all processes."""
    first, *others = group.gather(depends_on)
    for number, other in enumerate(others, start=1):
        found = differences(first, other, ("in process 0", f"in process {number}"))
        if found:
            raise ValueError(
                f"{group.size} processes fit one model together, so each needs all of "
                "the same data and parameters; users are divided among them. Processes "
                f"0 and {number} differ in: {found}. To fit a model in each process, "
                "end the process group first: torch.distributed.destroy_process_group()"
            )


def check_same(recipe, events, before):
    """Raise ``ValueError`` if processes that learn the same events differ."""
    group = current_group()
    if group is not None:
        compare(group, fingerprint(recipe, events, before))


def check_events(n_events):
    """Raise ``ValueError`` if some of the processes have events, and others none."""
    counts = of_all(n_events)
    if 0 in counts and any(counts):
        raise ValueError(
            f"{len(counts)} processes learn together, so each needs all of the same "
            f"events. Numbers of events, by process: {counts}."
        )


def random_state_of(given):
    """Return the generator that ``random_state`` stands for, in the same state in all.

    A generator of the caller is set to that state; the global one of numpy stays.
    """
    group = current_group()
    if group is None:
        return check_random_state(given)
    if given is None:
        rng = np.random.RandomState()
    else:
        rng = check_random_state(given)
    rng.set_state(group.share(rng.get_state(legacy=False)))
    return rng


def own_generator(rng):
    """Return a generator of this process, which takes one number of a shared one."""
    group = current_group()
    if group is None:
        return rng
    return np.random.RandomState([rng.randint(2**31), group.rank])


def own_events(table, users):
    """Return the events of the users of this process, of an ``EventTable`` of all.

    ``users``: ``Entities``. Without other processes these are all events.
    """
    group = current_group()
    if group is None:
        return table
    columns = [c for c in table if c is not None]
    compare(group, {"users": digest(users.ids), "events": digest(columns)})
    own = table.only(np.flatnonzero(own_users(users.ids)))
    check_division(own.n_events, len(users))
    return own


def from_first(make):
    """Return the result of ``make()``, which only the first process calls."""
    group = current_group()
    return make() if group is None else group.from_first(make)


def written_once(make):
    """Return the paths of files that the first process writes, if all can read them.

    Otherwise each process writes its own.
    """
    paths = from_first(make)
    unseen = not all(map(os.path.exists, paths))
    return make() if summed(int(unseen)) and rank() else paths


def of_own_part(query, keys):
    """Return the answer to a query of distinct keys, to which each process adds a part.

    ``query(condition)``: an Arrow table of those of which the ``keys``, columns in SQL,
    meet a condition; "" stands for all.
    """
    group = current_group()
    if group is None:
        return query("")
    hashed = f"hash({', '.join(keys)}) % {group.size} = {group.rank}"
    return import_module("pyarrow").concat_tables(group.gather(query(hashed)))


def own_users(ids):
    """Return which users (n,) are of this process, bool."""
    group = current_group()
    if group is None:
        return np.ones(len(ids), dtype=bool)
    return owners_of_users(ids, group.size) == group.rank


def divisions_of(events):
    """Return which process holds which rows of tables, or None; see `divisions`."""
    n_context = 0
    if events.contexts is not None:
        n_context = events.contexts.width
    return divisions(events.users, events.items, n_context)


def check_division(n_events, n_users):
    """Raise ``ValueError`` if a process has no events of its own.

    ``n_events``: of this process; ``n_users``: of all.
    """
    counts = of_all(n_events)
    if 0 in counts:
        raise ValueError(
            f"{len(counts)} processes divide the {n_users} users of X among them, and "
            f"process {counts.index(0)} has none with an event. Start fewer processes."
        )


def with_all_users(fitted):
    """Return ``FittedTowers`` with what all processes have seen of all users."""
    group = current_group()
    if group is None:
        return fitted
    # of the last row, for unknown users, nobody is the owner
    owners = np.append(owners_of_users(fitted.users.ids, group.size), -1)
    changed = {}
    for name in ("seen", "context_users"):
        if getattr(fitted, name) is not None:
            (changed[name],) = _gathered(group, owners, getattr(fitted, name))
    if fitted.sequences is not None:
        changed["sequences"] = Sequences(*_gathered(group, owners, *fitted.sequences))
    return replace(fitted, **changed)


def rows_in_first(users, matrix):
    """Return CSR (n_users, p) with the rows of all users, in the first process.

    Other processes get back the ``matrix`` of their own users. ``users``: ``Entities``.
    """
    group = current_group()
    if group is None:
        return matrix
    sizes = summed(np.diff(matrix.indptr))
    parts = group.to_first((matrix.indices, matrix.data))
    if parts is None:
        return matrix
    owners = owners_of_users(users.ids, group.size)
    indices, data = _in_order_of_rows(owners, sizes, parts)
    return as_rows(data, indices, np.append(0, np.cumsum(sizes)), matrix.shape[1])


def _gathered(group, owners, matrix, *columns):
    """Return CSR (n, p) with the rows of all processes, and their columns.

    ``owners`` (n,): the process of each row. ``columns``: arrays with a value for each
    entry of the matrix.
    """
    sizes = summed(np.diff(matrix.indptr))
    parts = group.gather((matrix.indices, matrix.data, *columns))
    indices, data, *columns = _in_order_of_rows(owners, sizes, parts)
    offsets = np.append(0, np.cumsum(sizes))
    return as_rows(data, indices, offsets, matrix.shape[1]), *columns


def _in_order_of_rows(owners, sizes, parts):
    """Return arrays (n_entries,) with the entries of all processes, row by row.

    ``owners`` and ``sizes`` (n,): the process of each row, and its number of entries.
    ``parts``: for each process, the same arrays with the entries of its rows.
    """
    of_entries = np.repeat(owners, sizes)
    whole = [np.empty(len(of_entries), dtype=part.dtype) for part in parts[0]]
    for process, part in enumerate(parts):
        for array, values in zip(whole, part, strict=True):
            array[of_entries == process] = values
    return whole
