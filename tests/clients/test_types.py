"""Type checkers accept README, the guide and a user's code, and find its faults."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sktwotower
from tests.docs.test_guide import outputs

ROOT = Path(__file__).parents[2]
PACKAGE = Path(sktwotower.__file__).parents[1]
USER = Path(__file__).with_name("typed_user.py")

# What pyright guesses of scikit-learn, which has no annotations, from its defaults.
OF_SKLEARN = re.compile(r'"(n_candidates|min_resources|max_resources|cv)" of type')

pytestmark = pytest.mark.slow


def blocks_of(path):
    """Return the code of a page, each line in its place; what is run last ends it."""
    text = path.read_text("utf-8")
    lines = [""] * (text.count("\n") + 1)
    for block in outputs.blocks(text):
        code = [] if block.not_run else block.code.splitlines()
        place = len(lines) if block.last else block.line - 1
        lines[place : place + len(code)] = code
    return "\n".join(lines)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a module for each page."""
    folder = tmp_path_factory.mktemp("typed")
    for page in [ROOT / "docs" / "index.md", *ROOT.glob("docs/guide/*.md")]:
        (folder / f"page_{page.stem}.py").write_text(blocks_of(page), "utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (folder / "readme.py").write_text(code, "utf-8")
    (folder / USER.name).write_text(USER.read_text("utf-8"), "utf-8")
    return folder


def is_there(module):
    return pytest.mark.skipif(
        importlib.util.find_spec(module) is None, reason=f"needs {module}"
    )


@is_there("pyright")
def test_pyright(folder):
    settings = {
        "extraPaths": [str(PACKAGE)],
        "reportUnnecessaryTypeIgnoreComment": "error",
        "reportMissingImports": "none",  # of what is not installed for the tests
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = ["-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p"]
    done = subprocess.run(
        [sys.executable, *command, folder], capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] > 10
    wrong = [
        f"{Path(each['file']).name}:{each['range']['start']['line'] + 1} "
        f"{each['message']}"
        for each in found["generalDiagnostics"]
        if not OF_SKLEARN.search(each["message"])
    ]
    assert wrong == []


MYPY = """\
[mypy]
follow_imports = silent
ignore_missing_imports = True
# a page takes the same name for one model after the other
allow_redefinition = True

[mypy-typed_user]
check_untyped_defs = True
disallow_any_generics = True
disallow_incomplete_defs = True
disallow_subclassing_any = True
disallow_untyped_calls = True
disallow_untyped_defs = True
strict_equality = True
warn_return_any = True
warn_unused_ignores = True
"""


@is_there("mypy")
def test_mypy(folder):
    path = "" if "site-packages" in PACKAGE.parts else f"mypy_path = {PACKAGE}\n"
    settings = MYPY.replace("[mypy]\n", f"[mypy]\n{path}")
    (folder / "mypy.ini").write_text(settings)
    names = [path.name for path in folder.glob("*.py")]
    assert len(names) > 10
    command = [sys.executable, "-m", "mypy", "--no-error-summary", *names]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert (done.stdout, done.stderr) == ("", "")
