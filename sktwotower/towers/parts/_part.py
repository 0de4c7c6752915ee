"""What a model asks of each of its parts.

Input: events, feature rows of users and items, past items of users.
Output: a piece of the vectors of users and items, whose product is a term of the score.
"""

import copy
from contextlib import contextmanager

from torch import nn

from sktwotower.towers.operators._sparse_rows import SparseLinear, placed_rows


class Part(nn.Module):
    """A term of the score, with everything that is known of it.

    A kind of part is a subclass in the list ``KINDS``, and what is defined here is all
    that the package asks of it. It is planned and started from events, gives vectors,
    takes new features, drops old ones, fades, is written, exported and explained.

    Attributes
    ----------
    is_trained : bool
        Whether it learns by gradients: ``forward`` then maps a ``Batch`` to vectors
        (b, d) and (c, d). Otherwise `start` computes it from the events.
    in_words : str
        What it is, in tables of weights.
    is_signed : bool
        Whether its weight in the score may be below zero.
    is_popularity : bool
        Whether it says how popular items are, and nothing of what they have in common.
    divisions : dict or None
        The ``Division`` of each side, if this process holds some rows of its tables.
    sees_past : bool
        Whether past items of users are an input.
    sees_order : bool
        Whether their order is.
    context : ContextLayer or None
        What the context of a request does to vectors of users; None: nothing.
    max_history : int or None
        Number of latest past items that it sees; None: all.
    folds_in : bool
        Whether vectors of new users are improved by fold-in.
    normalize : bool
        Whether vectors have length one.
    width : int
        Length d of its vectors.
    half_life : float or None
        Half-life of the popularity that it knows, in units of the times; None: it knows
        no popularity of its own.
    """

    in_words = "part"
    is_trained = False
    is_signed = False
    is_popularity = False
    divisions = None
    sees_past = False
    sees_order = False
    max_history = None
    folds_in = False
    normalize = True
    width = 0
    half_life = None

    def __init__(self):
        super().__init__()
        self.context = None

    # How it comes into being

    @classmethod
    def is_main(cls, recipe):
        """Return whether it can be the first part, which gets what others leave."""
        return False

    @classmethod
    def share(cls, recipe, events, kinds):
        """Return the share of such a part in the score, in [0, 1); 0 for none.

        ``kinds``: those that are planned already, the first part before all others.
        They divide what is left.
        """
        return 0.0

    @classmethod
    def widths(cls, embedding_dim):
        """Return how long the vectors of the other parts are, and those of this one.

        ``embedding_dim``: that of all of them, an int or "auto".
        """
        raise NotImplementedError

    @classmethod
    def prepared(cls, recipe, events):
        """Return the recipe and the events that such a part is started from.

        It is not the first one; ``recipe.embedding_dim`` is its own.
        """
        return recipe, events

    @classmethod
    def n_components(cls, recipe):
        """Return how many singular vectors of the events it needs."""
        return 0

    @classmethod
    def count_weights(cls, recipe, events):
        """Return how many weights it has, at least."""
        return 0

    @classmethod
    def start(cls, plan, training, spectrum):
        """Return a new part, to be trained or computed.

        Parameters
        ----------
        plan : Plan
        training : TrainingSet
            Of the plan's own events or, if it is not trained, of those of the part
            before.
        spectrum : callable
            ``spectrum(k)`` returns at least k singular vectors, a ``Spectrum``.
        """
        raise NotImplementedError

    # Its vectors

    def embed_users(self, users):
        """Map ``Users`` to vectors (n, d)."""
        raise NotImplementedError

    def embed_items(self, rows):
        """Map feature rows (n, q) of items, ``SparseRows``, to vectors (n, d)."""
        raise NotImplementedError

    def in_context(self, users, rows):
        """Map vectors (n, d) of users to those of requests.

        ``rows``: feature rows (n, p) of their contexts, ``SparseRows``.
        """
        return users if self.context is None else self.context(users, rows)

    def arrays(self):
        """Return the same weights with the methods of ``PairArrays``.

        They answer for one user with numpy, and write the operators of ONNX.
        """
        raise NotImplementedError

    # What happens to it later

    @property
    def tables(self):
        """The side of each of its tables, by the name of the layer.

        A table is a ``SparseLinear`` layer. Its side is "user" or "context" if the name
        begins with that, otherwise "item".
        """
        tables = {}
        for name, layer in self.named_modules():
            if not isinstance(layer, SparseLinear):
                continue
            tables[name] = "item"
            for side in ("user", "context"):
                if name.startswith(side):
                    tables[name] = side
        return tables

    @property
    def table_sizes(self):
        """The side of each table, and how many rows it has, a list of pairs."""
        sizes = []
        for name, side in self.tables.items():
            sizes.append((side, len(self.get_submodule(name).weight)))
        return sizes

    def grown(self, recipe, inputs):
        """Return a part for more columns; new ones start at zero.

        ``inputs``: for each side ("user", "item", "context") a pair of the new
        positions (p,) of the old columns, and the number of columns now.
        """
        part = copy.deepcopy(self)
        for name, side in self.tables.items():
            layer = part.get_submodule(name)
            layer.weight = nn.Parameter(placed_rows(layer.weight.data, *inputs[side]))
        return part

    def learn_more(self, events, past, seen):
        """Learn further events in place, if it is not trained.

        ``past``: the ``Sequences`` of all events with these; None: order is not used.
        ``seen``: nonzero where a user has chosen an item, CSR (n_users, n_items).
        """

    def shared_by_items(self):
        """Return parameters that move the vectors of all items, if it is trained."""
        return []

    @contextmanager
    def keeping_shared(self):
        """Keep what all items share as it is: training moves single items only."""
        shared = self.shared_by_items()
        for parameter in shared:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in shared:
                parameter.requires_grad_(True)

    def fading(self, share_of_new):
        """Return by how much its weight is divided, >= 1, after further events.

        ``share_of_new``: their number, relative to that of the events before.
        """
        return 1.0

    def changed_columns(self, before, places, n_columns):
        """Return which columns (p,) of items have other weights than in a part before.

        ``places`` (p_before,): where its columns are now. None: all vectors of items
        may have changed.
        """
        return None

    def drop(self, side, left, unused, rows):
        """Keep the weights of columns of a side where ``left`` (p,), in place.

        Those of columns where ``unused`` (p,) become zero. ``rows``: feature rows of
        the side, CSR (n, p), that have neither.
        """
        for name, side_of_table in self.tables.items():
            if side_of_table == side:
                self.get_submodule(name).drop_columns(left, unused)

    # What others read of it

    def is_linear(self, side):
        """Return whether vectors of a side are linear in their inputs, with a bias."""
        return True

    def contributions(self, pair):
        """Return what each input of a ``Pair`` adds to the score, `Contributions`."""
        raise NotImplementedError
