"""The notebooks as they are committed, and whether their code runs."""

import json
import re
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
sys.path.insert(0, str(FOLDER.parent / "benchmarks"))

from _sentences import places  # noqa: E402

from tests.docs.test_guide import outputs as pages  # noqa: E402

PATHS = sorted(FOLDER.glob("*.ipynb"))
# Figures of a text, such as .107 or 23 %, and what holds none of the notebook's own:
# code and 95 % intervals. Those of benchmarks are filled in by benchmarks/fill.py.
FIGURE = re.compile(r"(?<![\w.,])(?:\.\d+|\d+(?:\.\d+)? %)")
FOREIGN = re.compile(r"```.*?```|`[^`]*`|95 %", re.DOTALL)
# Those that little data are enough for; .ci/run long executes all of them.
QUICK = ["1_quickstart.ipynb", "2_features_and_cold_start.ipynb", "5_two_stages.ipynb"]
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


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.filterwarnings("ignore")
def test_the_code_of_a_notebook_runs_on_few_data(name):
    cells = json.loads((FOLDER / name).read_text("utf-8"))["cells"]
    names = {"__name__": "__main__"}
    with pages.small(), pages.empty_folder():
        for place, cell in enumerate(cells):
            if cell["cell_type"] == "code":
                source = "".join(cell["source"])
                exec(compile(source, f"{name}, cell {place}", "exec"), names)


def test_figures_of_the_text_are_those_of_the_outputs(path):
    name = f"notebooks/{path.name}"
    text = path.read_text("utf-8")
    for place in reversed(places(name, text)):  # what fill.py computes
        text = text[: place.start] + text[place.end :]
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
