"""Pages of the guide: their code runs, on fewer purchases, and prints as they say."""

import ast
import importlib.util
import inspect
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sklearn.utils import Bunch

from sktwotower import TwoTowerRecommender, datasets
from sktwotower.two_stage import _fit_stages
from sktwotower.two_stage._ranker import default_ranker
from tests.docs.prose import sentences

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("guide/*.md"))
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(e-?\d+)?|\bnan\b")

LOOKED_UP = ["coming_from", "faq", "formulas", "glossary", "index", "messages"]
LOOKED_UP += ["sizing", "troubleshooting"]
HOW_TO = [page for page in PAGES if page.stem not in LOOKED_UP]
OTHERS = ["cluster", "exports", "larger_than_memory", "mlflow"]
HOW_TO += [DOCS / f"{name}.md" for name in OTHERS]

CUSTOMERS = [12347, 12782, 13904]  # the pages name them


def script():
    spec = importlib.util.spec_from_file_location("outputs", DOCS / "outputs.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["outputs"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


outputs = script()


def layout(text):
    """Return the first line, numbers as #, and how many lines there are."""
    lines = text.splitlines()
    return " ".join(NUMBER.sub("#", lines[0]).split()), len(lines)


def fewer(shop):
    """Return the shop with fewer products and customers, CUSTOMERS among them."""
    data = shop.data
    data = data[data["product"].isin(data["product"].value_counts().index[:400])]
    customers = data["customer"].value_counts().index[100:250]
    data = data[data["customer"].isin(customers.union(CUSTOMERS))]
    shop.data = shop.frame = data.reset_index(drop=True)
    shop.target = shop.data["quantity"].copy()
    return shop


@pytest.fixture(scope="module")
def small_shop():
    return fewer(datasets.load_online_retail())


@pytest.fixture
def quick(monkeypatch, small_shop, tmp_path):
    """Fewer purchases, epochs, dimensions and trees for what asks for the defaults."""

    def load(return_X_y=False, **options):
        shop = Bunch(**small_shop)
        return (shop.data, shop.target) if return_X_y else shop

    def few_trees(random_state):
        return default_ranker(random_state).set_params(max_iter=10)

    monkeypatch.setattr(datasets, "load_online_retail", load)
    monkeypatch.setattr(_fit_stages, "default_ranker", few_trees)
    defaults = inspect.unwrap(TwoTowerRecommender.__init__).__kwdefaults__
    monkeypatch.setitem(defaults, "max_epochs", 1)
    monkeypatch.setitem(defaults, "embedding_dim", 8)
    monkeypatch.setitem(defaults, "neighbors", "exact")
    monkeypatch.chdir(tmp_path)


def is_last(block):
    return block.last


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page, quick):
    names = {"__name__": "__main__"}
    for block in sorted(outputs.blocks(page.read_text("utf-8")), key=is_last):
        if block.not_run:
            continue
        code = block.code
        for long, short in block.replaced:
            assert long in code, f"{page.name}, line {block.line}: no {long!r}"
            code = code.replace(long, short)
        text = outputs.printed(replace(block, code=code), names, page.name)
        where = f"{page.name}, line {block.line}"
        if block.last:
            continue
        assert bool(text) == (block.output is not None), f"{where} printed {text!r}"
        if text and not block.differs:
            assert layout(text) == layout(block.output), f"{where} printed\n{text}"


def opening_faults(text):
    """Return what is wrong with the opening of a page that says how to do something."""
    opening = text.partition("\n## ")[0]
    before, *rest = re.split(r"!\[|<picture>", opening, maxsplit=1)
    found = outputs.blocks("".join(rest))
    if not rest or "```" in before or not found:
        return ["a picture and then code must come before the first heading"]
    code, why = found[0].code, found[0].not_run or "needs"
    n_statements = sum(isinstance(part, ast.stmt) for part in ast.walk(ast.parse(code)))
    faults = [] if why.startswith("needs") else ["its code can be run last"]
    if len(answer := sentences(before.partition("\n")[2].rstrip("["))) != 1:
        faults.append(f"one sentence of answer must come before the picture: {answer}")
    lines = [line for line in code.splitlines() if line]
    if n_statements > 5 or len(lines) > 8:
        faults.append(f"{n_statements} statements are not five lines:\n{code}")
    return faults


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_a_page_opens_with_a_picture_and_five_lines(page):
    assert not opening_faults(page.read_text("utf-8"))


OPENING = "# A\n\nDo this.\n\n![a](a.svg)\n\n"


@pytest.mark.parametrize(
    ("text", "n_faults"),
    [
        (f"{OPENING}```python\nf()\n```\n", 0),
        ("# A\n\nDo.\n\n<picture>\n</picture>\n\n```python\nf()\n```\n", 0),
        (f"{OPENING}## Title\n\n```python\nf()\n```\n", 1),
        ("# A\n\nDo.\n\n```python\nf()\n```\n\n![a](a.svg)\n", 1),
        ("# A\n\n![a](a.svg)\n\n```python\nf()\n```\n", 1),
        (f"{OPENING}```python\nf()\nf()\nf()\nf()\nf()\nf()\n```\n", 1),
        (f"{OPENING}```python\nf(\n1,\n2,\n3,\n4,\n5,\n6,\n7,\n)\n```\n", 1),
        (f"{OPENING}<!-- not run: X is below -->\n\n```python\nf()\n```\n", 1),
        (f"{OPENING}<!-- not run: needs X -->\n\n```python\nf()\n```\n", 0),
    ],
)
def test_faults_of_an_opening(text, n_faults):
    assert len(opening_faults(text)) == n_faults


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_all_python_of_a_page_is_seen(page):
    text = page.read_text("utf-8")
    found = outputs.blocks(text)
    assert len(found) == text.count("```python")
    assert sum(b.output is not None for b in found) == text.count("```text")


PAGE = """# Title

<!-- in tests: 20 -> 2 -->

<!-- in tests: the output differs -->

```python
n = 20

print("value", n)
print(n * 1.5)
```

```text
value 3
old
```

- An item:

  <!-- not run: needs a GPU -->

  ```python
  model.to("cuda")
  ```

```python
n += 1
```

<!-- run last: it prints what no one sees -->

```python
print(n)
```
"""


def test_blocks_of_a_page():
    first, second, third, last = outputs.blocks(PAGE)
    assert first.code == 'n = 20\n\nprint("value", n)\nprint(n * 1.5)\n'
    assert (first.line, first.output) == (8, "value 3\nold")
    assert first.replaced == (("20", "2"),) and first.differs
    assert second.not_run == "needs a GPU" and second.code == 'model.to("cuda")\n'
    assert third.code == "n += 1\n" and third.output is None
    assert not second.differs and not third.replaced
    assert last.last and not first.last and not second.last and not third.last
    assert layout(first.output) == ("value #", 2)


def test_outputs_are_written_into_the_page():
    text = outputs.written(PAGE)
    assert text == PAGE.replace("value 3\nold", "value 20\n30.0")
    silent = PAGE.replace('print("value", n)', "").replace("print(n * 1.5)", "")
    with pytest.raises(ValueError, match="line 8: the block prints nothing"):
        outputs.written(silent)
    with pytest.raises(ValueError, match="line 28: the block prints, without"):
        outputs.written(PAGE.replace("n += 1", "print(n)"))


def test_errors_name_the_line_of_the_page():
    (block,) = outputs.blocks("\n\n\n```python\na = 1\nb = 1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as caught:
        outputs.printed(block, {}, "start.md")
    assert caught.traceback[-1].lineno == 5  # counted from 0
