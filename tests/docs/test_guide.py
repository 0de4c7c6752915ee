"""Pages of the guide: their code runs, and prints all that they say that it prints.

Tests run it on fewer purchases. What it printed then, when ``docs/outputs.py`` wrote
the page, is in ``docs/printed``.
"""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("guide/*.md"))
LANDING = DOCS / "index.md"


def script():
    spec = importlib.util.spec_from_file_location("outputs", DOCS / "outputs.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["outputs"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


outputs = script()


def again(page):
    """Return what to do if a page is not as its code prints."""
    return f"Call: python docs/outputs.py {page.relative_to(DOCS.parent)}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", [LANDING, *PAGES], ids=lambda page: page.stem)
def test_the_code_of_a_page_prints_what_it_printed_for_the_page(page):
    text = page.read_text("utf-8")
    before = json.loads(outputs.stored(page).read_text("utf-8"))["small"]
    now = outputs.printed_small(text, page.name)
    assert len(before) == len(now), again(page)
    for block, old, new in zip(outputs.blocks(text), before, now, strict=True):
        where = f"{page.name}, line {block.line}"
        if block.not_run or block.last:
            continue
        assert bool(new) == (block.output is not None), f"{where} printed {new!r}"
        if not new:
            continue
        wrong = outputs.differences("\n".join(old), new, block.varies)
        assert not wrong, "\n".join([where, *wrong, again(page)])
        if not block.differs:
            lines = len(block.output.splitlines()), len(new.splitlines())
            assert lines[0] == lines[1], f"{where} printed\n{new}"


@pytest.mark.parametrize("page", [LANDING, *PAGES], ids=lambda page: page.stem)
def test_what_a_page_shows_was_written_with_what_its_code_printed(page):
    written = json.loads(outputs.stored(page).read_text("utf-8"))["shown"]
    assert outputs.checksum(page.read_text("utf-8")) == written, again(page)


@pytest.mark.parametrize("page", [LANDING, *PAGES], ids=lambda page: page.stem)
def test_the_first_code_of_a_page_runs_or_is_called_an_excerpt(page):
    text = page.read_text("utf-8")
    first, *_ = outputs.blocks(text) or [None]
    if first is not None and (first.last or first.not_run):
        before = text.partition("```python")[0]
        assert "excerpt" in before, f"{page.name}: say so, or show the whole program"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_all_python_of_a_page_is_seen(page):
    text = page.read_text("utf-8")
    found = outputs.blocks(text)
    assert len(found) == text.count("```python")
    assert sum(b.output is not None for b in found) == text.count("```text")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_first_code_of_a_page_runs_as_it_stands_or_is_called_an_excerpt(page):
    text = page.read_text("utf-8")
    match = outputs.BLOCK.search(text)
    if match is None:
        return
    first = outputs.block_of(match)
    if first.last or first.not_run:
        assert "excerpt" in text[: match.start()]


PAGE = """# Title

<!-- in tests: 20 -> 2 -->

<!-- in tests: the output differs -->

<!-- in tests: the output is of one run -->

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
    assert (first.line, first.output) == (10, "value 3\nold")
    assert first.replaced == (("20", "2"),) and first.differs and first.varies
    assert second.not_run == "needs a GPU" and second.code == 'model.to("cuda")\n'
    assert third.code == "n += 1\n" and third.output is None
    assert not second.differs and not third.replaced and not third.varies
    assert last.last and not first.last and not second.last and not third.last


def test_a_page_without_its_code_or_its_outputs_has_another_checksum():
    same = PAGE.replace("# Title", "# Another title")
    assert outputs.checksum(same) == outputs.checksum(PAGE)
    for old, new in [("old", "new"), ("n * 1.5", "n * 1.6"), ("value 3", "value 4")]:
        changed = outputs.checksum(PAGE.replace(old, new))
        assert changed != outputs.checksum(PAGE)


TABLE = """   description  score
0  RED MUG      0.820
1  BLUE MUG     0.771
2  SET OF 3     0.600
12346 people, 9.5e-05 of 1,200.25"""


@pytest.mark.parametrize(
    ("old", "new", "n_wrong"),
    [
        ("0.820", "0.800", 0),  # 2 %
        ("0.820", "0.790", 1),  # 4 %
        ("2  SET OF 3     0.600", "2  SET OF 3     0.215", 1),  # the last line counts
        ("RED MUG", "RED CUP", 1),
        ("12346", "12347", 1),  # a whole number is text
        ("SET OF 3 ", "SET OF 6 ", 1),
        ("9.5e-05", "9.6e-05", 0),
        ("1,200.25", "1,230.25", 0),
        ("1,200.25", "1,250.25", 1),
        ("  score", "     score", 0),  # columns may be wider
        ("2  SET OF 3     0.600\n", "", 1),
        ("1.", "1.", 0),
    ],
)
def test_outputs_agree_in_all_lines_and_figures(old, new, n_wrong):
    assert len(outputs.differences(TABLE, TABLE.replace(old, new, 1))) == n_wrong


def test_figures_of_one_run_are_not_compared_but_their_text_is():
    assert outputs.differences("fit took 0.3 s", "fit took 3.1 s")
    assert not outputs.differences("fit took 0.3 s", "fit took 3.1 s", varies=True)
    assert outputs.differences("fit took 0.3 s", "fit takes 0.3 s", varies=True)


def test_lines_change_places_only_if_their_figures_are_close():
    first = "0  RED MUG  0.820\n1  BLUE MUG  {}\n2  TEA SPOON  0.600"
    other = "0  BLUE MUG  0.822\n1  RED MUG  {}\n2  TEA SPOON  0.600"
    close, far = "0.815", "0.771"
    assert not outputs.differences(first.format(close), other.format(close))
    assert len(outputs.differences(first.format(far), other.format(far))) == 2
    # a product that was not on the page is a tie only at the end of the list
    assert outputs.differences(first.format(close), first.replace("BLUE", "TEAL"))
    cut = "0  RED MUG  0.820\n1  BLUE MUG  {}\n2  {}  {}"
    shown = cut.format(close, "TEA SPOON", "0.811")
    assert not outputs.differences(shown, cut.format(close, "CAKE TIN", "0.806"))
    assert outputs.differences(shown, cut.format(close, "CAKE TIN", "0.700"))


@pytest.mark.parametrize(
    ("shown", "printed", "close"),
    [
        (".215", ".184", False),
        (".215", ".210", True),
        ("0.84", "0.83", True),  # one unit of the last digit
        ("0.004", "0.008", True),  # small figures have .005
        ("0.004", "0.012", False),
        ("-0.300", "0.300", False),
        ("71.5", "70.0", True),
        ("71.5", "60.0", False),
    ],
)
def test_figures_are_close(shown, printed, close):
    assert outputs.is_close(shown, printed) == close


def test_outputs_are_written_into_the_page():
    text = outputs.written(PAGE)
    assert text == PAGE.replace("value 3\nold", "value 20\n30.0")
    silent = PAGE.replace('print("value", n)', "").replace("print(n * 1.5)", "")
    with pytest.raises(ValueError, match="line 10: the block prints nothing"):
        outputs.written(silent)
    with pytest.raises(ValueError, match="line 30: the block prints, without"):
        outputs.written(PAGE.replace("n += 1", "print(n)"))


def test_errors_name_the_line_of_the_page():
    (block,) = outputs.blocks("\n\n\n```python\na = 1\nb = 1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as caught:
        outputs.printed(block, {}, "start.md")
    assert caught.traceback[-1].lineno == 5  # counted from 0
