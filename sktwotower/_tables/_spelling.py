"""Names that look alike: they differ in case, blanks, ``_``, ``-`` or alphabets.

Input: a name, and known names.
Output: the known name that was probably meant.
"""

import unicodedata
from difflib import get_close_matches

# Letters of other alphabets that look like Latin ones. Those that NFKC knows, such as
# full-width letters, need no entry.
CYRILLIC = str.maketrans(
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0423"
    "\u0406\u0405\u0408\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458"
    "\u0501\u04bb",
    "ABEKMHOPCTXYISJaeopcyxisjdh",
)
GREEK = str.maketrans(
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4"
    "\u03a5\u03a7\u03b1\u03b9\u03ba\u03b7\u03bf\u03c1\u03c4\u03c5\u03bd\u03c7",
    "ABEZHIKMNOPTYXaiknoptuvx",
)
OTHER_LATIN = str.maketrans("\u0131\u0251\u0261\u028f", "iagy")
LOOK_ALIKES = {**CYRILLIC, **GREEK, **OTHER_LATIN}
# Unicode categories of what separates words or is invisible: spaces, dashes, connectors
# such as "_", control and format characters.
SEPARATORS = {"Zs", "Zl", "Zp", "Pd", "Pc", "Cc", "Cf"}


def are_alike(name, other):
    """Return whether two names differ only in what a reader overlooks."""
    return not _forms(name).isdisjoint(_forms(other))


def closest(name, known, cutoff=0.6):
    """Return the known name that a name probably stands for, or None.

    It looks alike, has two letters next to each other exchanged, or is the most similar
    one by difflib, with its ``cutoff``.
    """
    known = list(known)
    forms = _forms(name)
    for other in known:
        if not forms.isdisjoint(_forms(other)):
            return other
    text = _folded(str(name))
    known_of_text = {_folded(str(other)): other for other in reversed(known)}
    for other in known_of_text:
        if _are_swapped(text, other):
            return known_of_text[other]
    similar = get_close_matches(text, known_of_text, n=1, cutoff=cutoff)
    return known_of_text[similar[0]] if similar else None


def _forms(name):
    """Return what is left of a name without separators, case and look-alikes, a set.

    The second form, with look-alikes as Latin letters, tells "hour" with one Cyrillic
    letter; the first one, two spellings of a name that is Cyrillic as a whole.
    """
    text = unicodedata.normalize("NFKC", str(name))
    latin = text.translate(LOOK_ALIKES)
    return {_without_separators(text), _without_separators(latin)} - {""}


def _without_separators(text):
    """Return a folded text without blanks, dashes and what is invisible."""
    kept = ""
    for letter in _folded(text):
        if unicodedata.category(letter) not in SEPARATORS:
            kept += letter
    return kept


def _folded(text):
    """Return a text without differences of case and of Unicode's compatible forms."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", text)


def _are_swapped(text, other):
    """Return whether two texts differ by one exchange of neighbors, as "huor" does."""
    if len(text) != len(other) or len(text) < 3:
        return False
    differing = [i for i in range(len(text)) if text[i] != other[i]]
    if len(differing) != 2:
        return False
    first, second = differing
    if second != first + 1:
        return False
    return text[first] == other[second] and text[second] == other[first]
