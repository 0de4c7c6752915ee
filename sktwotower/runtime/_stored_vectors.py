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
        model = self.model
        n_items = self.seen.shape[1]
        n_vectors, n_numbers = self.catalog.vectors.shape
        require(1 <= n_vectors <= n_items, f"{place}.catalog", "the first items")
        is_ordered = self.sequences is not None
        sees_order = any(part.sees_order for part in model.parts)
        require(is_ordered == sees_order, f"{place}.sequences", "ordered")
        width = sum(part.width for part in model.parts)
        require(width == n_numbers, f"{place}.catalog", f"vectors of {width} numbers")
        is_known = self.context is not None
        require(is_known == model.sees_context, place, "a context that the model sees")

        # tables have a row for each feature
        widths = {"user": self.users.width, "item": self.items.width, "context": 0}
        if is_known:
            widths["context"] = self.context.width
        for part in model.parts:
            for side, n_rows in part.table_sizes:
                expected = f"{widths[side]} {side} features"
                require(n_rows == widths[side], f"{place}.net.model", expected)

        # sparse parts are of a model that sees past items, and of these items
        if model.sparse is not None:
            of_parts = f"{place}.net.model.sparse"
            sees_past = any(part.sees_past for part in model.parts)
            require(sees_past, of_parts, "of a model that sees past items")
            fits = model.sparse.n_items in (None, n_items)
            require(fits, of_parts, f"matrices of {n_items} items")

        if self.fold_in is not None:
            place = f"{place}.fold_in"
            fold_in = self.fold_in
            number(above=0)(self.temperature, f"{place}.temperature")
            folds = model.first.folds_in and not is_ordered
            require(folds, place, "of vectors that are folded in")
            require(fold_in.vectors is not None, place, "a fold-in with vectors")
            shape = len(fold_in.log_weights), model.first.width
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
