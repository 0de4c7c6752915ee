"""Records: values that write themselves to a file, and are checked when they are read.

Input: an object whose class says by annotations what its fields are.
Output: one zip file of arrays and JSON, and an equal object. Nothing here is public.
"""

from ._checks import (
    Check,
    array,
    cannot_write,
    csr,
    finite,
    instance,
    integer,
    list_of,
    number,
    one_of,
    positions,
    refuse,
    require,
    share,
    vectors,
)
from ._format_version import UpTo
from ._kinds import Codec, Kind
from ._registry import add_codec, add_kind, frozen, record
