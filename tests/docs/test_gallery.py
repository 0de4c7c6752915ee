"""The page of the gallery shows all its scripts, and CI runs them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "gallery"
PATHS = sorted(FOLDER.glob("*.py"))
INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_page_has_each_script_with_its_picture():
    assert set(re.findall(r"\((\w+\.py)\)", INDEX)) == {path.name for path in PATHS}
    pictures = set(re.findall(r'src="thumbnails/(\w+)\.png"', INDEX))
    assert pictures == {path.stem for path in PATHS} and len(PATHS) >= 20
    there = {path.stem for path in (FOLDER / "thumbnails").glob("*.png")}
    assert there == pictures


def test_ci_runs_all():
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "examples/gallery/*.py" in text
    assert "python -W error::UserWarning:__main__" in text
