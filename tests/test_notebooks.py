"""The notebooks as they are committed; .ci/run executes them."""

import ast
import json
import re
from pathlib import Path

import pytest

from tests.benchmarks.texts import without

FOLDER = Path(__file__).parents[1] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
# Figures of a text, such as .107 or 23 %, and what holds none of the notebook's own:
# code and 95 % intervals. Those of benchmarks are filled in by benchmarks/fill.py.
FIGURE = re.compile(r"(?<![\w.,])(?:\.\d+|\d+(?:\.\d+)? %)")
FOREIGN = re.compile(r"```.*?```|`[^`]*`|95 %", re.DOTALL)
MACHINE = re.compile(r"/(home|root|tmp|work|Users)/|site-packages|ipykernel_\d")


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return json.loads(path.read_text(encoding="utf-8"))


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


def printed_numbers(cells):
    """Return all numbers of printed text and of tables, without their signs."""
    texts = [
        "".join(output.get("text", output.get("data", {}).get("text/plain", [])))
        for output in outputs(cells)
    ]
    return {float(number) for number in re.findall(r"\d*\.?\d+", "\n".join(texts))}


def is_printed(figure, numbers):
    """Return whether a figure is the rounding of one of the numbers."""
    value = figure.removesuffix(" %")
    half = 0.5001 * 10.0 ** -len(value.partition(".")[2])
    scales = (1, 100) if figure.endswith("%") else (1,)
    return any(
        abs(n * scale - float(value)) <= half for n in numbers for scale in scales
    )


def test_the_index_lists_them_and_ci_executes_them():
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\|.*\((\S+\.ipynb)\)", index, re.M)
    assert PATHS and {path.name for path in PATHS} <= set(listed)
    ci = (FOLDER.parent / ".ci" / "run").read_text(encoding="utf-8")
    assert "jupyter execute --inplace" in index and "jupyter execute" in ci


def test_files_are_small(path):
    assert path.stat().st_size < 400_000


def test_it_opens_with_question_answer_and_minutes(notebook):
    first = notebook["cells"][0]
    text = "".join(first["source"])
    assert first["cell_type"] == "markdown" and text.startswith("# ")
    assert "**Question.**" in text and "**Answer.**" in text
    assert re.search(r"minute|second", text)


def test_a_picture_comes_early(notebook):
    early = outputs(code_cells(notebook)[:3])
    assert any("image/png" in output.get("data", {}) for output in early)


def test_figures_of_the_text_are_those_of_the_outputs(path):
    name = f"notebooks/{path.name}"
    text = without(path.read_text("utf-8"), {"figure", "claim"}, name)
    notebook = json.loads(text)
    texts = ["".join(c["source"]) for c in notebook["cells"] if "outputs" not in c]
    figures = FIGURE.findall(FOREIGN.sub("", "\n".join(texts)))
    numbers = printed_numbers(code_cells(notebook))
    assert [figure for figure in figures if not is_printed(figure, numbers)] == []


@pytest.mark.parametrize(
    ("figure", "number", "expected"),
    [
        (".107", 0.1066, True),
        (".107", 0.1064, False),
        ("23 %", 0.2265, True),
        ("23 %", 23.0, True),
        ("9.8 %", 0.0977, True),
        ("10 %", 0.0945, False),
    ],
)
def test_printed_figures_are_recognized(figure, number, expected):
    assert FIGURE.findall(f"It finds {figure}, more.") == [figure]
    assert is_printed(figure, {number}) is expected


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
