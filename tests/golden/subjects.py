"""All that is asked for the golden set: models, and functions that need none."""

from .answers import answers_of
from .comparison import TOLERANCE
from .models import MODELS, QUESTIONS
from .stored import rounded
from .tasks import TASKS

NAMES = [*MODELS, *TASKS]


def answers_now(name):
    """Return the answers of today of a subject."""
    if name in TASKS:
        return rounded(TASKS[name]())
    return rounded(answers_of(MODELS[name](), QUESTIONS[name]))


def tolerance_of(name):
    """Return by how much its numbers may differ on another processor."""
    return QUESTIONS[name].tolerance if name in QUESTIONS else TOLERANCE
