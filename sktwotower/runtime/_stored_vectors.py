"""What must hold of a fitted state that computes vectors, and is read from a file.

Input: the fields of a state that were read.
Output: the state, or a ``ValueError`` that says which of them do not fit together.
"""

from sktwotower._records import number, require
from sktwotower._records._reading import column_counts

from ._model_arrays import softmax_sample


class StoredVectors:
    """The part of a fitted state with vectors that makes one of fields of a file.

    It has the fields ``users``, ``items``, ``seen``, ``sequences``, ``catalog``,
    ``fold_in`` and ``context``, a ``model`` of parts, and its ``temperature``.
    """

    @classmethod
    def _of_stored(cls, fold_in, **parts):
        state = cls(fold_in=fold_in, **parts)
        if fold_in is not None:
            fold_in.temperature = state.temperature
            if fold_in.vectors is None:
                fold_in.vectors = vectors_of_softmax(state.seen, state.catalog)
        return state

    def _check_vectors(self, place):
        """Raise unless the model and what it has computed are those of the features."""
        model, (n, d) = self.model, self.catalog.vectors.shape
        require(1 <= n <= self.seen.shape[1], f"{place}.catalog", "the first items")
        ordered, known = self.sequences is not None, self.context is not None
        sees_order = any(part.sees_order for part in model.parts)
        require(ordered == sees_order, f"{place}.sequences", "ordered")
        width = sum(part.width for part in model.parts)
        require(width == d, f"{place}.catalog", f"vectors of {width} numbers")
        require(known == model.sees_context, place, "a context that the model sees")
        widths = {"user": self.users.width, "item": self.items.width}
        widths["context"] = self.context.width if known else 0
        for part in model.parts:
            for side, n_rows in part.table_sizes:
                fits, expected = n_rows == widths[side], f"{widths[side]} {side}"
                require(fits, f"{place}.net.model", f"{expected} features")
        if model.sparse is not None:
            self._check_sparse_parts(f"{place}.net.model.sparse")
        if self.fold_in is not None:
            self._check_fold_in(f"{place}.fold_in")

    def _check_sparse_parts(self, place):
        """Raise unless they are of a model that sees past items, and of these items."""
        sees_past = any(part.sees_past for part in self.model.parts)
        require(sees_past, place, "of a model that sees past items")
        n_items, n_expected = self.model.sparse.n_items, self.seen.shape[1]
        fits = n_items is None or n_items == n_expected
        require(fits, place, f"matrices of {n_expected} items")

    def _check_fold_in(self, place):
        first, fold_in = self.model.first, self.fold_in
        number(above=0)(self.temperature, f"{place}.temperature")
        folds = first.folds_in and self.sequences is None
        require(folds, place, "of vectors that are folded in")
        require(fold_in.vectors is not None, place, "a fold-in with vectors")
        shape = len(fold_in.log_weights), first.width
        require(fold_in.vectors.shape == shape, place, f"vectors of shape {shape}")
        require(len(fold_in.axes) == shape[1], place, f"axes of shape {shape[1]}")


def vectors_of_softmax(seen, catalog):
    """Return the vectors of the items of `softmax_sample`, those with events.

    ``seen``: CSR (n_users, n_items). None if one is not in the ``catalog``.
    """
    places, _ = softmax_sample(column_counts(seen))
    if places.max(initial=-1) >= len(catalog.vectors):
        return None
    return catalog.vectors[places]
