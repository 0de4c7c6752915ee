"""What a policy would have earned, estimated from a log of another one.

Input: a log of lists that were drawn by chance, and a policy.
Output: estimates of the mean reward of a request, with intervals.
"""

import numbers
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from sktwotower._tables._frames import is_frame
from sktwotower._tables._messages import shorten, warn

from ._hits import ERRORS_IN_INTERVAL
from ._policy_log import read_log, require_column
from ._ranked_lists import column_of_numbers
from ._target_policy import ModelPolicy, Reward, TablePolicy

# With fewer effective requests an interval says little.
MIN_EFFECTIVE = 30
N_BOOTSTRAP = 1000
# Numbers of draws of a bootstrap that are held at once.
BLOCK_SIZE = 1 << 22


@dataclass(frozen=True, eq=False, repr=False)
class PolicyValue:
    """What `off_policy_value` returns; it prints as a table with notes.

    Parameters
    ----------
    table : DataFrame of shape (n_estimators, 6)
        A row for each estimator; columns 'value', 'se', 'lower', 'upper', 'diff' and
        'diff se'.
    by_rank : DataFrame of shape (n_places, 5)
        A row for each rank; columns 'requests', 'effective requests', 'mean weight',
        'largest weight' and 'never shown'.
    n_requests, n_clipped : int
    effective_requests : float
    max_weight : float or None
    """

    table: pd.DataFrame
    by_rank: pd.DataFrame
    n_requests: int
    n_clipped: int
    effective_requests: float
    max_weight: float | None

    def __repr__(self):
        lines = [self.table.to_string(float_format="{:.4f}".format), ""]
        lines.append(
            f"{self.n_requests:,} requests, which tell as much as "
            f"{self.effective_requests:,.0f} of the policy's own."
        )
        mean = self.by_rank["mean weight"].iloc[-1]
        lines.append(f"The mean weight is {mean:.3f}; 1 is expected.")
        if self.max_weight is not None:
            lines.append(
                f"{self.n_clipped:,} weights were cut to {self.max_weight:g}, which "
                "draws estimates to too low values."
            )
        return "\n".join(lines)


def off_policy_value(
    policy,
    log,
    *,
    explore=None,
    options=None,
    request=None,
    user="user",
    item="item",
    rank="rank",
    propensity="propensity",
    reward="reward",
    regressor=None,
    max_weight=None,
    interval="normal",
    random_state=None,
) -> PolicyValue:
    r"""Estimate what a policy would have earned, from a log of another one.

    The log holds lists that were drawn by chance, such as by
    ``recommend(explore=...)``: what was shown, how probable it was, and what it earned.
    Its rewards are weighted by how much more probable the policy makes what was shown.

    Parameters
    ----------
    policy : fitted recommender, str, array of shape (n_rows,) or DataFrame
        Whose value is estimated. A recommender should not have learnt from the log. Or
        the propensities of the policy for the items of the log, each given the items
        above it, in [0, 1]: an array, or the name of a column. Or a table of the
        probabilities of all items at the first place: a row for each request in order,
        a column for each item, named by its id; items below follow what is left.
    log : dataframe of n_rows
        One row per item shown.
    explore : float, default=None
        The lists of a recommender are drawn at this temperature, see ``recommend``.
        None: they are those of its best items.
    options : dict, default=None
        Further arguments of ``recommend`` for the lists of the policy, such as
        ``exclude_seen`` or ``where``. ``max_per`` and ``diversity`` only without
        ``explore``. Columns of a model's context are read from the log.
    request : str, default=None
        Name of the column that says which rows are of one list. None: a list begins at
        each row with rank 1.
    user : str, default="user"
        Name of the column of users. Requests of the same user count as one cluster in
        standard errors. Without the column, each request does; a recommender needs it.
    item : str, default="item"
        Name of the column of items, which propensities as ``policy`` do not need.
    rank : str, default="rank"
        Name of the column of ranks, from 1 without gaps in each list. Without the
        column each row is a list of one item.
    propensity : str, default="propensity"
        Name of the column of the log's propensities, in (0, 1]: the probability of the
        item at its rank, given the items above it.
    reward : str, default="reward"
        Name of the column of rewards: what the item earned, 0 if it was not chosen.
    regressor : estimator, default=None
        Any regressor of scikit-learn: adds the doubly robust estimate. It predicts what
        an item and those below it earn from the score of the item by the policy, its
        rank, and its mean reward in the other requests. It is trained on the users of
        four fifths of the log to predict those of the last. Its cost grows with the
        number of requests, of items and of ranks. Not with propensities as ``policy``.
        None: there is no such row.
    max_weight : float, default=None
        Weights are cut to this number, > 0. That lowers variance, and draws values to
        what is too low. None: they are not cut.
    interval : {"normal", "bootstrap"}, default="normal"
        Whether the ends of 95 % intervals are 1.96 standard errors away, or percentiles
        of 1,000 samples of users.
    random_state : int, RandomState instance or None, default=None
        Draws the parts of the log for the regressor, and samples of the bootstrap.

    Returns
    -------
    result : PolicyValue
        It prints as a table. Its attribute ``table`` is that DataFrame, with the rows
        'logged' (what the log itself earned), 'inverse propensity', 'self-normalized'
        and, with a regressor, 'doubly robust'. The columns are 'value', the mean reward
        of a request (the sum over its list), 'se', 'lower' and 'upper', then 'diff',
        the difference from the log, with 'diff se'. ``by_rank`` is a DataFrame with a
        row for each rank: 'requests', the number of lists of that length,
        'effective requests', 'mean weight', 'largest weight', and 'never shown', the
        share of lists that the policy would never show down to that rank.
        ``n_requests``, ``effective_requests`` (at the last rank), ``n_clipped`` (the
        number of weights that were cut) and ``max_weight`` are numbers.

    Raises
    ------
    ValueError
        If the log lacks columns or rows, propensities are not in (0, 1], rewards are
        missing, ranks have gaps, items are not in the catalog of the policy, the policy
        would have shown none of the lists, probabilities of the policy are out of
        range, or a parameter is.
    TypeError
        If ``log`` is not a dataframe, or ``policy`` is none of what is listed.

    Warns
    -----
    UserWarning
        If the weights leave fewer than 30 effective requests: intervals are then too
        short.

    See Also
    --------
    retrieval_report : Judges by what users chose, whatever was shown.

    Notes
    -----
    Request i of n has the weights

    .. math:: w_{it} = \prod_{s \le t} \frac{\pi_{is}}{p_{is}}

    at rank t, where p are propensities of the log and :math:`\pi` those of the policy.
    So a reward may depend on the items above, and not on those below (reward
    interaction, [1]_). For single items w is the usual weight.

    - Inverse propensity: :math:`\frac{1}{n} \sum_i \sum_t w_{it} r_{it}`. It is
      unbiased if the log may show whatever the policy shows.
    - Self-normalized: :math:`\sum_t \sum_i w_{it} r_{it} / \sum_i w_{it}`. It is a
      little biased and varies less: the one to read first [2]_.
    - Doubly robust: :math:`\frac{1}{n} \sum_i \sum_t w_{it} (r_{it} - q_{it}) +
      w_{i,t-1} \bar{q}_{it}`, where q is what the item and those below it are
      predicted to earn, and :math:`\bar{q}` its mean under the policy at that rank,
      given the items above [3]_, [4]_. It is unbiased
      whatever the regressor predicts, and varies less the better that is.

    The number of effective requests is :math:`(\sum_i w_i)^2 / \sum_i w_i^2`. After the
    end of a list its rewards are 0 and its weight stays. Standard errors are those of
    means over users, of the linear part for the ratio.

    Denominator: all requests of the log.

    Lists left out: none.

    References
    ----------
    .. [1] McInerney, J. et al. (2020). Counterfactual evaluation of slate
       recommendations with sequential reward interactions. KDD.
    .. [2] Swaminathan, A. and Joachims, T. (2015). The self-normalized estimator for
       counterfactual learning. NIPS.
    .. [3] Dudik, M., Langford, J. and Li, L. (2011). Doubly robust policy evaluation
       and learning. ICML.
    .. [4] Kiyohara, H. et al. (2022). Doubly robust off-policy evaluation for ranking
       policies under the cascade behavior model. WSDM.

    Examples
    --------
    Tea and jam were shown equally often, and tea was chosen more often. A policy shows
    tea in four of five requests:

    >>> import pandas as pd
    >>> from sktwotower.metrics import off_policy_value
    >>> log = pd.DataFrame({"item": ["tea", "jam"] * 100, "propensity": 0.5})
    >>> log["reward"] = ([1, 0, 1, 0, 0, 1, 1, 0] * 25)  # 3 of 4, and 1 of 4
    >>> log["policy"] = log["item"].map({"tea": 0.8, "jam": 0.2})
    >>> off_policy_value("policy", log)
                        value     se  lower  upper   diff  diff se
    logged             0.5000 0.0354 0.4305 0.5695 0.0000   0.0000
    inverse propensity 0.6500 0.0529 0.5463 0.7537 0.1500   0.0281
    self-normalized    0.6500 0.0376 0.5764 0.7236 0.1500   0.0195
    <BLANKLINE>
    200 requests, which tell as much as 147 of the policy's own.
    The mean weight is 1.000; 1 is expected.
    """
    if interval not in ("normal", "bootstrap"):
        raise ValueError(f"interval must be 'normal' or 'bootstrap'. Got {interval!r}.")
    _check_max_weight(max_weight)
    random = check_random_state(random_state)
    shown = read_log(log, request, user, rank, propensity, reward)
    target, propensities = _read_policy(policy, shown, user, item, explore, options)
    predicted = None
    if regressor is not None:
        if target is None:
            raise ValueError(
                "regressor predicts what other items would have earned: it needs the "
                "probabilities of all items. Pass a recommender or a table as policy, "
                "or leave regressor out."
            )
    if target is not None:
        propensities, item_scores = target.propensities()
        if regressor is not None:
            predicted = Reward(target, regressor, item_scores, random).predicted()

    weights = np.cumprod(propensities / shown.propensities, axis=1)
    if not weights[:, 0].any():
        raise ValueError(
            "The policy would have shown none of the lists of log: nothing says what "
            "it would have earned. Log lists of a policy that shows its items too: "
            "with a higher explore, or of a similar model."
        )
    n_clipped = 0
    if max_weight is not None:
        n_clipped = int((shown.is_there & (weights > max_weight)).sum())
        weights = np.minimum(weights, max_weight)
    by_rank = _by_rank(weights, shown.is_there)
    effective = by_rank["effective requests"].iloc[-1]
    if effective < MIN_EFFECTIVE:
        warn(
            f"The log tells as much as {effective:.1f} requests of the policy, of "
            f"{len(shown):,}: intervals are too short. Log more requests, shorter "
            "lists, or a policy that is more like this one."
        )
    table = _estimates(shown, weights, predicted, interval, random)
    return PolicyValue(
        table=table,
        by_rank=by_rank,
        n_requests=len(shown),
        n_clipped=n_clipped,
        effective_requests=float(effective),
        max_weight=max_weight,
    )


def _check_max_weight(max_weight):
    """Raise unless it is a number above 0, or None."""
    if max_weight is None:
        return
    message = f"max_weight must be a number > 0 or None. Got {shorten(max_weight)}."
    if not isinstance(max_weight, numbers.Real) or isinstance(max_weight, bool):
        raise TypeError(message)
    if not max_weight > 0:
        raise ValueError(message)


def _read_policy(policy, log, user, item, explore, options):
    """Return a ``TargetPolicy`` and None, or None and given propensities.

    These are (n_requests, n_places). The parameters are those of `off_policy_value`.
    """
    if hasattr(policy, "recommend"):
        model = ModelPolicy(log, item, policy, user, explore, options or {})
        return model, None
    if explore is not None or options:
        raise ValueError(
            "explore and options describe the lists of a recommender, and policy is "
            f"none: {type(policy).__name__}. Leave them out."
        )
    if is_frame(policy):
        return TablePolicy(log, item, policy), None
    name = "policy"
    if isinstance(policy, str):
        require_column(log.frame, policy, "policy")
        name = f"The column {policy!r} of log"
        policy = log.frame[policy]
    elif not isinstance(policy, np.ndarray | pd.Series | list):
        raise TypeError(
            "policy must be a fitted recommender, the name of a column, an array of "
            f"propensities or a table of probabilities. Got {shorten(policy)}."
        )
    expected = "propensities of the policy, in [0, 1]"
    given = column_of_numbers(policy, name, expected, 0, 1)
    if len(given) != len(log.frame):
        raise ValueError(
            f"policy must have a propensity for each of {len(log.frame)} rows of log. "
            f"Got {len(given)}."
        )
    return None, log.at_places(given, 1.0)


def _by_rank(weights, is_there):
    """Return figures of weights (n_requests, n_places) as a table by rank."""
    squares = (weights**2).sum(axis=0)
    effective = weights.sum(axis=0) ** 2 / np.where(squares > 0, squares, 1)
    figures = {
        "requests": is_there.sum(axis=0),
        "effective requests": effective,
        "mean weight": weights.mean(axis=0),
        "largest weight": weights.max(axis=0),
        "never shown": (weights == 0).mean(axis=0),
    }
    ranks = pd.RangeIndex(1, weights.shape[1] + 1, name="rank")
    return pd.DataFrame(figures, index=ranks)


def _estimates(log, weights, predicted, interval, random):
    """Return the table of a ``PolicyValue``.

    ``weights`` (n_requests, n_places); ``predicted``: two arrays of that shape, of the
    items of the log and of the policy, or None.

    Each value is a sum over terms: the mean of numerators, divided by the mean of
    denominators, (n_requests, n_terms) each.
    """
    ones = np.ones((len(log), 1))
    logged = log.rewards.sum(axis=1, keepdims=True)
    weighted = weights * log.rewards
    terms = {
        "logged": (logged, ones),
        "inverse propensity": (weighted.sum(axis=1, keepdims=True), ones),
        "self-normalized": (weighted, weights),
    }
    if predicted is not None:
        of_items, of_policy = predicted
        before = np.hstack([ones, weights[:, :-1]])
        robust = weights * (log.rewards - of_items) + before * of_policy
        terms["doubly robust"] = robust.sum(axis=1, keepdims=True), ones

    # of users, whose mean number of requests is 1 after the division
    n_users = len(np.unique(log.clusters))
    influence_of_log = _by_user(logged - logged.mean(), log.clusters)[:, 0]
    influence_of_log = influence_of_log * n_users / len(log)
    rows = {}
    for name, parts in terms.items():
        numerators, denominators = (_by_user(part, log.clusters) for part in parts)
        means = _ratio(numerators.sum(axis=0), denominators.sum(axis=0))
        errors = numerators - means * denominators
        scale = denominators.mean(axis=0)
        influence = _ratio(errors, scale).sum(axis=1)
        value = means.sum()
        error = _standard_error(influence)
        lower = value - ERRORS_IN_INTERVAL * error
        upper = value + ERRORS_IN_INTERVAL * error
        if interval == "bootstrap":
            lower, upper = _percentiles(numerators, denominators, random)
        rows[name] = {
            "value": value,
            "se": error,
            "lower": lower,
            "upper": upper,
            "diff": value - logged.mean(),
            "diff se": _standard_error(influence - influence_of_log),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _by_user(values, clusters):
    """Return sums of values (n_requests, m) over the requests of each user."""
    if len(np.unique(clusters)) == len(clusters):
        return values
    sums = [np.bincount(clusters, column) for column in values.T]
    return np.column_stack(sums)


def _ratio(numerators, denominators):
    """Return quotients, 0 where the denominator is 0."""
    is_zero = denominators == 0
    return np.where(is_zero, 0, numerators / np.where(is_zero, 1, denominators))


def _standard_error(influence):
    """Return the standard error of a mean over users (n_users,), nan for one."""
    n = len(influence)
    if n < 2:
        return np.nan
    return float(influence.std(ddof=1) / np.sqrt(n))


def _percentiles(numerators, denominators, random):
    """Return both ends of a 95 % bootstrap interval of a sum of ratios.

    ``numerators`` and ``denominators``: those of users, (n_users, n_terms) each.
    """
    n = len(numerators)
    step = max(1, BLOCK_SIZE // n)
    values = []
    for start in range(0, N_BOOTSTRAP, step):
        n_draws = min(step, N_BOOTSTRAP - start)
        counts = random.multinomial(n, np.full(n, 1 / n), size=n_draws)
        ratios = _ratio(counts @ numerators, counts @ denominators)
        values.append(ratios.sum(axis=1))
    return np.percentile(np.concatenate(values), [2.5, 97.5])
