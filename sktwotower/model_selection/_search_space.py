"""The search space of `TwoTowerRecommender`: what to tune first, in which ranges.

Input: the number of parameters to tune.
Output: their names with values or distributions, for a search.
"""

from collections.abc import Collection
from typing import Any

from scipy.stats import loguniform, uniform

from sktwotower._tables._messages import check_count

# Ordered by their effect on three data sets, see docs/reproduce.md.
_SPACE = {
    "temperature": loguniform(0.05, 0.3),
    "embedding_dim": [64, 128, 256, 384],
    "max_epochs": [10, 20, 30, 60],
    "id_dropout": [0.0, 0.25, 0.5, 0.75, 1.0],
    "dropout": uniform(0.2, 0.6),
    "lr": loguniform(0.002, 0.03),
    "hidden_layer_sizes": [(), (256,)],
    "weight_decay": loguniform(0.001, 1.0),
}


def search_space(n_parameters=3, *, prefix="", drop: Any = ()) -> dict[str, Any]:
    """Return which parameters to tune first, and within which ranges.

    Parameters
    ----------
    n_parameters : int, default=3
        Number of parameters, from 1 to 8, those with the largest effect first. Each
        further one needs more candidates and gains less.
    prefix : str, default=""
        Text before each name, such as ``twotowerrecommender__`` for a Pipeline.
    drop : str or sequence of str, default=()
        Parameters to leave out, such as "max_epochs" for a search with halving over
        it; the next ones in order take their places.

    Returns
    -------
    space : dict of str to list or distribution
        For ``param_distributions`` of `RandomizedSearchCV` or
        `HalvingRandomSearchCV`.

    Raises
    ------
    ValueError
        If `n_parameters` is out of range, or `drop` names a parameter that is not in
        the space.
    TypeError
        If `n_parameters` is not an integer, `drop` neither a name nor a list of names,
        or `prefix` not a string.

    Notes
    -----
    ================== =========================== ====================================
    parameter          values                      when it matters
    ================== =========================== ====================================
    temperature        .05 to .3, log-uniform      always; lower for sparser data, .3
                                                   only for a few thousand items
    embedding_dim      64, 128, 256, 384           small ones for little data or speed
    max_epochs         10, 20, 30, 60              more for large or sparse data
    id_dropout         0 to 1 by quarters          higher for many new users or items,
                                                   0 if all are known from fit
    dropout            .2 to .8, uniform           higher for long histories
    lr                 .002 to .03, log-uniform    with another optimizer or batch_size
    hidden_layer_sizes (), (256,)                  with features that interact
    weight_decay       .001 to 1, log-uniform      rarely; small data
    ================== =========================== ====================================

    The ranges include the defaults and the values that docs/reproduce.md compares
    (bench_ablations.py). Of the other parameters, ``impression_weight`` matters with
    impressions, and ``reward_scale`` with amounts. With side tables, the share of
    hidden features matters, as in ``net_params={"iterator_train__feature_dropout":
    0.2}``. For a recent history (``time``) try fewer passes, ``max_epochs`` from 4 to
    16, and ``dropout`` from 0 to 0.5.

    With 384 numbers, as by default, a linear filter (``second_share``) has a third of
    them where there are enough events. A search that ends there needs no wider range:
    the step from 384 to 768 gains about as little as another seed does, and doubles
    memory and the work of each request.

    With Optuna, the ranges are written into the objective. `SkorchPruningCallback` of
    ``optuna_integration`` (extra ``optuna``) stops a weak trial at the end of an epoch,
    by the recall on a tenth of the events, which `fit` then holds out::

        def objective(trial):
            model = TwoTowerRecommender(
                temperature=trial.suggest_float("temperature", 0.05, 0.3, log=True),
                embedding_dim=trial.suggest_categorical("embedding_dim", [64, 256]),
                callbacks=[SkorchPruningCallback(trial, "valid_recall")],
            )
            return model.fit(X_train).score(X_valid)

        pruner = optuna.pruners.MedianPruner(n_warmup_steps=5)
        study = optuna.create_study(direction="maximize", pruner=pruner)
        study.optimize(objective, n_trials=20)

    The recall by which trials are stopped is on a random tenth, and often higher than
    the score of finished ones on ``X_valid``: compare finished trials only, as
    ``study.best_trial`` does. Then fit with its parameters on all events, without the
    callback.

    Examples
    --------
    >>> from sktwotower.model_selection import search_space
    >>> list(search_space())
    ['temperature', 'embedding_dim', 'max_epochs']
    >>> search_space(2, prefix="model__", drop="temperature")
    {'model__embedding_dim': [64, 128, 256, 384], 'model__max_epochs': [10, 20, 30, 60]}
    """
    if isinstance(drop, str):
        drop = [drop]
    if not isinstance(drop, Collection) or not isinstance(prefix, str):
        expected = "a name or a list of names, and prefix a string"
        got = f"Got drop={drop!r}, prefix={prefix!r}."
        raise TypeError(f"drop must be {expected}. {got}")
    if unknown := [name for name in drop if name not in list(_SPACE)]:
        raise ValueError(
            f"drop must name parameters of the space: {list(_SPACE)}. Got {unknown}."
        )
    names = [name for name in _SPACE if name not in drop]
    n_parameters = check_count(n_parameters, "n_parameters", 1, len(names))
    return {prefix + name: _SPACE[name] for name in names[:n_parameters]}
