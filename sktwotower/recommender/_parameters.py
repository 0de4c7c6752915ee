"""The parameters of `TwoTowerRecommender`: what they mean and may be.

Input: what a caller chooses.
Output: an estimator that keeps it untouched, and shows it.
"""

from sktwotower.towers._parameters import constraints

from ._shown import ShownEstimator

__all__ = ["TwoTowerParameters"]


class TwoTowerParameters(ShownEstimator):
    r"""Recommend items by the dot product of a user vector and an item vector.

    One network, the user tower, turns what is known of a user (id, attributes, past
    items) into a vector; a second, the item tower, does the same for an item. Training
    pulls pairs that occurred together and pushes the others apart; retrieval finds the
    items whose vectors are nearest to a user's.

    All that fit learns is one value, replaced as a whole: a request next to `fit`,
    `partial_fit`, `set_catalog` or `forget_users` in another thread gets the answer of
    the model before or after the call, never a mixture. Calls that change the model
    must not overlap: of two of them, the last to end would undo the other.

    Parameters
    ----------
    Columns
        Which columns of X are read.
    user_id, item_id : str or int, default=None
        Columns of X that name the user and the item (or their positions). None: the
        first column for the user, the second for the item.
    user_features, item_features : str, list, slice, mask or callable, default=None
        Further columns of X that describe the user or the item, selected as in
        `sklearn.compose.ColumnTransformer`. If rows of X disagree, the last one is
        used, with a warning. Columns of X that nothing selects are not read, but belong
        to X: `predict`, `transform` and `score` expect the columns of fit, and raise if
        one is missing (except ``time``) or added. None: no columns.
    Tables
        What is known of users and items in advance, and how it is encoded.
    users, items : dataframe, default=None
        Side tables with one row per user or item: the id column, then features. Ids
        without events belong to the catalog, too. The tables are kept by reference:
        `clone` and a search share them. A column of past items would be read as
        tags, which have nothing to do with ids of items: make events of it,
        ``users[["user", "item"]].explode("item")``, and put them before X.
    user_transformer, item_transformer : transformer, default=None
        Scikit-learn transformers that encode a table of users or items as numbers.
        They get a pandas DataFrame, whichever library the tables are of: the id
        column, then features of X, then those of the side table. A row of the output
        must depend on that row of the table only; otherwise there is a warning. They
        are called with scikit-learn's default output format. None:
        ``TowerVectorizer()``.
    memory : str or object with the joblib.Memory interface, default=None
        Folder that caches fitted transformers and their output, so that a search over
        other parameters encodes the tables of each fold once. The key is the table and
        the transformer with its parameters. Not cached: a transformer with an unset
        ``random_state``, one that cannot be pickled, one with code of ``__main__``.
        None: no cache.
    History
        How a user's past items are used, and their order.
    time : str or int, default=None
        Column of X (or its position) that says when: dates of any kind and time zone,
        or finite numbers. It is not a feature, and tables after fit may lack it, except
        with a recent history those of `partial_fit` and of ``history``. Events of a
        user at equal times are one basket, without order inside. Numbers give the order
        of each user's events only, dates also their age. A pair of user and item at
        several times counts several times. None: no order.
    history : {"auto", "recent", "pooled"} or None, default="auto"
        How the user tower sees the items that a user chose. "recent": as sums of learnt
        vectors of past items, in which older ones count less, with several learnt
        decays, and from 100 events per item on with a hidden layer (see the notes);
        training predicts each next item from those before. It needs ``time``.
        "pooled": as the mean of learnt vectors; training predicts each item from the
        others. None: not at all. "auto": "recent" with ``time``, else "pooled"; see
        ``history_kind_``.
    max_history : int, default=200
        Number of a user's latest events that count with "recent", >= 1; the second pair
        of towers sees older ones, too. Time and memory of training grow with it.
    second_share : float or "auto", default="auto"
        Share in [0, 1) of a second part in the score; 0: none. See ``second_share_``.

        With a recent history it is a second pair of towers, which has a pooled history.
        The first pair has half of ``embedding_dim``, rounded up, the second the rest.
        Callbacks and ``history_`` belong to the first. "auto": 0.3, or 0.15 if the
        first pair has a hidden layer. The second pair has a ``dropout="auto"`` of 0.5.
        There is none with ``embedding_dim=1``.

        With a pooled history it is a linear low-pass filter of the events, computed and
        not trained (see the notes). It has a third of ``embedding_dim``, rounded down,
        the towers have the rest. It fades as `partial_fit` learns. Validation during
        training judges the towers only. "auto": w / (1 + w) with w = 0.06 (a ** -0.5 +
        b ** -0.5) ** -1.5, for a events per user and b per item. That is 0.49 for 119
        and 220 events, and 0.13 for 21 and 9. It is 0 below 10,000 events, or if
        ``embedding_dim`` is below 384. It is 0, too, unless users and items are more
        than twice as many as the entries of the towers' vectors.

        There is no filter with towers of your own, without ``normalize``, with X on
        disk, or with rows of ``y == 0`` that count. It needs an ``embedding_dim`` of at
        least 9, and more users and items than its vectors have entries. It needs items
        whose ids are learnt: not by a transformer without ids, or with features and
        ``id_dropout=1``. The towers' vectors of all users and items may have 10 ** 8
        entries at most (390,625 vectors of 256).
    half_life : Timedelta, float, "auto" or None, default="auto"
        Age at which the weight of an event in training is halved, in both pairs of
        towers; a number if times are numbers. It needs ``time`` and a history that is
        "recent" or "auto": with any other it is not used, and there is a warning. None:
        events do not age. "auto", for dates: twice the half-life at which popularity
        predicts the latest tenth of the events best, if that finds more of them in a
        short fit, else None; see ``half_life_``.
    fold_in : bool, default=True
        Improve the vector of a user without events in fit whose ``history`` comes with
        the request: three Newton steps from the user tower's output
        (`sktwotower.recommender.FoldIn`), about as long as scoring 60,000 items. It
        is used with ``history="pooled"`` and ``normalize=True``.
    Towers
        The two networks, and what is hidden from them in training.
    user_tower, item_tower : torch.nn.Module or callable, default=None
        Modules that replace the default towers. They map a sparse COO tensor (n, p) to
        (n, d); a first layer `torch.nn.LazyLinear` or `torch.nn.Linear` accepts such a
        tensor. A callable is called with p and returns the module. A module is copied,
        never changed. With ``history``, the pooled history is added to the output of a
        user tower of your own. None: a sparse linear layer, then
        ``hidden_layer_sizes``.
    embedding_dim : int or "auto", default="auto"
        Number of entries d of the vectors, >= 1. "auto": 256, and 128 more with a
        linear filter.
    hidden_layer_sizes : tuple of int, default=()
        Widths of hidden layers in both default towers (ReLU, residual: a layer adds to
        its input). ``()``: linear towers.
    dropout : float or "auto", default="auto"
        Share in [0, 1) of a user's past items that is hidden from the tower in
        training, and of hidden units that are dropped. With a pooled history the share
        differs between users, and a target can often not be copied from the history.
        "auto": 0.5, and 0.2 if there are more than 10,000 items; with a recent history
        0.2, 0.1 with its hidden layer, or 0.7 where baskets hold five items or more on
        average.
    id_dropout : float, default=0.5
        How often, in [0, 1], the id of a user or an item with ten events is hidden
        from the towers in training, so that the model learns to serve new users and
        items from features and history; the odds fall as 1 / n for n events
        (`sktwotower.towers.id_shares`). Where features say little about who chooses
        what, hiding ids makes known users and items worse. This is measured on 2,000
        events: how often a user's other items are, by their features, more like the
        item chosen than like another one (AUC). The odds are multiplied by 1 for 0.8
        and above, by 0.02 for 0.7 and below. They stay as they are with 0 or 1, or with
        fewer than 1,000 pairs. 1: ids of whoever has other features say nothing, also
        after fit. A higher value serves new items better, and known ones
        worse. An id is a feature that only one user or item has. It is never
        hidden from a row with no other feature, except in fit for users with a history:
        their whole row is hidden with probability 0.8 * ``id_dropout``.
    feature_dropout : float, default=0.5
        Share in [0, 1) of the other features (words, tags, levels, numbers) that is
        hidden in training, each independently.
    normalize : bool, default=True
        Scale all vectors to unit length, so that scores are cosines.
    Candidates
        What a user's positives compete with in training.
    temperature : float or "auto", default="auto"
        Divides the scores in the training loss, > 0. Lower values stress the hardest
        negatives. "auto": 1.05 n_items ** -0.25, within [0.05, 0.2]: 0.16 for 1,700
        items, 0.14 for 3,300; with a pooled history and more than 10,000 items 6.5
        n_items ** -0.4, at least 0.09: 0.15 for 12,000, 0.093 for 41,000; at most 0.1
        with the hidden layer of a recent history; see ``temperature_``.
    candidate_sampling : str, default="auto"
        Which items a user's positives compete with: every item ("full"), the other
        users' positives of the batch ("in_batch"), a uniform sample of the catalog
        ("uniform"), or both ("mixed"). "auto": "full" up to 2,000 items that have
        250,000 feature values together, else "mixed", as always with a recent history;
        see ``candidate_sampling_``.
    n_negatives : int or "auto", default="auto"
        Number of items in the uniform sample of a batch, >= 1. "auto": 512.
    sampling_correction : {"negatives", "all"} or None, default="negatives"
        Which logits are corrected for the probability of being sampled: those of the
        negatives, those of the positives as well (Yi et al.), or none. Without it
        popular items are recommended too rarely.
    Impressions
        What was shown and not chosen (``y == 0``).
    impression_weight : float or "auto", default=5.0
        Weight, >= 0, of the loss term that contrasts a user's positives with what that
        user was shown and did not choose. Higher: a better order of what is shown if
        items live long enough, and a lower recall over the whole catalog (measured: see
        Notes). For an order within lists use `TwoStageRecommender(lists=...)`; as its
        ``retriever``, or for the whole catalog, 0 finds most. 0: rows with
        ``y == 0`` only put their item into the catalog. "auto": 5 or 20 if a short fit
        (on at most 250,000 rows) then orders what each user was shown in the latest
        tenth of the rows better than with 0, beyond the standard error; else 0. Without
        ``time`` the tenth is a random one, which flatters items that live for days
        only; see ``impression_weight_``.
    impression_start : float, default=0.5
        Share of training, in [0, 1], before impressions join: candidate sampling first
        raises the recall, then impressions improve the order of what is shown, see
        Notes. 1: never.
    Optimization
        How the towers are trained, and when training stops.
    max_epochs : int or "auto", default="auto"
        Number of passes over the users, >= 1; with ``warm_start``, further ones. The
        ``resource`` to use in scikit-learn's halving searches. "auto": 20, 15 if
        there are more than 10,000 items, 30 if there are features; with a recent
        history 6, 8 where baskets are large, and 15 for its second pair.
    batch_size : int or "auto", default="auto"
        Number of users in a batch, >= 1, each with all positives. With a recent history
        a batch holds at most 8 times as many events. "auto": 512; with a recent history
        256 for both pairs of towers; in `partial_fit` 128.
    lr : float, default=0.01
        Peak of the one-cycle learning rate, > 0. An `LRScheduler` among ``callbacks``
        replaces the one cycle.
    partial_rate : float, default=0.2
        Learning rate of `partial_fit`, relative to ``lr``, > 0. Higher: the model
        follows new events faster, and forgets old ones faster. Next week's purchases in
        a shop and the next ratings of films were found best with 0.2 to 0.3.
    weight_decay : float, default=0.01
        Weight decay of the optimizer, >= 0.
    optimizer : str or torch.optim.Optimizer class, default="rowwiseadam"
        "rowwiseadam" (`sktwotower.towers.RowwiseAdam`): Adam with one second moment per
        row of an embedding table; the cost of a step depends on the rows it touches,
        not on the size of the catalog. Or a class of `torch.optim`, or its name in
        lower case: "adamw" and others update all rows of all tables in each step.
    early_stopping : bool, default=False
        Hold out a part of the events, stop when the recall on it (whole catalog,
        ``n_neighbors``) no longer rises, and keep the weights of the best epoch. The
        part held out is not trained on, but belongs to the users' history afterwards.
        Epochs before impressions join do not count. If no user has two positives,
        there is a warning and no early stopping.
    validation_fraction : float, default=0.1
        Share of the positive pairs held out at random, in (0, 1). With a recent history
        each user's last basket is held out instead. Used with ``early_stopping``, or if
        one of ``callbacks`` monitors ``valid_loss`` or ``valid_recall``.
    n_iter_no_change : int, default=5
        Number of epochs without a better recall before stopping, >= 1.
    callbacks : list, default=None
        skorch callbacks, or (name, callback) pairs: `EarlyStopping`, `Checkpoint`,
        `LRScheduler` and so on. History columns are ``train_loss`` and, with
        validation, ``valid_loss`` and ``valid_recall``. None: none.
    net_params : dict, default=None
        Further arguments of `skorch.NeuralNet`, such as
        ``{"optimizer__betas": (0.9, 0.98)}``. None: none.
    Retrieval
        How the nearest items are found, and which are left out.
    neighbors : {"auto", "exact", "nndescent"} or estimator, default="auto"
        How the nearest items are found: by exact search, by a pynndescent graph, or by
        an estimator, which is cloned: ``NNDescentNeighbors(target_recall=0.98)`` (of
        `sktwotower.neighbors`; in searches ``neighbors__target_recall``), or any with
        ``fit(vectors)`` and ``kneighbors(vectors, n_neighbors=...,
        return_distance=False)``, such as `sklearn.neighbors.NearestNeighbors`. What an
        index finds is scored again exactly. "auto": exact up to 200,000 items, then the
        graph; always exact without ``normalize``. A change after fit takes effect at
        the next `fit`, `partial_fit` or `set_catalog`.
    n_neighbors : int, default=10
        Number of items that retrieval returns, and that count in `score`, >= 1.
    exclude_seen : bool, default=True
        Never recommend items that the user chose in fit. Items that were only shown
        (``y == 0``) can still be recommended.
    Running
        Device, threads, seed and output.
    device : str, default="cpu"
        Device of torch, such as "cuda".
    n_jobs : int, default=None
        Number of torch's threads during a call. -1: all processors, or in a worker of
        a parallel search the share that joblib gives it. None: torch's own setting,
        which in such a worker is the same share.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, order and dropout. The same seed, data and number of threads
        give the same result.
    warm_start : bool, default=False
        Start from the weights of the last fit, by id, and make ``max_epochs`` further
        passes, in which the learning rate rises and falls once more: slightly worse
        than one fit of as many epochs. Users, items and features must be the same, in
        any order. `clone` does not copy weights, so that each candidate of a search
        starts anew.
    checkpoint : str or path-like, default=None
        Folder that keeps the state of `fit` after each epoch. If the process is killed,
        or the disk is full, the same call goes on from there, in a new process too, and
        ends with the result of a fit without a break. A fit with other data, parameters
        or versions is refused; one fit at a time may use a folder. The state is removed
        when fit ends: then write the model with `sktwotower.io.dump`. SIGTERM ends
        training after a batch, as Ctrl-C does: then the process exits with the status
        143, unless the caller handles SIGTERM. Of ``callbacks``, attributes that are
        numbers, text or arrays and schedules of the learning rate are kept; choices of
        "auto" are, too. Files hold no pickle. `partial_fit` keeps none. None: nothing
        is kept.
    verbose : int, default=0
        1: progress bars for training and for long retrieval, in a terminal or a
        notebook; elsewhere nothing. 2: a line per epoch instead of the bar of training.
        Regardless of it, the logger ``sktwotower`` gets what fit has read and chosen,
        and each epoch, at level INFO.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,) and (n_items,)
        Ids of the known users and of the catalog: sorted, or in the order of the side
        table; then those that `partial_fit` has added. After `set_catalog` items are in
        the order of that call.
    item_embeddings_ : ndarray of shape (n_items, d), float32
        The catalog's vectors.
    user_transformer_, item_transformer_ : transformer
        The fitted transformers.
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_.parts`` holds pairs of towers, and the filter if
        any, ``net_.history`` the figures of skorch.
    history_ : list of dict
        Per epoch: ``epoch``, ``train_loss``, ``dur`` (seconds) and, with validation,
        ``valid_loss`` and ``valid_recall``.
    candidate_sampling_ : str
        The way of sampling that was used.
    temperature_ : float
        The temperature that was used.
    second_share_ : float
        The share of the second part in the score, as it is now; 0 for none.
    impression_weight_ : float
        The weight of impressions that was used.
    history_kind_ : {"recent", "pooled"} or None
        How the user tower sees past items (``history_`` holds the figures of epochs).
    half_life_ : Timedelta, float or None
        The half-life that was used. None: events did not age.
    interrupted_ : bool
        Whether the last training was interrupted by Ctrl-C, which ends it after a
        batch. The model is what was learnt until then (a second pair of towers that was
        not trained has no share in the score). There is a warning, too.
    neighbors_ : estimator
        The fitted neighbor index.
    index_recall_ : float
        Share of the true ``n_neighbors`` nearest items that the index finds, measured
        on 500 users of fit (1 for exact search). Below 0.95 there is a warning.
    n_features_in_ : int
        Number of columns of X in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, if they are all strings.

    See Also
    --------
    sktwotower.TowerVectorizer : The default transformer of both tables.
    sktwotower.model_selection.search_space : What to tune first.
    sktwotower.baselines : Popularity, EASE and item-kNN, with the same methods.
    sktwotower.metrics.retrieval_report : Quality next to baselines, by group.
    sktwotower.metrics.make_retrieval_scorer : Other metrics than the recall of `score`
        for ``scoring=``; scikit-learn's own "recall" is one of classification.

    Notes
    -----
    With unit vectors u and v_i the score is :math:`s(u, i) = \langle u, v_i \rangle`.
    Training minimizes, over all users u and their positives i with reward w,

    .. math::
        \sum_{u, i} w_{ui} \left[ \log \left( e^{z_{ui}} + \sum_{j \in N_u} e^{z_{uj}}
        \right) - z_{ui} \right], \quad z_{uj} = s(u, j) / T - \log Q(j)

    with temperature T, Q(j) the probability with which item j is among the candidates
    (1 for "full", and for the positive unless ``sampling_correction="all"``) and N_u
    the candidates that the user has not chosen. Impressions I_u, shown m times and not
    chosen, have a denominator of their own, with only the positive of the same user.
    Once they have joined, they add to each pair's loss

    .. math::
        \lambda \log \left( 1 + \sum_{j \in I_u} m_{uj} e^{s(u, j) - s(u, i)} \right)

    with the ``impression_weight`` :math:`\lambda`. It moves only item vectors; u is
    held fixed (why: `sktwotower.towers.SampledSoftmaxLoss`). Whole-catalog recall
    asks what will be shown *and* chosen, the order of shown items what is chosen of
    it: one score serves both, so that a gain in one can cost the other. On
    KuaiRand-Pure, 0.9 million impressions of short videos, the weights 0, 5 and 20 had
    an area under the ROC curve within users of .589, .616 and .635, and a recall@20 of
    .140, .132 and .111; the click rate of items, without any model, has .635. With
    weight 5, ``impression_start`` 0 had .618 and .126.

    With a recent history, the user tower sees the sums :math:`\sum_j a_{hj} e_j /
    (\sum_j a_{hj})^{1/2}` over the past items j with lag :math:`l_j`, where
    :math:`a_{hj} = e^{-l_j / \tau_h}`. The vectors :math:`e_j`, linear in the features
    of the items, the decays :math:`\tau_h` (1, 3, 10 and 50 at the start, and one sum
    without decay) and a matrix for each sum are learnt. From 100 events per item on
    there is a hidden layer over all these sums as well, and they are divided by
    :math:`\sum_j a_{hj}`, not by its root. The pairs (u, i) are then
    events: i is predicted from the rest of its basket at lag 0 and from earlier baskets
    at lags 1, 2, and so on, and N_u holds all candidates except i. A second pair of
    towers is trained with a pooled history. The score is :math:`(1 - r) s_1 + r s_2`
    with the score of each pair and the ``second_share`` r; the vectors of both, scaled
    by the roots of these shares, stand one after the other.

    With a linear filter, the score is :math:`(1 - r) s_1 + r s_2` with the score
    :math:`s_1` of the towers and the ``second_share`` r. :math:`s_2` is the dot product
    of two vectors: of a user, the sum of :math:`d_j^{-1/2} v_j` over the past items,
    divided by its length; of an item, :math:`d_i^{1/2} v_i`, divided by the length of
    the longest; the :math:`v_j` are rows of V in the truncated SVD below. Both stand
    behind the towers' vectors, scaled by the roots of the shares, with two numbers that
    give them length one (by which items with few events are alike in `similar_items`,
    up to r). An item without events, as `partial_fit` may add, has the mean of the
    items with its features, and without such only :math:`s_1`. Each `partial_fit` with
    n events after N divides the filter's weight by 1 + 100 n / N. Fold-in moves the
    towers' vectors only.

    Several processes train one model together if a process group of torch.distributed
    (gloo, or NCCL for GPUs) is initialized when `fit` is called. Each has all of the
    same data and computes its part of the users of each batch, of which all together
    have ``batch_size``: the losses are those of one process, up to rounding and to what
    is hidden at random. Gradients are summed, so that all processes end with the same
    model. Validation, callbacks and the rest of `fit` run in each of them; the first
    one writes ``checkpoint`` and shows progress. If one fails, all do.

    From 10,000 events on, linear towers with a pooled history and without ``time``
    start from a truncated SVD: the vectors of items, scaled to a mean length of 1, are
    :math:`V S^{1/2}` for :math:`D_u^{-1/2} R D_i^{-1/2} \approx U S V^T`, with the
    rewards R and the sums D of its rows and columns, plus random vectors. This needs
    more than 2 d users and 2 d items, and at most 100 million numbers in the vectors of
    both.

    Retrieval uses s. An unknown user without features and history gets the tower's
    output for an empty row. Memory is O(nonzeros + (n_users + n_items) d), plus one
    block of scores.

    References
    ----------
    Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
    Recommendations, RecSys 2019.

    Liang et al., Variational Autoencoders for Collaborative Filtering, WWW 2018, for
    the denoised history and the multinomial likelihood by user.

    Shen et al., How Powerful is Graph Convolution for Recommendation?, CIKM 2021, for
    the linear filter (the second of the two of GF-CF).

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower import TwoTowerRecommender
    >>> X = pd.DataFrame({
    ...     "reader": ["ann", "ann", "bob", "bob", "cid", "cid", "dan", "dan"],
    ...     "book": ["emma", "persuasion", "emma", "persuasion",
    ...              "dune", "solaris", "dune", "ubik"],
    ... })
    >>> model = TwoTowerRecommender(max_epochs=3, random_state=0).fit(X)
    >>> model.recommend(["cid"], n_neighbors=2).round(2)
      reader  book  score  rank
    0    cid  ubik   0.03     1
    1    cid  emma  -0.42     2
    >>> model.similar_items(["emma"], n_neighbors=1).round(2)
       book similar_book  score  rank
    0  emma   persuasion   0.39     1
    """

    _parameter_constraints = constraints()

    def __init__(
        self,
        *,
        user_id=None,
        item_id=None,
        user_features=None,
        item_features=None,
        users=None,
        items=None,
        user_transformer=None,
        item_transformer=None,
        memory=None,
        time=None,
        history="auto",
        max_history=200,
        second_share="auto",
        half_life="auto",
        fold_in=True,
        user_tower=None,
        item_tower=None,
        embedding_dim="auto",
        hidden_layer_sizes=(),
        dropout="auto",
        id_dropout=0.5,
        normalize=True,
        temperature="auto",
        candidate_sampling="auto",
        impression_weight=5.0,
        impression_start=0.5,
        max_epochs="auto",
        batch_size="auto",
        lr=0.01,
        weight_decay=0.01,
        optimizer="rowwiseadam",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        callbacks=None,
        net_params=None,
        neighbors="auto",
        n_neighbors=10,
        exclude_seen=True,
        device="cpu",
        n_jobs=None,
        random_state=None,
        warm_start=False,
        checkpoint=None,
        verbose=0,
    ):
        self.user_id = user_id
        self.item_id = item_id
        self.user_features = user_features
        self.item_features = item_features
        self.users = users
        self.items = items
        self.user_transformer = user_transformer
        self.item_transformer = item_transformer
        self.memory = memory
        self.time = time
        self.history = history
        self.max_history = max_history
        self.second_share = second_share
        self.half_life = half_life
        self.fold_in = fold_in
        self.user_tower = user_tower
        self.item_tower = item_tower
        self.embedding_dim = embedding_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.dropout = dropout
        self.id_dropout = id_dropout
        self.normalize = normalize
        self.temperature = temperature
        self.candidate_sampling = candidate_sampling
        self.impression_weight = impression_weight
        self.impression_start = impression_start
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.optimizer = optimizer
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.callbacks = callbacks
        self.net_params = net_params
        self.neighbors = neighbors
        self.n_neighbors = n_neighbors
        self.exclude_seen = exclude_seen
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.verbose = verbose
