"""What was meant by an argument that a function does not have.

Input: a call with keyword arguments.
Output: its result; a ``TypeError`` that names the argument that was probably meant.
"""

import functools
import inspect
from collections.abc import Callable
from typing import TypeVar

from ._messages import did_you_mean
from ._spelling import are_alike

Function = TypeVar("Function", bound=Callable)

# Names that other libraries have for the same, ours first. Of several groups with a
# name, the first one counts of which the function has an argument.
SYNONYMS = (
    ("n_similar", "k", "top_k", "max_neighbors", "neighborhood"),
    ("n", "n_neighbors", "k", "top_k", "top_n", "n_top", "n_items", "num_items")
    + ("n_recommendations", "n_recs", "limit", "size", "count"),
    ("max_epochs", "epochs", "n_epochs", "num_epochs", "epoch", "iterations")
    + ("n_iter", "max_iter", "num_iterations", "n_iterations"),
    ("embedding_dim", "n_factors", "factors", "num_factors", "n_components")
    + ("no_components", "dim", "dims", "n_dims", "dimension", "dimensions", "rank")
    + ("embedding_size", "emb_dim", "emb_size", "latent_dim", "vector_size"),
    ("lr", "learning_rate", "eta", "step_size"),
    ("random_state", "seed", "random_seed", "rng"),
    ("similarity", "normalize", "metric", "distance", "cosine"),
    ("l2", "weight_decay", "reg", "regularization", "lambda_", "reg_lambda", "lam"),
    ("hidden_layer_sizes", "layers", "hidden_layers", "hidden_dims", "hidden_units")
    + ("hidden_sizes", "mlp"),
    ("batch_size", "bs", "batch"),
    ("n_jobs", "num_threads", "n_threads", "threads", "workers", "num_workers"),
    ("verbose", "show_progress", "progress", "progress_bar"),
    ("device", "gpu", "cuda", "use_gpu", "accelerator"),
    ("candidate_sampling", "negatives", "n_negatives", "num_negatives", "sampler")
    + ("negative_sampling", "neg_ratio"),
    ("n_iter_no_change", "patience"),
    ("validation_fraction", "validation_split", "val_split", "val_size"),
    ("checkpoint", "checkpoint_dir", "checkpoint_path", "save_dir"),
    ("user_id", "user", "user_col", "user_column", "uid"),
    ("item_id", "item", "item_col", "item_column", "iid"),
    ("time", "timestamp", "time_col", "timestamp_col", "date", "datetime", "ts"),
    ("exclude_seen", "filter_seen", "filter_viewed", "remove_seen", "exclude_known")
    + ("filter_already_liked_items", "exclude_viewed", "exclude_interacted"),
    ("exclude", "blacklist", "exclude_items", "banned", "without"),
    ("candidates", "whitelist", "items_to_recommend", "allowed", "among", "items"),
    ("where", "filter", "filters", "condition", "query"),
    ("history", "basket", "session", "past", "interactions", "user_items")
    + ("max_len", "max_length", "seq_len", "session_max_len", "sequence_length"),
    ("X", "user", "users", "user_ids", "user_id"),
)

SCALAR = (bool, int, float, str)  # types of values that a message repeats


def hinted(function: Function) -> Function:
    """Make errors about unknown keyword arguments say which one was probably meant.

    Decorates a function, a method or a class, the arguments of whose constructor are
    meant. The signature stays that of the function. A class may say by ``_moved`` where
    arguments went that its constructor once had.
    """
    if isinstance(function, type):
        function.__init__ = hinted(function.__init__)
        return function

    @functools.wraps(function)
    def call(*arguments, **named):
        try:
            return function(*arguments, **named)
        except TypeError:
            parameters = inspect.signature(function).parameters
            kinds = {parameter.kind for parameter in parameters.values()}
            unknown = [name for name in named if name not in parameters]
            if not unknown or inspect.Parameter.VAR_KEYWORD in kinds:
                raise  # of the function itself
            message = _message(function, arguments, named, unknown[0])
            if function.__name__ == "__init__" and hasattr(arguments[0], "_moved"):
                message = arguments[0]._moved(named) or message
        raise TypeError(message)

    return call


def _message(function, arguments, named, unknown):
    """Return the message about an unknown argument, as Python's, with a hint."""
    names = list(inspect.signature(function).parameters)
    called = function.__name__
    in_constructor = None
    if names[0] == "self":
        names = names[1:]
        owner = type(arguments[0])
        called = f"{owner.__name__}.{called}"
        if function.__name__ in ("fit", "partial_fit"):
            parameters = inspect.signature(owner).parameters
            is_scalar = isinstance(named[unknown], SCALAR)
            if unknown in parameters or is_scalar:
                in_constructor = _meant(unknown, parameters)
    meant = _meant(unknown, names)
    if in_constructor is not None:
        value = repr(named[unknown]) if is_scalar else "..."
        hint = (
            f" Pass it to the constructor: {owner.__name__}({in_constructor}={value})"
        )
    elif meant is not None:
        hint = f" Did you mean {meant!r}?"
    else:
        hint = did_you_mean(unknown, names, "Arguments")
    return f"{called}() got an unexpected keyword argument {unknown!r}.{hint}"


def _meant(unknown, names):
    """Return the name of an argument that means the same, None if there is none."""
    if unknown in names:
        return unknown
    for group in SYNONYMS:
        if any(are_alike(unknown, name) for name in group):
            for name in group:
                if name in names:
                    return name
    return None
