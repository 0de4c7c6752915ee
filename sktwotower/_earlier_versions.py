"""Refusal of files saved by a version before the package was divided into subpackages.

Input: the name of a module or class that such a file, or an old import, asks for.
Output: an ImportError that says what to do.
"""

import sys

# Modules that are in no subpackage any more, and classes that left a module whose name
# is now that of a subpackage.
MODULES = frozenset(
    """
    _beyond_accuracy _callbacks _competitors _diagram _groups _halving _hits
    _interaction_split _rendering _report _scorers _search_space _side_tables ablation
    caching catalog cells contributions dropout encoders entities evaluation exact
    explanation filters fitting fold_in frames growth interactions kernels kinds losses
    matrix net optim queries sampling training validation vectors vocabularies
    """.split()
)
TOWERS = frozenset(["SparseLinear", "SparseRows", "Tower", "TwoTower"])


class _Finder:
    """Refuse to import the modules of earlier versions."""

    @staticmethod
    def find_spec(fullname, path=None, target=None):
        """Raise ImportError if the module is an earlier one; return None otherwise."""
        package, _, module = fullname.partition(".")
        if package == "sktwotower" and module in MODULES:
            refuse(fullname)


def refuse(name):
    """Raise ImportError for a module or class that only earlier versions had."""
    raise ImportError(
        f"{name} belongs to a version before sktwotower was divided into subpackages. "
        "Was a saved model being loaded? Files of that version cannot be read: fit "
        "again with this version, and save again. Is it an import? CHANGELOG.md lists "
        "where each public name is now.",
        name=name,
    )


sys.meta_path.append(_Finder)
