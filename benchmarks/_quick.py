"""``--quick``: does a script still run? On small made data, and nothing is written.

Input: the parser of a script's options, and at the end what contradicts its claims.
Output: the options, with a temporary folder of made data sets and one seed if
``--quick`` is among them. Processes that the script starts know it by a variable of the
environment.
"""

import atexit
import inspect
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

# Systems that scripts compare with, and the modules that these need.
PACKAGES = {"hnswlib": "hnswlib", "iALS": "implicit"}
VARIABLE = "SKTWOTOWER_QUICK_FOLDER"
RESULTS = Path(__file__).parent / "results"


def is_quick():
    """Return whether this process, or the one that started it, has ``--quick``."""
    return VARIABLE in os.environ


def results_folder():
    """Return the folder of results; with ``--quick`` a temporary one."""
    return Path(os.environ[VARIABLE], "results") if is_quick() else RESULTS


def made_folder():
    """Return the folder of the made data sets, which are written at the first call."""
    from _made_sources import write_all  # here, as few scripts read them

    folder = Path(os.environ[VARIABLE], "data")
    if not folder.exists():
        write_all(folder)
    return folder


def begin():
    """Let this process, and those that it starts, be quick."""
    folder = tempfile.mkdtemp(prefix="sktwotower_quick_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[VARIABLE] = folder
    results_folder().mkdir()
    shorten_fits()


def shorten_fits():
    """Let models that are given no sizes have one epoch, few numbers and few trees."""
    # here, as torch takes a second
    from sktwotower import TwoTowerRecommender
    from sktwotower.two_stage import _fit_stages
    from sktwotower.two_stage._ranker import default_ranker

    defaults = inspect.unwrap(TwoTowerRecommender.__init__).__kwdefaults__
    defaults |= {"max_epochs": 1, "embedding_dim": 8}
    _fit_stages.default_ranker = lambda random_state: default_ranker(
        random_state
    ).set_params(max_iter=10)


def parse_options(parser, *, needs_data=False):
    """Return the options of a script, ``quick`` among them.

    With ``--quick`` there is one seed, and ``data`` is the folder of made data sets.
    ``needs_data``: without ``--quick``, ``--data`` must be given.
    """
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small made data, one seed, nothing written or judged: does it run?",
    )
    chosen = parser.parse_args()
    if chosen.quick:
        begin()
        if "data" in chosen:
            chosen.data = str(made_folder())
        if "seeds" in chosen:
            chosen.seeds = 1
    elif needs_data and chosen.data is None:
        parser.error("--data DIR is needed: the folder that holds the data sets")
    return chosen


def is_left_out(package):
    """Return whether ``--quick`` leaves a system out, as its package is not installed.

    Without ``--quick``, what is missing is an error.
    """
    module = PACKAGES.get(package)
    if not is_quick() or module is None or find_spec(module) is not None:
        return False
    print(f"{package}: left out, not installed")
    return True


def assert_claims(wrong):
    """Fail with the claims that results contradict; with ``--quick`` print them."""
    if is_quick():
        print(f"--quick: claims are not judged on made data ({len(wrong)} do not hold)")
        return
    assert not wrong, "\n".join(wrong)
