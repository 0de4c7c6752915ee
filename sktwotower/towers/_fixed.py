"""Parts of an item tower that stay as they are while further events are learnt.

Input: a ``TwoTower`` or ``Blend``, before and after training.
Output: the positions (m,) of the items whose vectors have changed.
"""

from contextlib import contextmanager

import numpy as np
import torch

from ._blend import Blend
from ._modules import Tower

__all__ = ["item_layers_fixed", "moved_items"]


@contextmanager
def item_layers_fixed(module):
    """Hold the parameters of a default item tower fixed that all items share.

    Those are its bias and its hidden layers: a change of them would move the vectors of
    all items. What is left are the weights of features.
    """
    fixed = []
    if isinstance(module.item_tower, Tower):
        table = module.item_tower.sparse.weight
        fixed = [p for p in module.item_tower.parameters() if p is not table]
    for parameter in fixed:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in fixed:
            parameter.requires_grad_(True)


def moved_items(before, now, rows, places, touched):
    """Return the positions (m,) of the items whose vectors differ between two modules.

    Parameters
    ----------
    before, now : TwoTower or Blend
    rows : CSR matrix of shape (n, p)
        Feature rows of the items now.
    places : int array of shape (p_before,)
        Positions of the inputs before among those now. Others are new.
    touched : list
        For each pair of towers, which rows (p,) of the item tower's table may have
        changed, or None if that is not known.
    """
    changed = np.ones(rows.shape[1], dtype=bool)
    changed[places] = False
    towers = zip(_item_towers(before), _item_towers(now), touched, strict=True)
    for old, new, known in towers:
        if not _same_layers(old, new):
            return np.arange(rows.shape[0])
        if known is not None:
            changed |= known
        elif isinstance(new, Tower):
            changed |= _changed_rows(old.sparse.weight, new.sparse.weight, places)
    hits = np.flatnonzero(changed[rows.indices])
    return np.unique(np.searchsorted(rows.indptr, hits, side="right") - 1)


def _item_towers(module):
    parts = [module]
    if isinstance(module, Blend):
        parts = module.pairs
    return [part.item_tower for part in parts]


def _same_layers(old, new):
    """Return whether all parameters except the table of a `Tower` are the same."""
    old, new = old.state_dict(), new.state_dict()
    return old.keys() == new.keys() and all(
        name == "sparse.weight" or torch.equal(value, new[name])
        for name, value in old.items()
    )


def _changed_rows(old, new, places):
    """Return which rows (p,) of a table are not those of the one before."""
    changed = np.ones(len(new), dtype=bool)
    with torch.no_grad():
        same = new[torch.as_tensor(places, device=new.device)]
        changed[places] = (same != old.to(new.device)).any(1).cpu().numpy()
    return changed
