"""The parameters of `TwoTowerRecommender`: what they mean and may be.

Input: what a caller chooses.
Output: an estimator that keeps it untouched, and shows it.
"""

from sktwotower.towers._recipe import RecommenderParameters

from ._display import ShownEstimator


class TwoTowerParameters(ShownEstimator, RecommenderParameters):
    """Recommend items to users by the dot product of two learnt vectors.

    >>> from sktwotower import TwoTowerRecommender
    >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
    ...      ["bob", "rusks"], ["cid", "nails"], ["cid", "glue"],
    ...      ["dan", "nails"], ["dan", "glue"], ["dan", "paint"]]
    >>> model = TwoTowerRecommender(random_state=1).fit(X)
    >>> model.recommend(["ann", "cid"], n_neighbors=1).round(2)
      user   item  score  rank
    0  ann  rusks   0.04     1
    1  cid  paint   0.04     1

    Five parameters matter first:

    - ``items`` and ``users``: tables of features, so that new items can be recommended.
    - ``time``: the column that says when, so that the model predicts what comes next.
    - ``context``: columns of the request, such as the hour, the device or the search.
    - ``embedding_dim``: the length of the vectors. Short ones save memory and time.
    - ``temperature``: the first one to tune.

    A value of "auto" follows the data: see the table in the guide, on the page "Tune".

    One network, the user tower, turns a user (id, features, past items) into a vector.
    Another one, the item tower, turns an item into a vector. Training raises the dot
    products of pairs that occurred together, compared with those of other pairs. A
    request returns the items whose vectors are nearest to the user's vector.

    Parameters
    ----------
    Columns
        Which columns of X are read.
    user_id, item_id : str or int, default=None
        Columns of X that name the user and the item, or their positions. None: the
        first and the second column.
    user_features, item_features : str, list, slice, mask or callable, default=None
        Columns of X that describe the user or the item, selected as in
        `sklearn.compose.ColumnTransformer`. If rows disagree, the last one counts, with
        a warning. Tables after fit need all columns, also others. Names of the time
        and of the other id are refused; selections by rule skip them. None: no columns.
    Tables
        What is known of users and items in advance, and how it is encoded.
    users, items : dataframe, default=None
        Side tables with a row for each user or item: the id column, then features.
        Items without events can be recommended. Clones share them. None: no tables.
    user_transformer, item_transformer : transformer, default=None
        Scikit-learn transformers that encode users or items as numbers. They get a
        pandas DataFrame: the id column, features of X, those of the side table. Each
        row of the output must depend on its own row only. None: ``TowerVectorizer()``.
    memory : str or object with the joblib.Memory interface, default=None
        Folder that caches transformers and their output. A search then encodes the
        tables of each fold once. A transformer with an unset ``random_state``, or one
        that cannot be pickled, is not cached. None: no cache.
    History
        How a user's past items are used, and their order.
    time : str or int, default=None
        Column of X, or its position, that says when: dates, or finite numbers, see
        ``time_unit``. It is not a feature. Events of a user at equal times are one
        basket. Tables after fit may lack it, except new events with a recent history.
        None: no order.
    time_unit : {"auto", "D", "s", "ms", "us", "ns"} or None, default="auto"
        What numbers in the ``time`` column count from 1970 on, as in
        `pandas.to_datetime`. They are then the same as dates, in all later tables, too.
        None: numbers give only the order of a user's events, and have no age. "auto":
        seconds, milliseconds, microseconds or nanoseconds, if that places nine in ten
        of them between 1990 and 2100; otherwise None. Dates need no unit.
    context : str, list, slice, mask, callable or None, default="auto"
        Columns of X that describe the request and not the user: the hour, the device,
        words of a search, the kind of action. They are selected as ``user_features``
        are. Each event is learnt with its own context. Requests may have these columns;
        what is missing is unknown. Columns that say little count less, or not at all:
        see ``context_weights_``. If ``time`` is one of them, the model learns the hour,
        weekday and month (UTC) of dates. With a recent history it also learns the time
        since the user's last event. "auto": only ``time``, with dates and a recent
        history. A request without a time then comes at the latest one that the model
        knows, but of that only the time since the user's last event counts, and only if
        it is no longer than 95 % of such times in fit. A column of the name "auto" is
        ``["auto"]``. A name that X lacks may be a column of ``items``, such as the
        category: the context of an event is then that of its own item, half of the
        time, and ``context={"category": "tea"}`` asks for more of this kind. Held-out
        events are judged without it, as it would say what was chosen. Events on disk
        need it as a column of X. None: no columns.
    context_transformer : transformer, default=None
        Scikit-learn transformer that encodes the columns of the context, except the
        time. It gets a pandas DataFrame. None: ``TowerVectorizer()``. An integer
        ``min_frequency`` counts events; for a share, each distinct context counts ten
        times at most.
    history : {"auto", "recent", "pooled"}, History or None, default="auto"
        How the user tower sees past items. "recent": as sums in which older items count
        less. Training predicts each item from those before it, and ``time`` is needed.
        "pooled": as a mean. Training predicts each item from the others. None: not at
        all. "auto": see the table in the guide. An object says more: how many past
        items count, half-lives of events and of popularity, the share of a second part
        of the model, fold-in. It is a `sktwotower.towers.RecentHistory` or a
        `PooledHistory`, whose parameters are searched as ``history__half_life``, or a
        `sktwotower.towers.History` of your own.
    sparse_parts : "auto" or None, default="auto"
        Parts of the score that are not products of vectors: *what a user has had, times
        an item-item matrix*, of which some hundred entries are kept for each past item.
        "auto": a linear model of past items (EASE), walks to the items of others
        (RP3beta), what followed a past item in time and, with ``exclude_seen=False``,
        what the user had before. Their weights are learnt on ``validation_events``, and
        those with hardly any weight are left out. They need past items (``history``),
        and there are none where nothing is kept back. None: there are none, so that a
        score is the product of the vectors of `embed_users` and `embed_items`, as other
        stores of vectors compute it.
    validation_events : {"auto", "latest", "last"} or None, default="auto"
        Which events `fit` keeps back until its last epochs. They judge the model, and
        the weights of its parts are learnt on them. "latest": the latest events of all
        users, as lists are asked for now. "last": the last ones of each of some users,
        as each list is asked for at the user's own last moment. "auto": "latest" if
        most of the latest events are of users who were there long before and times do
        not only count the events of each user, otherwise "last". With "latest" and
        dates, the last events of some users long before these are kept back, too: on
        them, weights of requests at such times are learnt. Without the order of
        events, they are random pairs, at most 1% of all. At most 5% of the events and
        those of 2,500 users are kept back. Up to 50,000 events, they are kept back from
        a further model, which only judges; the model itself learns all events from the
        beginning. Last events and random pairs may then be a fifth of all, and so may
        the latest ones if fewer than 100 users ask otherwise; "auto" takes the last
        ones if fewer than 20 ask even so. Of items without features, last events and
        random pairs count as answers only if somebody else had the item before. With
        fewer than 20 users to judge by, or with ``early_stopping``, a set
        ``second_share`` of the history, ``max_epochs=1`` or ``normalize=False``, none
        are. None: none are, and parts have the usual weights.
    Towers
        The two networks, and what is hidden from them in training.
    user_tower, item_tower : torch.nn.Module or callable, default=None
        Modules that replace the default towers. They map a sparse COO tensor (n, p) to
        (n, d). Their first layer may be `torch.nn.LazyLinear` or `torch.nn.Linear`. A
        callable gets p and returns the module. A given module is copied. A pooled
        history is added to the output of the user tower. None: the default tower.
    embedding_dim : int or "auto", default="auto"
        Number d of entries of the vectors, >= 1. "auto": see the table in the guide.
    hidden_layer_sizes : tuple of int, default=()
        Widths of hidden layers of both default towers, >= 1. ``()``: linear towers.
    dropout : float or "auto", default="auto"
        Share of past items and of hidden units that are hidden in training, in [0, 1).
        "auto": see the table in the guide.
    id_dropout : float, default=0.5
        How often training hides the id of a user or item with ten events, in [0, 1].
        Ids with more events are hidden less (`sktwotower.towers.id_shares`). A higher
        value serves new items better, and known ones worse.
    normalize : bool, default=True
        Scale all vectors to length 1, so that their products are cosines.
    Candidates
        What a user's positives compete with in training.
    temperature : float or "auto", default="auto"
        Divisor of the scores in the loss, > 0. A lower value stresses the candidates
        with the highest scores. "auto": see the table in the guide.
    candidate_sampling : str, default="auto"
        Items that a positive competes with. "full": all. "in_batch": positives of other
        users. "uniform": a random sample. "mixed": the last two together.
        "auto": see the table in the guide.
    Outcomes
        How rewards (``y > 0``) and impressions (``y == 0``, what was shown and not
        chosen) count.
    reward_scale : {"log1p", "sqrt", "auto"} or None, default=None
        Transformation of ``y`` before it is multiplied by ``sample_weight``. "log1p":
        log(1 + y), "sqrt": its square root. Both keep a few large amounts from
        outweighing all others. "auto": the one that ranks held-out events best in short
        fits, see the table in the guide. `partial_fit` uses that of fit. None: ``y``
        counts as it is, so that a reward of 2 has the same effect as two rows.
    impression_weight : float, "auto" or "shown", default="auto"
        Weight of the loss of impressions, >= 0. A higher value orders shown items
        better, and mostly finds fewer in the whole catalog. 0: impressions only put
        their item into the catalog. "auto": the value with the best lists of the whole
        catalog, by the NDCG of held-out choices. It is 0 unless impressions raise that
        beyond noise, or if fewer than 500 users can be judged. "shown": the value with
        the best order of the items that were shown to a user, by the area under the ROC
        curve. It is 5 if fewer than 500 users can be judged. See the table in the
        guide. `partial_fit` keeps what was chosen.
    impression_start : float, default=0.5
        Share of training before impressions join, in [0, 1]. 1: they never join.
    Cold items
        What nobody has chosen.
    cold_item_weight : float or "auto", default="auto"
        Factor of the scores of items that fit knew and nobody has chosen, in (0, 1].
        A lower value gives their places to other items; among themselves they keep
        their order. New items of `set_catalog` and `partial_fit` have 1. Other values
        than 1 need exact search. "auto": see the table in the guide.
    Optimization
        How the towers are trained, and when training stops.
    max_epochs : int or "auto", default="auto"
        Number of passes over the users, >= 1. Halving searches take it as their
        ``resource``. "auto": see the table in the guide.
    batch_size : int or "auto", default="auto"
        Number of users in a batch, >= 1. With a recent history a batch holds at most 8
        times as many events. "auto": see the table in the guide.
    lr : float, default=0.01
        Highest learning rate of the one cycle, >= 0. An `LRScheduler` among
        ``callbacks`` replaces the cycle. `partial_fit` takes a fifth of it; with 0 it
        adds events to the past of their users, and learns nothing.
    weight_decay : float, default=0.01
        Weight decay of the optimizer, >= 0.
    optimizer : str or torch.optim.Optimizer class, default="rowwiseadam"
        "rowwiseadam": `sktwotower.towers.RowwiseAdam`, which updates only the rows that
        a batch touches. Or a class of `torch.optim`, or its name in lower case.
    early_stopping : bool, default=False
        Hold out some events, stop when the recall on them no longer rises, and keep the
        best epoch. The towers do not learn from the events held out.
    validation_fraction : float, default=0.1
        Share of the events that is held out, in (0, 1). With a recent history it is
        each user's last basket instead. It is used with ``early_stopping``, and with
        callbacks that monitor ``valid_loss`` or ``valid_recall``.
    n_iter_no_change : int, default=5
        Number of epochs without a better recall before training stops, >= 1.
    callbacks : list, default=None
        Callbacks of skorch, or pairs of name and callback. None: no callbacks.
    net_params : dict, default=None
        Further arguments of `skorch.NeuralNet`: ``{"optimizer__betas": (0.9, 0.98)}``.
        ``iterator_train__n_negatives`` (512) is the size of the random sample.
        ``iterator_train__correction`` says which logits are corrected for sampling:
        "negatives", "all" or None. ``iterator_train__feature_dropout`` (0.5) is the
        share of features, except ids, that training hides. With
        ``iterator_train__user_power`` p, a user of n events counts n ** p. Without it,
        p is 3/4 where users have chosen 3 % of the items, else 1. ``criterion`` is a
        loss of your own: a class of `torch.nn.Module` whose constructor accepts
        ``temperature`` and ``impression_weight``, which keeps the first one as an
        attribute, and whose ``forward(users, items, targets)`` returns a tensor of
        shape (), such as a subclass of `sktwotower.towers.Loss`. Its parameters are
        ``criterion__name``. All is checked before the first epoch. None: no further
        arguments.
    Retrieval
        How the nearest items are found, and which are left out.
    neighbors : {"auto", "exact", "nndescent"} or estimator, default="auto"
        Search for the nearest items: exact, by a graph, or by an estimator with ``fit``
        and ``kneighbors``. `sktwotower.neighbors.NNDescentNeighbors` has parameters of
        the graph. What it finds is scored exactly. A change takes effect at the next
        `fit`, `partial_fit` or `set_catalog`. "nndescent": these calls build the graph,
        which takes minutes for a million items, and files and pickles hold it. "auto":
        search is exact; only a call for 200,000 users or more, among more than 200,000
        items, first builds a graph, which belongs to this process, in no file.
    n_neighbors : int, default=10
        Number of items that retrieval returns, and that count in `score`, >= 1.
    exclude_seen : bool, default=True
        Never recommend items that the user chose in fit. With a recent history, `fit`
        and `partial_fit` then learn to predict first choices only: an item that a user
        chooses again counts as past. False: repeated choices are predicted as well, and
        ``sparse_parts`` learn how much counts that a user had an item before, how often
        and how lately. Set it before `fit` if people choose the same things again.
    Running
        Device, threads, seed and output.
    device : str, default="cpu"
        Device of torch, such as "cuda". Only CPUs were measured.
    n_jobs : int, default=None
        Number of torch's threads during a call, at most one for each processor. -1: all
        of them, or the share of a worker of joblib. None: torch's setting. A process
        that is forked from one with several has one.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, order and dropout. The same seed, data and number of threads
        give the same result.
    warm_start : bool, default=False
        Start from the weights of the last fit, by id, and train ``max_epochs`` more.
        Users, items and features must be the same, in any order. After a fit with a
        loss of your own, ``net_params`` must name one.
    checkpoint : str or path-like, default=None
        Folder that keeps the state of `fit` after each epoch. After a kill, the same
        call goes on from there. Other data, parameters or versions are refused, and so
        is a second fit while the first one uses the folder. None: nothing is kept.
    verbose : int or "auto", default="auto"
        Whether `fit` and long requests show how far they are. "auto": a progress bar in
        a terminal or a notebook, for what takes longer than four seconds; it goes when
        all is done. Pipes, log files, processes that joblib starts, and environments
        with ``CI`` or ``TQDM_DISABLE`` get none. 0: nothing. 1: bars in a terminal or a
        notebook from the first second on, which stay. 2: a line per epoch on stdout.
        The logger ``sktwotower`` gets what fit reads and chooses, at any value.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,) and (n_items,)
        Ids of the known users and of the catalog: sorted, or in the order of the side
        table or of `set_catalog`. Those that `partial_fit` adds come last.
    item_embeddings_ : ndarray of shape (n_items, d), float32
        Vectors of the catalog, those of cold items times `cold_item_weight_`. What
        ``sparse_parts`` add to scores is not in them.
    model_id_ : str
        Which item vectors these are: equal for the same ids in the same order with the
        same vectors, and different after a change of any. Vectors of users belong
        to item vectors of the same one only. Those of `embed_users` and `embed_items`
        carry it as ``model_id``.
    aligned_to_ : str or None
        ``model_id_`` of the older model of `align_to`; None: vectors are not turned.
    alignment_ : DataFrame of shape (2, 4) or None
        How comparable vectors are with those of the older model, ``before`` and
        ``after`` they were turned. ``cosine`` is the mean over the items of both, and a
        tenth of them have at most ``lowest_tenth``. Of lists of ten of these items,
        ``overlap_old_items`` is the share that stays if vectors of items are the old
        ones, and ``overlap_old_users`` if those of users are; nan if it is not known.
    user_transformer_, item_transformer_ : transformer
        The fitted transformers.
    context_transformer_ : transformer or None
        That of the context. None: there are no columns to encode.
    context_weights_ : Series of shape (n_columns,) or None
        How much each column of ``context`` counts, by its name: 1, 1/2, or 0 if it says
        too little. Columns that a transformer mixes have one weight. It is learnt on
        ``validation_events``; it is 1 where these are too few or are not kept back, and
        in several processes. None: X names no context, as with "auto".
    net_ : skorch.NeuralNet
        The trained net. ``net_.module_`` holds all towers, ``net_.history`` the figures
        of skorch.
    history_ : list of dict
        Per epoch: ``epoch``, ``train_loss``, ``dur`` (seconds) and, with validation,
        ``valid_loss`` and ``valid_recall``.
    candidate_sampling_ : str
        The way of sampling that was used.
    second_share_ : float
        Share of the second part in the score, now. 0: there is none.
    temperature_, impression_weight_, cold_item_weight_ : float
        The values that were used. If no row has ``y == 0``, a chosen
        ``impression_weight`` is 0.
    reward_scale_ : {"log1p", "sqrt"} or None
        The scale of rewards that was used.
    history_kind_ : str or None
        How the user tower sees past items (``history_`` holds the figures of epochs).
    half_life_, popularity_half_life_ : Timedelta, float or None
        The half-lives that were used, as a Timedelta where times are instants. None:
        events, or popularity, did not age. Of several half-lives of popularity, it is
        the one with the largest weight.
    validation_score_ : dict or None
        "recall@10", "ndcg@10" and "n_users": how good the lists were for
        ``validation_events`` when no part of the model had learnt these. The weights of
        parts were chosen on the same events. None: none were kept back.
    weights_ : DataFrame of shape (n_parts, n_columns)
        Share of each part in the score, by the number of the user's past items; its
        absolute values add up to 1 in a column. Sparse parts come last, in units of
        the mean of the largest weights of past items. If events were kept back, the
        last column is by how much the NDCG@20 for them falls without the part, in fit.
        `partial_fit` changes the other columns.
    time_unit_ : str or None
        What the times of fit were: "dates", numbers of a unit ("s", "ms", ...), or
        "order". None: there is no time column.
    interrupted_ : bool
        Whether Ctrl-C ended the last training. The model is what it had learnt by then,
        and there is a warning.
    neighbors_ : estimator
        The fitted neighbor index.
    index_recall_ : float
        Share of the true ``n_neighbors`` nearest items that the index finds, measured
        on 500 users of fit (1 for exact search). Below 0.95 there is a warning. If
        "auto" has built a graph for many users, it is at least 0.98.
    n_features_in_ : int
        Number of columns of X in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, if they are all strings.

    See Also
    --------
    sktwotower.TowerVectorizer : The default transformer of both tables.
    sktwotower.model_selection.search_space : What to tune first.
    sktwotower.baselines : Popularity, EASE and item-kNN, with the same methods.
    sktwotower.metrics.retrieval_report : Quality compared with baselines, by group.
    sktwotower.metrics.make_retrieval_scorer : Other metrics than the recall of `score`.

    Notes
    -----
    The page "Formulas" of the guide has all formulas, with their references, and the
    page "Serve a model" of the guide says what threads may do at the same time. Memory
    is O(nonzeros + (n_users + n_items) d), plus one block of scores.

    Examples
    --------
    A table of features lets the model recommend an item that nobody has chosen yet:

    >>> import pandas as pd
    >>> from sktwotower import TwoTowerRecommender
    >>> X = pd.DataFrame({
    ...     "reader": ["ann", "ann", "bob", "bob", "cid", "cid", "dan", "dan"],
    ...     "book": ["emma", "persuasion", "emma", "sanditon",
    ...              "dune", "solaris", "dune", "ubik"],
    ... })
    >>> authors = {"emma": "Austen", "persuasion": "Austen", "sanditon": "Austen",
    ...            "dune": "Herbert", "ubik": "Dick", "solaris": "Lem", "eden": "Lem"}
    >>> items = pd.DataFrame(authors.items(), columns=["book", "author"])
    >>> model = TwoTowerRecommender(items=items, random_state=0).fit(X)
    >>> model.recommend(["ann", "cid"], n_neighbors=2).round(2)
      reader      book  score  rank
    0    ann  sanditon   0.36     1
    1    ann      eden   0.05     2
    2    cid      eden   0.23     1
    3    cid      ubik  -0.35     2
    >>> model.similar_items(["eden"], n_neighbors=1).round(2)
       book similar_book  score  rank
    0  eden      solaris   0.88     1

    A new user comes with a history:

    >>> model.recommend(history={"eve": ["emma"]}, n_neighbors=1).round(2)
      reader        book  score  rank
    0    eve  persuasion   0.16     1
    """
