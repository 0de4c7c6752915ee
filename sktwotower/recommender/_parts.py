"""The pairs of towers of a model: one, or two side by side.

Input: a ``Recipe`` and ``Events``.
Output: for each pair the ``Recipe`` and ``Events`` that it is trained with; one net.
"""

from typing import NamedTuple

from sktwotower.towers._blend import Blend
from sktwotower.towers._callbacks import monitors_validation
from sktwotower.towers._filter import N_PADS, LinearFilter, linear_filter

from ._auto import resolved, values_of_kind, values_of_second_pair, widths
from ._events import everything_is_chosen
from ._filter_share import filter_share

__all__ = [
    "Parts",
    "filter_of",
    "filter_recipe",
    "joined",
    "modules_of",
    "parts_of",
    "pooled_recipe",
    "recent_recipe",
    "trained_modules",
]


class Parts(NamedTuple):
    """What a model is made of.

    ``trained``: the resolved recipe and the events of each pair of towers. ``share``:
    of the second pair in the score, a filter if it is not trained. ``filter_width``:
    number of entries of its vectors, 0 for none.
    """

    trained: list
    share: float
    filter_width: int

    @property
    def n_components(self):
        """Number of singular vectors of the filter, 0 for none."""
        return max(self.filter_width - N_PADS, 0)


def _pooled_share(recipe, events):
    """Return the share of a pair of towers with a pooled history; 0 for none.

    Towers given by the user are a pair already.
    """
    own = recipe.user_tower is not None or recipe.item_tower is not None
    if recipe.history != "recent" or recipe.embedding_dim == 1 or own:
        return 0.0
    if everything_is_chosen(events):  # no negatives for a pooled history
        return 0.0
    return values_of_kind(recipe, events).pooled_share


def parts_of(recipe, events):
    """Return the ``Parts`` of a model."""
    share = filter_share(recipe, events)
    width, filter_width = widths(recipe.embedding_dim, share > 0)
    recipe = recipe._replace(embedding_dim=width)
    if share:
        return Parts([(resolved(recipe, events), events)], share, filter_width)
    share = _pooled_share(recipe, events)
    if not share:
        return Parts([(resolved(recipe, events), events)], share, 0)
    aged = events._replace(positives=events.ordered.weighted_pairs())
    recent, pooled = recent_recipe(recipe), pooled_recipe(recipe, aged)
    return Parts([(resolved(recent, events), events), (pooled, aged)], share, 0)


def recent_recipe(recipe):
    """Return the recipe of the pair that sees the order: it has one half of d."""
    width = recipe.embedding_dim - recipe.embedding_dim // 2
    return recipe._replace(embedding_dim=width)


def pooled_recipe(recipe, events):
    """Return the resolved recipe of the other pair; callbacks belong to the first."""
    recipe = recipe._replace(
        history="pooled",
        embedding_dim=recipe.embedding_dim // 2,
        callbacks=None,
        early_stopping=recipe.early_stopping or monitors_validation(recipe.callbacks),
    )
    return resolved(values_of_second_pair(recipe), events)


def filter_of(spectrum, n_components, training, device):
    """Return the ``LinearFilter`` of a ``Spectrum`` of a ``TrainingSet``."""
    vectors = spectrum.vectors[:, :n_components]
    n_user_features = training.user_rows.shape[1]
    rows = training.item_rows
    module = linear_filter(vectors, spectrum.counts, rows, n_user_features)
    return module.to(device)


def filter_recipe(recipe, module):
    """Return the recipe of towers of the size of a ``LinearFilter``."""
    return recipe._replace(
        history="pooled",
        embedding_dim=module.history.weight.shape[1],
        hidden_layer_sizes=(),
        dropout=0.0,
        net_params=None,
    )


def joined(trained, modules, share, fade=1.0):
    """Return the first of one or two trained nets, with a ``Blend`` of both modules.

    ``modules``: those of the nets, and perhaps a filter, or one that is not trained:
    its share is 0.
    """
    net = trained[0]
    if len(modules) > 1:
        is_ready = len(trained) > 1 or isinstance(modules[1], LinearFilter)
        net.module_ = Blend(*modules, share if is_ready else 0.0, fade).eval()
        net.interrupted_ = any(each.interrupted_ for each in trained)
    return net


def modules_of(module):
    """Return the modules of a net's pairs of towers, a list."""
    return [*module.pairs] if isinstance(module, Blend) else [module]


def trained_modules(module):
    """Return the modules of a net's pairs of towers that are trained, a list."""
    parts = modules_of(module)
    return [each for each in parts if not isinstance(each, LinearFilter)]
