"""Which item vectors have changed since earlier states, and how old ones stay in use.

Input: a fitted state, and an earlier one or an older model.
Output: ids of changed items (m,); a state whose vectors are turned to older ones.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Annotated, NamedTuple, Self

import numpy as np
import pandas as pd

from sktwotower._records import array, frozen, instance, integer, list_of, require
from sktwotower._tables._messages import format_ids, imported, shorten
from sktwotower.neighbors._threads import threads
from sktwotower.neighbors._top_k import top_k
from sktwotower.retrieval._fitted_state import Serving, fitted_of
from sktwotower.retrieval._requests import Query
from sktwotower.runtime._alignment import check_turn, turned

# Earlier states that a model knows: those of a month of nights.
MAX_VERSIONS = 30
# Rows of vectors that are compared at once.
BLOCK = 65536
# Lists that say how comparable two models are: their length, and of how many users.
LIST_LENGTH = 10
MAX_USERS = 500
# What may be aligned to.
EXPECTED = (
    "a fitted TwoTowerRecommender, what runtime.load returns, or the path of a file of "
    "io.export_vectors that ends with .npz or .parquet"
)


@frozen
class Versions:
    """Earlier states of a model, oldest first.

    Parameters
    ----------
    ids : list of str
        ``model_id_`` of each.
    moves : float32 array of shape (n_versions, n_items)
        By which distance at most the vector of each item has moved since; infinite for
        items that were not in the catalog.
    """

    ids: Annotated[list, list_of(instance(str), "n_versions")]
    moves: array("float32", "n_versions n_items", least=0)


@frozen
class Alignment:
    """How vectors are turned to those of an older model.

    Parameters
    ----------
    model_id : str
        That of the older model.
    turn : float64 array of shape (d, m)
        What vectors are multiplied by.
    n_common : int
        Number of items of both models.
    figures : float64 array of shape (2, n_figures)
        How comparable vectors are, before and after; nan: not known.
    """

    model_id: str
    turn: array("float64", "d m", is_finite=True)
    n_common: integer(1)
    figures: array("float64", "2 n_figures")

    def _check_stored(self, place):
        check_turn(self.turn, place)
        fits = self.figures.shape[1] == len(FIGURES)
        require(fits, f"{place}.figures", f"{len(FIGURES)} figures")

    @property
    def report(self):
        """The figures as a DataFrame."""
        return pd.DataFrame(self.figures, index=["before", "after"], columns=FIGURES)


FIGURES = "cosine", "lowest_tenth", "overlap_old_items", "overlap_old_users"


class VersionsMixin:
    """Methods ``changed_items_since`` and ``align_to``.

    The estimator keeps its fitted state as ``_fitted``, a value of `FittedTowers`.
    """

    def changed_items_since(self, model_id, *, tolerance=0.0) -> np.ndarray:
        """Return the items whose vectors are others than those of an earlier state.

        So an index is updated, and not built again: put the vectors of these items into
        it, and take out those that ``item_ids_`` no longer has.

        Parameters
        ----------
        model_id : str
            ``model_id_`` of the state that the index was built from. Known are those
            before the latest 30 calls of `partial_fit`, `set_catalog` and
            `forget_items` since `fit`, also in files, and the one of `align_to`.
        tolerance : float, default=0.0
            Leave out items whose vectors have moved by at most this distance, >= 0: the
            scores of vectors of unit length are then off by at most as much. It counts
            from the state of ``model_id`` on, so ask for the same id each night.

        Returns
        -------
        ndarray of shape (m,)
            Ids of items of the catalog, in the order of ``item_ids_``, with those that
            are new in it. Empty if ``model_id`` is that of now.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If the id is not known, or ``tolerance`` < 0.
        TypeError
            If ``tolerance`` is not a number.

        See Also
        --------
        sktwotower.neighbors.check_model_id : Refuses vectors of another model.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["cid", "nails"], ["cid", "glue"], ["dan", "nails"], ["dan", "paint"]]
        >>> model = TwoTowerRecommender(random_state=1).fit(X)
        >>> in_index = model.model_id_
        >>> model = model.partial_fit([["eve", "rusks"], ["eve", "tea"]])
        >>> "rusks" in model.changed_items_since(in_index, tolerance=0.05)
        True
        >>> model.changed_items_since(model.model_id_)
        array([], dtype=object)
        """
        fitted = fitted_of(self)
        if isinstance(tolerance, bool) or not isinstance(tolerance, Real):
            raise TypeError(f"tolerance must be a number >= 0. Got {tolerance!r}.")
        if not tolerance >= 0:
            raise ValueError(f"tolerance must be a number >= 0. Got {tolerance!r}.")
        if model_id == fitted.model_id:
            return fitted.item_ids[:0]
        known = []
        if fitted.versions is not None:
            known = fitted.versions.ids
        if model_id not in known:
            raise ValueError(
                f"The model_id {model_id!r} is not known: it is none of the latest "
                f"{MAX_VERSIONS} states since fit, or was changed when a file was "
                f"written. Known are {[*known, fitted.model_id]}. Build the index anew "
                "from item_embeddings_ of all items."
            )
        moves = fitted.versions.moves[known.index(model_id)]
        return fitted.item_ids[moves > tolerance]

    def align_to(self, older) -> Self:
        r"""Turn the vectors of a new fit so that those of an older model stay in use.

        Each fit finds axes of its own, so that vectors of two fits have nothing to do
        with each other. This multiplies all vectors, of users and items, by one
        orthogonal matrix. It brings those of items of both models as close together as
        any such matrix can. Scores and lists stay exactly as they are.

        From then on `embed_users`, `embed_items`, `transform`, ``item_embeddings_``,
        exported vectors and ONNX files, and `sktwotower.runtime` give turned vectors,
        also after `partial_fit` and in files. A new `fit` is not aligned.

        Parameters
        ----------
        older : TwoTowerRecommender, Runtime, str or path-like
            A fitted model, which may be aligned itself, what `sktwotower.runtime.load`
            returns, or the path of a file of items that `sktwotower.io.export_vectors`
            has written.

        Returns
        -------
        self : TwoTowerRecommender
            The estimator. ``alignment_`` says how comparable both models are. A call
            that fails leaves it as it was.

        Raises
        ------
        NotFittedError
            If fit has not been called, here or of ``older``.
        ValueError
            If there are fewer common items than vectors have numbers, older vectors are
            shorter, or a file has no vectors.
        TypeError
            If ``older`` is neither a model nor a path.

        Notes
        -----
        With the vectors V of the common items, one a row, and those O of the older
        model, the matrix is the orthogonal Q that minimizes

        .. math:: \lVert V Q - O \rVert_F

        which is :math:`U W^T` of the singular vectors of :math:`V^T O = U S W^T`, as in
        `scipy.linalg.orthogonal_procrustes`. The index ``neighbors_`` holds the vectors
        as they were before.

        ``model_id_`` is another one than before, as vectors are others. So an index
        refuses vectors of users of the older model, until ``numpy.asarray`` takes their
        id off.

        References
        ----------
        Schönemann, A generalized solution of the orthogonal Procrustes problem,
        Psychometrika 1966.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> X = make_interactions(n_users=200, n_items=60, random_state=0).data
        >>> params = {"embedding_dim": 8, "max_epochs": 5, "sparse_parts": None}
        >>> older = TwoTowerRecommender(**params, random_state=0).fit(X[:-200])
        >>> model = TwoTowerRecommender(**params, random_state=1).fit(X)
        >>> model.align_to(older).aligned_to_ == older.model_id_
        True
        >>> bool(model.alignment_.loc["after", "cosine"] > 0.8)
        True
        """
        fitted = fitted_of(self)
        older = older_vectors(older)
        vectors = np.asarray(fitted.catalog.vectors)
        codes = older.ids.get_indexer(pd.Index(fitted.item_ids))
        common = np.flatnonzero(codes >= 0)
        _check_common(fitted, older, common)
        with threads(self.n_jobs):
            new = vectors[common]
            old = older.vectors[codes[common]]
            turn = _orthogonal(new, old)
            figures = np.full((2, len(FIGURES)), np.nan)
            before = _cosines(new, old)
            after = _cosines(turned(new, turn), old)
            figures[:, :2] = [before, after]
            figures[:, 2:] = _overlaps(fitted, older, new, old, turn).T
            moves = _distances(older.vectors, turned(vectors, turn), codes)
        alignment = Alignment(older.model_id, turn, len(common), figures)
        versions = Versions([older.model_id], moves[None])
        self._fitted = replace(fitted, alignment=alignment, versions=versions)
        return self


def with_versions(before, after):
    """Return the state ``after`` with what has become of vectors since ``before``."""
    n_before = before.n_items
    ids = after.items.ids[: after.n_items]
    known = before.items.ids[:n_before]
    is_longer = len(ids) >= n_before and ids[:n_before].equals(known)
    if is_longer:
        codes = np.arange(len(ids))
        codes[n_before:] = -1  # new items
    else:
        codes = known.get_indexer(ids)
    step = _distances(before.catalog.vectors, after.catalog.vectors, codes)
    is_same = is_longer and len(ids) == n_before and not step.any()
    if is_same:
        return replace(after, versions=before.versions)
    earlier_ids = []
    moves = step[None]
    if before.versions is not None:
        kept = slice(1 - MAX_VERSIONS, None)
        earlier_ids = before.versions.ids[kept]
        earlier_moves = before.versions.moves[kept][:, codes]
        moves = np.vstack([earlier_moves + step, step])
    moves[:, codes < 0] = np.inf
    return replace(after, versions=Versions([*earlier_ids, before.model_id], moves))


def _distances(before, after, codes):
    """Return distances (n,) of vectors from those before at ``codes`` (n,).

    They are float32, rounded up; infinite for new items, those with a code of -1.
    """
    distances = np.zeros(len(codes), dtype=np.float32)
    for start in range(0, len(codes), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(codes)))
        old = before[codes[rows]]
        # a further event moves few items
        moved = np.flatnonzero((after[rows] != old).any(axis=1))
        differences = after[rows[moved]].astype(np.float64) - old[moved]
        distances[rows[moved]] = np.linalg.norm(differences, axis=1)
    has_moved = distances > 0
    distances[has_moved] = np.nextafter(distances[has_moved], np.float32(np.inf))
    distances[codes < 0] = np.inf
    return distances


def _check_common(fitted, older, common):
    """Raise ``ValueError`` unless vectors of common items determine a matrix."""
    d = fitted.catalog.vectors.shape[1]
    d_older = older.vectors.shape[1]
    if d_older < d:
        raise ValueError(
            "align_to needs vectors as long as those of the older model: they have "
            f"{d} numbers here and {d_older} there. Fit with the same parameters, such "
            "as embedding_dim, on like events."
        )
    if len(common) < d:
        raise ValueError(
            "align_to needs at least as many common items as vectors have numbers, "
            f"{d}. Got {len(common)} of {fitted.n_items} items here, such as "
            f"{format_ids(fitted.item_ids, 3)}, and {len(older.ids)} there, such as "
            f"{format_ids(older.ids, 3)}. Fit both on the same catalog, or with a "
            "lower embedding_dim."
        )


def _orthogonal(new, old):
    """Return the matrix (d, m) that turns vectors (n, d) closest to others (n, m)."""
    products = np.zeros((new.shape[1], old.shape[1]))
    for start in range(0, len(new), BLOCK):
        block = slice(start, start + BLOCK)
        new_block = new[block].astype(np.float64)
        old_block = old[block].astype(np.float64)
        products += new_block.T @ old_block
    left, _, right = np.linalg.svd(products, full_matrices=False)
    return left @ right


def _cosines(new, old):
    """Return the mean of the cosines of vectors of n items, and the lowest tenth."""
    lengths = np.linalg.norm(new, axis=1) * np.linalg.norm(old, axis=1)
    width = min(new.shape[1], old.shape[1])  # what the shorter ones lack is 0
    new = new[:, :width]
    old = old[:, :width]
    products = np.einsum("nd,nd->n", new, old, dtype=np.float64)
    cosines = products / np.maximum(lengths, 1e-12)
    return cosines.mean(), np.quantile(cosines, 0.1)


def _overlaps(fitted, older, new, old, turn):
    """Return how much of lists is the same if one side is old.

    Rows: old items, old users. Columns: before and after the vectors are turned. Rows
    that are not known are nan. Lists are of the common items with vectors ``new`` and
    ``old`` (n, d).
    """
    overlaps = np.full((2, 2), np.nan)
    user_ids = fitted.user_ids
    codes = np.arange(len(user_ids))
    if older.user_ids is not None:
        codes = np.flatnonzero(np.isin(pd.Index(user_ids), pd.Index(older.user_ids)))
    if len(codes) == 0:
        return overlaps
    rng = np.random.default_rng(0)
    n_users = min(len(codes), MAX_USERS)
    codes = np.sort(rng.choice(codes, n_users, replace=False))
    query = Query(user_ids[codes], codes, fitted.users.rows[codes])
    users = fitted.without_context(query, fitted.past(query), Serving(fold_in=False))
    lists = _lists(users, new)
    if new.shape[1] == old.shape[1]:
        overlaps[0, 0] = _overlap(lists, _lists(users, old))
    overlaps[0, 1] = _overlap(lists, _lists(turned(users, turn), old))
    if older.embed is not None:
        old_users = np.asarray(older.embed(user_ids[codes].tolist()))
        for column, items in enumerate([new, turned(new, turn)]):
            if items.shape[1] == old_users.shape[1]:
                overlaps[1, column] = _overlap(lists, _lists(old_users, items))
    return overlaps


def _lists(users, items):
    """Return positions (n, k) of the best items of users, by vectors of both."""
    k = min(LIST_LENGTH, len(items))
    _, positions = top_k(users, items, k)
    return positions


def _overlap(lists, others):
    """Return the mean share of items (n, k) that are in both lists."""
    is_same = lists[:, :, None] == others[:, None, :]
    is_in_both = is_same.any(axis=2)
    return is_in_both.mean()


class OlderVectors(NamedTuple):
    """The item vectors of an older model.

    ``embed``: maps a list of known users to vectors (m, d); None: they are not known.
    """

    ids: pd.Index
    vectors: np.ndarray
    model_id: str
    user_ids: np.ndarray | None = None
    embed: Callable | None = None


def older_vectors(older):
    """Return the `OlderVectors` of the argument of `align_to`."""
    if isinstance(older, str | Path):
        path = Path(older)
        ending = path.suffix.lower()
        if ending not in (".npz", ".parquet"):
            raise ValueError(
                f"older must be {EXPECTED}. Got {str(path)!r}: read the file of a "
                "model with io.load first."
            )
        read = _read_numpy
        if ending == ".parquet":
            read = _read_parquet
        ids, vectors, scales, model_id = read(path)
        vectors = vectors.astype(np.float32)
        if scales is not None:
            vectors *= scales[:, None]
        return OlderVectors(pd.Index(ids), vectors, model_id)
    if hasattr(older, "embed_items"):
        fitted_of(older)  # raises if it is not fitted
        embed = older.embed_users
    elif hasattr(older, "embed"):
        embed = older.embed
    else:
        raise TypeError(f"older must be {EXPECTED}. Got {shorten(older)}.")
    vectors = np.asarray(older.item_embeddings_)
    ids = pd.Index(older.item_ids_)
    return OlderVectors(ids, vectors, older.model_id_, older.user_ids_, embed)


def _read_numpy(path):
    """Return ids (n,), vectors (n, d), scales (n,) or None, and the id of the model."""
    with np.load(path, allow_pickle=False) as file:
        missing = {"ids", "vectors", "model_id"} - set(file.files)
        if missing:
            raise _without(path, missing)
        ids = file["ids"]
        if ids.dtype.kind == "U":
            ids = ids.astype(object)
        scales = None
        if "scales" in file.files:
            scales = file["scales"]
        return ids, file["vectors"], scales, str(file["model_id"])


def _read_parquet(path):
    """Return what `_read_numpy` does, of a Parquet file."""
    message = "Parquet needs pyarrow: pip install 'sktwotower[parquet]'."
    table = imported("pyarrow.parquet", message).read_table(path)
    model_id = (table.schema.metadata or {}).get(b"model_id")
    if model_id is None or "vector" not in table.column_names[1:]:
        raise _without(path, {"vector", "model_id"})
    ids = table.column(0).to_pandas().to_numpy()
    vectors = table["vector"].combine_chunks()
    vectors = vectors.values.to_numpy().reshape(len(ids), -1)
    scales = None
    if "scale" in table.column_names:
        scales = table["scale"].to_numpy()
    return ids, vectors, scales, model_id.decode()


def _without(path, missing):
    """Return the error of a file that lacks some of what `export_vectors` writes."""
    names = json.dumps(sorted(missing))
    return ValueError(f"{str(path)!r} is no file of io.export_vectors: no {names}.")
