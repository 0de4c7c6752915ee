"""Parts of messages."""

import numpy as np
import pandas as pd

from sktwotower._tables._messages import did_you_mean, format_ids


def test_suggestions():
    assert did_you_mean("pirce", ["price", "brand"]) == " Did you mean 'price'?"
    assert did_you_mean("zzz", ["a", 1]) == " Columns: 'a', '1'."
    assert did_you_mean("zzz", range(20)).endswith("'11', ....")
    assert format_ids(pd.Index([1, 2, 3]), n=2) == "1, 2, ..."
    assert format_ids(np.array(["a"])) == "'a'"
