"""The file of answers: what all models of the golden set answered before."""

import gzip
import json
import platform
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
import sklearn
import torch

PATH = Path(__file__).parent / "answers.json.gz"
N_DIGITS = 9  # which tell numbers of 32 bits apart


def rounded(value):
    """Return a value with the digits that the file holds."""
    if isinstance(value, float):
        return float(f"{value:.{N_DIGITS}g}")
    if isinstance(value, list):
        return [rounded(entry) for entry in value]
    if isinstance(value, dict):
        return {name: rounded(entry) for name, entry in value.items()}
    return value


def machine():
    """Return by what answers are computed: the same on each, if all of it is."""
    return {
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "numpy": np.__version__,
        "pandas": pd.__version__,
        "scikit-learn": sklearn.__version__,
        "scipy": scipy.__version__,
        "torch": torch.__version__,
    }


def read(path=PATH):
    """Return the answers of a file, by model, and the machine that computed them."""
    held = json.loads(gzip.decompress(Path(path).read_bytes()))
    return held["answers"], held["machine"]


def write(answers, path=PATH):
    """Write answers, by model. Equal answers make equal files."""
    text = json.dumps({"machine": machine(), "answers": answers}, separators=(",", ":"))
    Path(path).write_bytes(gzip.compress(text.encode(), 9, mtime=0))
