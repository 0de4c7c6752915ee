"""Names that look alike, and names that do not."""

import pytest

from sktwotower._tables._messages import refuse_misspelled
from sktwotower._tables._spelling import are_alike, closest

ALIKE = [
    ("page_type", "Page_Type"),
    ("page_type", "PAGETYPE"),
    ("page_type", "page-type"),
    ("page_type", " page type "),
    ("page_type", "page\u00a0type"),  # a blank that does not break
    ("page_type", "page\u2013type"),  # a long dash
    ("q", "Q"),
    ("day", "d\u200bay"),  # a blank without width
    ("day", "\uff44\uff41\uff59"),  # full-width letters
    ("day", "\U0001d41d\U0001d41a\U0001d432"),  # bold letters of formulas
    ("day", "d\u0430y"),  # with a Cyrillic letter
    ("DAY", "D\u0410Y"),
    ("TIME", "\u03a4IM\u0415"),  # with a Greek and a Cyrillic letter
    ("stra\u00dfe", "STRASSE"),
    ("\u0447\u0430\u0441", "\u0427\u0410\u0421"),  # Cyrillic as a whole
    ("\u00fcber", "u\u0308ber"),  # composed and not
    ("hour_1", "hour1"),
]


@pytest.mark.parametrize(("name", "other"), ALIKE)
def test_names_that_look_alike(name, other):
    assert are_alike(name, other) and are_alike(other, name)
    assert closest(other, ["something", name]) == name
    with pytest.raises(ValueError, match="is not a column of fit. Did you mean"):
        refuse_misspelled([other], [name], "column", "X", only_alike=True)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("day", "may"),
        ("hour", "hours"),
        ("x1", "x2"),
        ("q", "k"),
        ("_", "-"),
        ("", " "),
    ],
)
def test_names_that_do_not(name, other):
    assert not are_alike(name, other)
    refuse_misspelled([other], [name], "column", "X", only_alike=True)


def test_unrelated_columns_are_not_refused():
    others = ["price", "city", "weekday", "n_clicks", 7, "user_agent"]
    refuse_misspelled(others, ["hour", "device", "page_type"], "column", "X")


def test_the_closest_name():
    assert closest("dve", ["device", "dev"]) == "dev"  # two letters exchanged
    assert closest("PIRCE", ["brand", "price"]) == "price"
    assert closest("colour", ["color", "Colour"]) == "Colour"
    assert closest("1", [0, 1]) == 1
    assert closest("zzz", ["hour"]) is None and closest("hour", []) is None
