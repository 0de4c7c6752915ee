"""A model: a list of parts, whose vectors stand one after the other.

Input: parts, with their shares in the score.
Output: vectors (n, d) of users and items.
"""

import copy
from dataclasses import replace

import numpy as np
import torch
from scipy.sparse import csr_matrix

from sktwotower._records import Check, array, instance, list_of, number, record, require
from sktwotower.runtime._model_arrays import JoinedParts, ModelArrays
from sktwotower.towers.histories import NoHistory, OwnLayer
from sktwotower.towers.sparse_parts import SparseParts

from ._given_tower import GivenTower
from ._part import Part

# A part never fades to nothing.
MIN_FADE = 1e-6


def _is_part(value, place):
    """Raise unless a value is a part of a model."""
    require(isinstance(value, Part), place, "a part of a model")


@record
class Model(JoinedParts, torch.nn.Module):
    r"""Parts whose scores are added.

    Parameters
    ----------
    parts : list of Part
    shares : list of float
        Share of each part in the score, >= 0; they add up to 1.
    fades : list of float, default=None
        Factor of what each part says of users, in (0, 1]. None: 1 for all.
    by_past : array of shape (n_knots, n_parts), default=None
        Further factors, for users with the numbers of past items in ``KNOTS``; of other
        numbers they are interpolated. None: 1 for all.
    sparse : SparseParts, default=None
        Parts without vectors. None: there are none.
    long_before : array of shape (n_knots, n_parts + n_sparse), default=None
        What holds in the place of ``by_past``, and of the weights of sparse parts, for
        requests long before now. None: the same as now.

    Attributes
    ----------
    sees_past : bool
        Whether past items of users are an input of any part.
    sees_order : bool
        Whether any part sees their order.
    history : History
        How users' past items are seen, by a part that sees their order if there is one.
    max_history : int or None
        Number of latest past items that any part sees; None: all.
    normalize : bool
        Whether vectors are of unit length.

    Notes
    -----
    With the share :math:`s_k` of part k and its vectors :math:`u_k` and :math:`v_k`,
    the vector of an item consists of all :math:`\sqrt{s_k} \, v_k`, that of a user of
    all :math:`f_k b_k \sqrt{s_k} \, u_k`, divided by the length that they have for unit
    vectors. So the dot product of two vectors is in proportion to the sum of all
    :math:`f_k b_k s_k` times the score of part k. The factors :math:`f_k` of ``fades``
    and :math:`b_k` of ``by_past`` leave the vectors of items as they are. What
    ``sparse`` parts add to a score is divided by the same length.
    """

    # What files hold of it
    parts: list_of(Check(_is_part), "n_parts")
    shares: list_of(number(0), "n_parts")
    fades: list_of(number(0), "n_parts")
    by_past: array("float64", "n_knots n_parts", is_finite=True) | None
    sparse: instance(SparseParts) | None
    long_before: array("float64", "n_knots n_weights", is_finite=True) | None

    _older_formats = ModelArrays._older_formats

    def __init__(
        self, parts, shares, fades=None, by_past=None, sparse=None, long_before=None
    ):
        super().__init__()
        self.parts = torch.nn.ModuleList(parts)
        self.shares = list(shares)
        self.fades = [1.0] * len(self.shares)
        if fades is not None:
            self.fades = list(fades)
        self.by_past = by_past
        self.sparse = sparse
        self.long_before = long_before
        seeing = [part for part in self.parts if part.sees_past]
        self.sees_past = len(seeing) > 0
        self.sees_order = any(part.sees_order for part in seeing)
        self.history = NoHistory()
        for part in seeing:
            if part.sees_order == self.sees_order:
                self.history = part.history.made_by
                break
        limits = [part.max_history for part in seeing]
        self.max_history = None
        if None not in limits:
            self.max_history = max(limits, default=None)
        self.normalize = self.parts[0].normalize

    def _stored_parts(self):
        """Return what files hold of it, by name: what it is made of."""
        return {
            "parts": list(self.parts),
            "shares": self.shares,
            "fades": self.fades,
            "by_past": self.by_past,
            "sparse": self.sparse,
            "long_before": self.long_before,
        }

    @classmethod
    def _of_stored(cls, parts, shares, **weights):
        require(len(parts), "the parts of a model", "at least one")
        return cls(parts, shares, **weights).eval()

    def _check_stored(self, place):
        is_trained = len(self.parts) > 0 and self.first.is_trained
        require(is_trained, place, "a trained part first")
        self._check_weights(place)
        kinds = {part.normalize for part in self.parts}
        require(len(kinds) == 1, place, "vectors of one kind")

    def forward(self, batch):
        """Return user vectors (b, d) and candidate item vectors (c, d) of a batch.

        So a model of one part can be trained further by skorch.
        """
        (part,) = self.parts
        return part(batch)

    @property
    def tables(self):
        """The side of each table, "user" or "item", by the name of the layer."""
        tables = {}
        for k, part in enumerate(self.parts):
            for name, side in part.tables.items():
                tables[f"parts.{k}.{name}"] = side
        return tables

    def embed_items(self, rows):
        """Map feature rows (n, q) of items to vectors (n, d)."""
        vectors = [part.embed_items(rows) for part in self.parts]
        return _joined(vectors, self.scales_of_items)

    def embed_users(self, users):
        """Map ``Users`` to vectors (n, d)."""
        vectors = [part.embed_users(users) for part in self.parts]
        n_past = np.zeros(len(users.rows), dtype=np.int64)
        if users.past is not None:
            n_past = np.diff(users.past.indptr)
        scales = torch.from_numpy(self.scales_of(n_past)).to(vectors[0].device)
        return _joined(vectors, scales.T[..., None])

    def in_context(self, users, rows):
        """Map vectors (n, d) of users to those of requests.

        ``rows``: feature rows (n, p) of their contexts, ``SparseRows``.
        """
        widths = [part.width for part in self.parts]
        vectors = []
        for k, vector in enumerate(users.split(widths, 1)):
            part = self.parts[k]
            if part.context is not None:
                if self.by_past is None:
                    scale = self.scales_of_users[0, k]
                else:  # weights are learnt only of parts that give vectors of length 1
                    scale = vector.norm(dim=1, keepdim=True)
                unscaled = vector / (scale + (scale == 0))  # zeros stay zeros
                vector = part.in_context(unscaled, rows) * scale
            vectors.append(vector)
        return torch.cat(vectors, 1)

    @property
    def is_plain(self):
        """Whether its `arrays` answer for one user, in a fifth of the time of torch."""
        if any(isinstance(module, GivenTower | OwnLayer) for module in self.modules()):
            return False
        types = {(weight.device.type, weight.dtype) for weight in self.parameters()}
        return types <= {("cpu", torch.float32)}

    def arrays(self):
        """Return the ``ModelArrays`` of the same weights."""
        parts = [part.arrays() for part in self.parts]
        return ModelArrays(
            parts, self.shares, self.fades, self.by_past, self.sparse, self.long_before
        )

    def contributions(self, pair):
        """Return what each input of a ``Pair`` adds to the score, `Contributions`."""
        n_past = np.array([len(pair.past.last)])
        changes = np.ones((1, len(self.parts)))
        if pair.long_before is not None:
            changes = self.as_asked(n_past, pair.long_before)
        scales_of_user = self.scales_of(n_past)[0]
        total = None
        for k, part in enumerate(self.parts):
            vector = None
            if k == 0 and pair.user_vector is not None and scales_of_user[0]:
                # others than the first are not folded in
                vector = pair.user_vector[: self.first.width] / scales_of_user[0]
            of_part = part.contributions(pair._replace(user_vector=vector))
            scale = scales_of_user[k] * changes[0, k]
            of_part = of_part.times(scale * self.scales_of_items[k])
            if total is None:
                total = of_part
            else:
                total = total.plus(of_part)
        return total

    def has_kinds_of(self, parts):
        """Return whether each of its parts has one of its kind among ``parts``."""
        return set(map(_kind, self.parts)) <= set(map(_kind, parts))

    def with_parts(self, parts):
        """Return a model of those ``parts`` of its kinds, with the same weights."""
        by_kind = {_kind(part): part for part in parts}
        parts = [by_kind[_kind(part)] for part in self.parts]
        return self._changed(parts=parts)

    def _changed(self, **changed):
        """Return the same model with other fields, ready to be asked."""
        return Model(**self._stored_parts() | changed).eval()

    @property
    def weights(self):
        """How much each part counts, (n_knots, n_parts): see ``by_past``.

        Sparse parts come last. They are in proportion to the factors of scores.
        """
        weights = np.array(self.fades) * self.shares * self.by_past
        if self.sparse is None:
            return weights
        return np.hstack([weights, self.sparse.weights])

    def with_weights(self, weights):
        """Return the same model with other `weights`; vectors of items are the same."""
        n_parts = len(self.parts)
        by_past = weights[:, :n_parts] / (np.array(self.fades) * self.shares)
        sparse = self.sparse
        if sparse is not None:
            sparse = replace(sparse, weights=weights[:, n_parts:])
        return self._changed(by_past=by_past, sparse=sparse)

    def after(self, parts, share_of_new):
        """Return a model of parts that have learnt further events.

        ``share_of_new``: number of the events, relative to that of those before.
        """
        fades = []
        for fade, part in zip(self.fades, self.parts, strict=True):
            fades.append(max(fade / part.fading(share_of_new), MIN_FADE))
        return self._changed(parts=parts, fades=fades)

    def with_sparse(self, sparse):
        """Return the same model with other ``SparseParts``, or None."""
        return self._changed(sparse=sparse)

    def added(self, past, n_items, long_before=None):
        """Return what sparse parts add to the scores of n users, or None.

        ``past``: CSR (n, at least n_items), lags if it `sees_order`, else ones.
        ``long_before`` (n,): how much of the answer is that of long before now. The
        result is an array or a CSR matrix (n, n_items).
        """
        if self.sparse is None:
            return None
        weights = self.sparse_weights(np.diff(past.indptr), long_before)
        return self.sparse.added(past, self.sees_order, weights, n_items)

    def sparse_user_vectors(self, past, long_before=None):
        """Return sparse vectors of n users, CSR; see `SparseParts.user_vectors`.

        The parameters are those of `added`. Without sparse parts they have no columns.
        """
        if self.sparse is None:
            return csr_matrix((past.shape[0], 0), dtype=np.float32)
        weights = self.sparse_weights(np.diff(past.indptr), long_before)
        return self.sparse.user_vectors(past, self.sees_order, weights)

    def sparse_item_vectors(self, n_items):
        """Return sparse vectors of all items, CSR (n_items, p)."""
        if self.sparse is None:
            return csr_matrix((n_items, 0), dtype=np.float32)
        return self.sparse.item_vectors(n_items)

    def added_to_pairs(self, past, rows, items, long_before=None):
        """Return what sparse parts add to the scores of pairs (m,), float64.

        ``past``: as of `added`. ``rows`` and ``items`` (m,): the row of ``past`` and
        the item of each; -1: an item that is not known. ``long_before`` (m,): as of
        `added`, of each pair.
        """
        if self.sparse is None:
            return np.zeros(len(rows))
        n_past = np.diff(past.indptr)[rows]
        weights = self.sparse_weights(n_past, long_before)
        return self.sparse.of_pairs(past, self.sees_order, weights, rows, items)

    def without(self, side, left, unused, rows):
        """Return a model without some columns of a side; see `Part.drop`."""
        if left.all() and not unused.any():
            return self
        with torch.inference_mode(False):  # parameters of it cannot be trained
            model = copy.deepcopy(self)
            for part in model.parts:
                part.drop(side, left, unused, rows)
        return model


def _kind(part):
    """Return what tells a part from the others of a model."""
    return type(part), part.half_life


def _joined(vectors, scales):
    """Return vectors (n, d), given those of all parts and the factors of each."""
    if len(vectors) == 1:
        return vectors[0]
    scaled = [vector * scale for vector, scale in zip(vectors, scales, strict=True)]
    return torch.cat(scaled, 1)


def moved_items(before, now, rows, places):
    """Return the positions (m,) of the items whose vectors differ between two models.

    Parameters
    ----------
    before, now : Model
    rows : CSR matrix of shape (n, p)
        Feature rows of the items now.
    places : int array of shape (p_before,)
        Positions of the columns before among those now. Others are new.
    """
    n_columns = rows.shape[1]
    is_changed = np.ones(n_columns, dtype=bool)
    is_changed[places] = False
    for old, new in zip(before.parts, now.parts, strict=True):
        columns = new.changed_columns(old, places, n_columns)
        if columns is None:
            return np.arange(rows.shape[0])
        is_changed |= columns
    entries = np.flatnonzero(is_changed[rows.indices])
    return np.unique(np.searchsorted(rows.indptr, entries, side="right") - 1)
