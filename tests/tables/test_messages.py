"""Parts of messages."""

import numpy as np
import pandas as pd

from sktwotower._tables._messages import did_you_mean, format_ids, shorten


def test_suggestions():
    assert did_you_mean("pirce", ["price", "brand"]) == " Did you mean 'price'?"
    assert did_you_mean("zzz", ["a", 1]) == " Columns: 'a', '1'."
    assert did_you_mean("zzz", range(20)).endswith("'11', ....")
    assert format_ids(pd.Index([1, 2, 3]), n=2) == "1, 2, ..."
    assert format_ids(np.array(["a"])) == "'a'"


def test_of_many_entries_five_are_shown():
    assert shorten([*range(9)]) == "[0, 1, 2, 3, 4, ...]"
    assert shorten({n: [n] for n in range(6)}).count("[...]") == 5
    assert shorten([[1, 2], [3]]) == "[[...], [...]]"
    assert shorten("ann") == "'ann'"
