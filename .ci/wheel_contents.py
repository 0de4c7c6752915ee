"""Compare what a wheel holds with the files of the package.

Call: ``wheel_contents.py CHECKOUT WHEEL``.
Input: the folder that the wheel was built from, without files of earlier builds.
Output: how many files it holds; an error names those that are missing or too many.
"""

import sys
from pathlib import Path
from zipfile import ZipFile


def main():
    """Compare the files of the package with those of the wheel."""
    checkout, wheel = Path(sys.argv[1]), sys.argv[2]
    package = (checkout / "sktwotower").rglob("*")
    expected = {str(p.relative_to(checkout)) for p in package if p.is_file()}
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    found = {name for name in names if ".dist-info/" not in name}
    missing, surplus = sorted(expected - found), sorted(found - expected)
    assert not missing, f"The wheel lacks {missing}: see package_data in setup.py."
    assert not surplus, f"The wheel holds {surplus}, which are not of the package."
    assert any(name.endswith("/licenses/LICENSE") for name in names), "no LICENSE"
    print(f"{len(found)} files of the package, {len(names) - len(found)} about it")


if __name__ == "__main__":
    main()
