"""What tests of real clients share: they are skipped where a client is missing."""

from importlib.metadata import PackageNotFoundError, version

import pytest

from sktwotower.datasets import make_interactions
from tests.versions import number


def needs(*requirements):
    """Return marks of tests that need packages; nothing is imported to find out."""
    missing = [each for each in requirements if not is_there(*each.split(">="))]
    skip = pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")
    return [pytest.mark.slow, skip]


def is_there(package, lowest="0"):
    """Return whether a package of this version or a later one is installed."""
    try:
        return number(version(package)) >= number(lowest)
    except PackageNotFoundError:
        return False


def shop():
    """Return events of 60 users and 30 items, with a time."""
    return make_interactions(60, 30, n_clusters=3, random_state=0).data
