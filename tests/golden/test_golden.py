"""Models answer as they did before; see `renew` for answers that are meant to change.

Numbers may differ by what processors and versions of torch do. The environment variable
``SKTWOTOWER_GOLDEN=exact`` asks for the same bits, on a processor and with libraries of
the kind that computed the stored ones.
"""

import os

import pytest

from . import stored
from .comparison import differences, shortened
from .subjects import NAMES, answers_now, tolerance_of

IS_EXACT = os.environ.get("SKTWOTOWER_GOLDEN") == "exact"
# They take hundredths of a second, and pass most rooms.
QUICK = ["pooled history", "recent history", "EASE", "contents of items"]
# A search among weights, or equal scores, may go another way on another processor.
OF_ONE_MACHINE = {
    "context",
    "after partial_fit in time",
    "after partial_fit with contexts",
    "two stages, towers and the default ranker",
    "importance of columns",
}
CASES = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in NAMES
]


@pytest.fixture(scope="module")
def before():
    return stored.read()[0]


def test_all_models_are_stored(before):
    gone = before.keys() - NAMES - {"two processes"}  # which not all systems can fork
    assert not gone, gone
    assert before.keys() >= {*NAMES}, "call python -m tests.golden.renew"


@pytest.mark.skipif(not IS_EXACT, reason="SKTWOTOWER_GOLDEN=exact was not asked for")
def test_the_machine_can_compare_exactly():
    """If this fails, renew the answers on this machine, by the code of before."""
    assert stored.read()[1] == stored.machine()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_models_answer_as_before(name, before):
    if name in OF_ONE_MACHINE and not IS_EXACT:
        pytest.skip("only compared exactly")
    how = {"exact": IS_EXACT, "tolerance": tolerance_of(name)}
    lines = differences(name, before[name], answers_now(name), **how)
    if lines:
        pytest.fail("\n".join(shortened(lines)), pytrace=False)
