"""All that is asked for the golden set: models, and functions that need none."""

from .answers import answers_of
from .models import MODELS, QUESTIONS
from .stored import rounded

NAMES = [*MODELS]


def answers_now(name):
    """Return the answers of today of a subject."""
    return rounded(answers_of(MODELS[name](), QUESTIONS[name]))
