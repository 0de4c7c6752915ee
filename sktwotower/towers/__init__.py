"""Parts of the training of `sktwotower.TwoTowerRecommender`, for use on their own.

The optimizer of large embedding tables, the loss of sampled candidates, the base class
of a loss of your own, the estimate of how often an item comes in a stream, and how
often the id of a user or an item is hidden in training.
"""

from .batches._dropout import id_shares
from .batches._frequency import StreamingFrequency
from .histories import History, PooledHistory, RecentHistory
from .losses._losses import Loss, SampledSoftmaxLoss
from .training._optimizer import RowwiseAdam

__all__ = [
    "History",
    "Loss",
    "PooledHistory",
    "RecentHistory",
    "RowwiseAdam",
    "SampledSoftmaxLoss",
    "StreamingFrequency",
    "id_shares",
]
