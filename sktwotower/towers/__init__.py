"""The two towers and how they are trained.

Input: sparse feature rows (n, p) of users and items, and the pairs of both that were
chosen.
Output: vectors (n, d). Public: `RowwiseAdam`, `SampledSoftmaxLoss`,
`StreamingFrequency` and `id_shares`.
"""

from .._earlier_versions import TOWERS, refuse
from ._dropout import id_shares
from ._frequency import StreamingFrequency
from ._losses import SampledSoftmaxLoss
from ._optimizer import RowwiseAdam

__all__ = ["RowwiseAdam", "SampledSoftmaxLoss", "StreamingFrequency", "id_shares"]


def __getattr__(name):
    if name in TOWERS:
        refuse(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
