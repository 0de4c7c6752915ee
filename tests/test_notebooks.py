"""The notebooks as they are committed; .ci/run executes them."""

import ast
import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
MACHINE = re.compile(r"/(home|root|tmp|work|Users)/|site-packages|ipykernel_\d")


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def notebook(request):
    return json.loads(request.param.read_text(encoding="utf-8"))


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def outputs(cells):
    return [output for cell in cells for output in cell["outputs"]]


def lengths_of_functions(source):
    return [
        node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    ]


def test_the_index_lists_them_and_ci_executes_them():
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\|.*\((\S+\.ipynb)\)", index, re.M)
    assert PATHS and {path.name for path in PATHS} <= set(listed)
    ci = (FOLDER.parent / ".ci" / "run").read_text(encoding="utf-8")
    assert "jupyter execute --inplace" in index and "jupyter execute" in ci


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_files_are_small(path):
    assert path.stat().st_size < 400_000


def test_it_opens_with_question_answer_and_minutes(notebook):
    first = notebook["cells"][0]
    text = "".join(first["source"])
    assert first["cell_type"] == "markdown" and text.startswith("# ")
    assert "**Question.**" in text and "**Answer.**" in text
    assert re.search(r"minute|second", text)


def test_a_picture_comes_early(notebook):
    early = outputs(code_cells(notebook)[:6])
    assert any("image/png" in output.get("data", {}) for output in early)


def test_cells_are_few_and_functions_short(notebook):
    cells = code_cells(notebook)
    assert len(cells) <= 15
    lengths = [n for c in cells for n in lengths_of_functions("".join(c["source"]))]
    assert max(lengths, default=0) <= 5


def test_it_was_run_from_top_to_bottom(notebook):
    cells = code_cells(notebook)
    counts = [cell["execution_count"] for cell in cells]
    assert counts == list(range(1, len(cells) + 1))
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"


def test_nothing_went_wrong_and_no_machine_shows(notebook):
    for output in outputs(code_cells(notebook)):
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr"
        data = {k: v for k, v in output.get("data", {}).items() if k != "image/png"}
        text = "".join(output.get("text", [])) + json.dumps(data)
        assert not MACHINE.search(text), MACHINE.search(text)


def test_lengths_of_functions_are_counted():
    source = "def a():\n    return 1\n\nx = 1\n\ndef b():\n    y = 2\n    return y\n"
    assert lengths_of_functions(source) == [2, 3]
