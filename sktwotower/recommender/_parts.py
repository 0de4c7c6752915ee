"""The pairs of towers of a model: one, or two side by side.

Input: a ``Recipe`` and ``Events``.
Output: for each pair the ``Recipe`` and ``Events`` that it is trained with; one net.
"""

from sktwotower.towers._blend import Blend
from sktwotower.towers._callbacks import monitors_validation

from ._auto import resolved, values_of_kind, values_of_second_pair
from ._events import everything_is_chosen

__all__ = ["joined", "modules_of", "parts_of", "pooled_recipe", "recent_recipe"]


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
    """Return the recipe and the events of each pair of towers, and the second's share.

    The recipes are resolved.
    """
    share = _pooled_share(recipe, events)
    if not share:
        return [(resolved(recipe, events), events)], share
    aged = events._replace(positives=events.ordered.weighted_pairs())
    recent, pooled = recent_recipe(recipe), pooled_recipe(recipe, aged)
    return [(resolved(recent, events), events), (pooled, aged)], share


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


def joined(trained, modules, pooled_share):
    """Return the first of one or two trained nets, with a ``Blend`` of both modules.

    ``modules``: those of the nets, and perhaps one that is not trained: its share is 0.
    """
    net = trained[0]
    if len(modules) > 1:
        share = pooled_share if len(trained) > 1 else 0.0
        net.module_ = Blend(*modules, share).eval()
        net.interrupted_ = any(each.interrupted_ for each in trained)
    return net


def modules_of(module):
    """Return the modules of a trained net's pairs of towers, a list."""
    return [module.first, module.second] if isinstance(module, Blend) else [module]
