"""Towers in the format of ONNX, for programs without Python or torch.

Input: a fitted `TwoTowerRecommender`.
Output: an ONNX file that maps feature rows, as CSR, to vectors (n, d).
"""

import numpy as np

from sktwotower import __version__
from sktwotower._records._atomic import replaced_file
from sktwotower.retrieval._fitted_state import fitted_of

from ._onnx_graph import Graph
from ._onnx_rows import OnnxPast, OnnxRows


def export_onnx(model, path, *, side="item") -> None:
    """Write the tower of items or users to an ONNX file.

    The file computes the vectors of `TwoTowerRecommender.embed_items` or
    ``embed_users`` from feature rows, to 1e-6. It leaves out what sparse parts of the
    model add to scores: fit with ``sparse_parts=None`` if no part may be lost. Making
    feature rows of a table is left to the transformers of the model, and the factor
    ``cold_item_weight_`` of items that nobody has chosen to the caller.

    Parameters
    ----------
    model : TwoTowerRecommender
        A fitted model with the towers of this package.
    path : str or path-like
        The file; an old one is replaced.
    side : {"item", "user"}, default="item"
        Which tower. With ``time`` a model may have two pairs of towers: the vectors of
        both stand one after the other, as in the model.

    Raises
    ------
    NotFittedError
        If fit has not been called.
    TypeError
        If the model has no towers, as baselines, or a tower is a module of your own.
    ValueError
        If ``side`` is another word, or the towers do not fit into 2 GiB.
    ImportError
        If onnx is not installed: ``pip install 'sktwotower[onnx]'``.
    OSError
        If the file cannot be written.

    See Also
    --------
    export_vectors : The vectors of known users and items, with their ids.

    Notes
    -----
    The output is ``vectors`` (n, d), float32. All sizes may change from call to call.
    The inputs are the three arrays of a CSR matrix of n feature rows, the output of
    ``item_transformer_`` or ``user_transformer_``:

    ========================= ======= ================================================
    ``indices`` (n_values,)   int64   column of each value
    ``offsets`` (n + 1,)      int64   start of each row, and the number of values
    ``values`` (n_values,)    float32 the values
    ========================= ======= ================================================

    A user tower that sees past items (``history_kind_`` is not None) has two more, and
    a third if it sees their order ("recent"):

    =============================== ======= ==========================================
    ``history`` (n_past,)           int64   positions of past items in ``item_ids_``,
                                            user by user, oldest first
    ``history_offsets`` (n + 1,)    int64   start of each user's past items
    ``lags`` (n_past,)              float32 1 for a user's latest basket, 2 for the
                                            one before, and so on
    =============================== ======= ==========================================

    A user tower of a model with ``context`` has three more, the arrays of a CSR matrix
    of n feature rows of contexts. An empty row is an unknown context:

    ============================== ======= ===========================================
    ``context_indices`` (n_cells,) int64   column of each value
    ``context_offsets`` (n + 1,)   int64   start of each row, and the number of values
    ``context_values`` (n_cells,)  float32 the values
    ============================== ======= ===========================================

    The rows are the output of ``context_transformer_``. If ``time`` is one of the
    context and holds dates, 43 columns follow, of which three have the value 0.5: the
    column of the hour (0 to 23), 24 + weekday (Monday is 0) and 30 + month (1 to 12),
    all in UTC. The last columns are those of the time since the last event, of a model
    with a recent history. Without a value there, it is unknown. Parts have the weights
    of now, also for a time long before the latest event.

    Pass all past events of a user, also if they are more than ``max_length``: the file
    takes the last ones of the order that you pass, and a second part of the model may
    see all. So that these are the events that the model takes, those at equal times
    must be in the order of ``item_ids_`` (as it was after fit), and an item must not
    occur twice at one time.

    What ``sparse_parts`` add to a score is no product of vectors, and not part of the
    file: fit with ``sparse_parts=None`` so that nothing is missing.

    The features of past items are part of the file: after `partial_fit` or
    ``set_catalog`` export again. ``fold_in``, which improves the vectors of users
    without events in fit, is not part of it. Indices out of range are an error of the
    runtime.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import onnxruntime
    >>> import pandas as pd
    >>> from sktwotower import TwoTowerRecommender, io
    >>> X = pd.DataFrame({"user": ["ann", "bob"], "item": ["tea", "glue"]})
    >>> model = TwoTowerRecommender(embedding_dim=3, max_epochs=3, random_state=0)
    >>> model = model.fit(X)
    >>> path = Path(tempfile.mkdtemp()) / "items.onnx"
    >>> io.export_onnx(model, path)
    >>> products = pd.DataFrame({"item": ["tea", "glue"]})
    >>> rows = model.item_transformer_.transform(products)
    >>> session = onnxruntime.InferenceSession(path)
    >>> (vectors,) = session.run(None, {
    ...     "indices": rows.indices.astype(np.int64),
    ...     "offsets": rows.indptr.astype(np.int64),
    ...     "values": rows.data.astype(np.float32),
    ... })
    >>> vectors.round(2)
    array([[ 0.48,  0.26, -0.84],
           [-0.49,  0.34, -0.8 ]], dtype=float32)
    >>> model.embed_items(["tea", "glue"]).round(2)
    array([[ 0.48,  0.26, -0.84],
           [-0.49,  0.34, -0.8 ]], dtype=float32)
    """
    if side not in ("item", "user"):
        raise ValueError(f"side must be 'item' or 'user'. Got {side!r}.")
    fitted = fitted_of(model)
    if not hasattr(model, "embed_users"):
        raise TypeError(f"{type(model).__name__} has no towers.")
    graph = Graph()
    rows = OnnxRows(graph)
    arrays = fitted.model.arrays()
    if side == "item":
        vectors = arrays.of_item(rows)
    else:
        # The inputs are declared in this order, which callers see.
        past = None
        if fitted.model.sees_past:
            item_rows = fitted.items.rows[:-1]
            past = OnnxPast(rows, item_rows, has_lags=fitted.model.sees_order)
        context = None
        if fitted.model.sees_context:
            context = OnnxRows(graph, "context_")
        vectors = arrays.of_user(rows, past, context)
    n_columns = fitted.catalog.vectors.shape[1]
    if fitted.alignment is not None:
        turn = fitted.alignment.turn
        vectors = (vectors.astype(np.float64) @ turn).astype(np.float32)
        n_columns = turn.shape[1]
    about = {"sktwotower": __version__, "side": side}
    with replaced_file(path) as file:
        file.write(graph.finish(vectors, n_columns, f"{side}_tower", about))
