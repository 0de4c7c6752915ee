"""Which item vectors a model has, as a short text, and vectors that carry it.

Input: ids (n_items,) and vectors (n_items, d) of a catalog.
Output: a text of 16 hexadecimal digits; vectors with an attribute.
"""

import hashlib

import numpy as np


def model_id_of(ids, vectors, turn=None):
    """Return the id of vectors (n_items, d) in the order of ids (n_items,).

    ``turn``: a matrix (d, m) that the vectors are multiplied by; None: by nothing.
    """
    digest = hashlib.sha256()
    # all ids at once: a text of each takes a second for 200,000 of them
    texts = repr((vectors.shape, np.asarray(ids).tolist()))
    digest.update(texts.encode("utf-8", "backslashreplace"))
    digest.update(np.ascontiguousarray(vectors, dtype="<f4").data)
    if turn is not None:
        digest.update(np.ascontiguousarray(turn, dtype="<f8").data)
    return digest.hexdigest()[:16]


class ModelVectors(np.ndarray):
    """Vectors (n, d) or (d,) with the attribute ``model_id``, that of their model.

    Parts and copies have it as well. What is computed of them is a plain array.
    """

    model_id = None

    def __array_finalize__(self, source):
        self.model_id = getattr(source, "model_id", None)

    def __array_wrap__(self, array, context=None, return_scalar=False):
        """Return what numpy has computed, without the id."""
        plain = np.asarray(array)
        return plain[()] if return_scalar else plain

    def __repr__(self):
        return repr(np.asarray(self))

    def __reduce__(self):
        rebuild, arguments, state = super().__reduce__()
        return rebuild, arguments, (*state, self.model_id)

    def __setstate__(self, state):
        *of_array, self.model_id = state
        super().__setstate__(tuple(of_array))


def with_model_id(vectors, model_id):
    """Return the same vectors, as an array with the attribute ``model_id``."""
    marked = vectors.view(ModelVectors)
    marked.model_id = model_id
    return marked


def check_model_id(X, model_id) -> None:
    """Raise unless query vectors belong to the model whose items an index holds.

    For programs that search in an index of their own: vectors of users find the right
    items only among the item vectors of the same model.

    Parameters
    ----------
    X : array of shape (n, d)
        Query vectors. Those of `TwoTowerRecommender.embed_users` have an attribute
        ``model_id``; arrays without it are not checked.
    model_id : str or None
        The id of the item vectors, ``model_id`` of `TwoTowerRecommender.embed_items`
        or of a file of `io.export_vectors`. None: it is not known, and nothing is
        checked.

    Raises
    ------
    ValueError
        If the ids differ. ``numpy.asarray(X)`` has none, and is searched as it is.

    Examples
    --------
    >>> from sktwotower import TwoTowerRecommender
    >>> from sktwotower.neighbors import check_model_id
    >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["cid", "glue"]]
    >>> model = TwoTowerRecommender(max_epochs=1, random_state=0).fit(X)
    >>> index_id = model.embed_items(model.item_ids_).model_id
    >>> check_model_id(model.embed_users(["ann"]), index_id)
    >>> newer = TwoTowerRecommender(max_epochs=1, random_state=1).fit(X)
    >>> try:
    ...     check_model_id(newer.embed_users(["ann"]), index_id)
    ... except ValueError as error:
    ...     print(str(error)[:45])
    X has vectors of the model with the model_id_
    """
    of_queries = getattr(X, "model_id", None)
    if of_queries is None or model_id is None or of_queries == str(model_id):
        return
    raise ValueError(
        f"X has vectors of the model with the model_id_ {of_queries!r}, but the index "
        f"holds item vectors of {str(model_id)!r}: items would be found at random. "
        "Build the index from the item vectors of the same model, or update it by "
        "changed_items_since. If both are comparable, as after align_to, search for "
        "numpy.asarray(X), which has no id."
    )
