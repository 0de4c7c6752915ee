"""What all scripts of the gallery have; .ci/run executes them."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "gallery"
PATHS = sorted(FOLDER.glob("*.py"))
INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")


def texts(source):
    """Return the title and the text of the docstring, and the comments of the cells."""
    title, line, text = ast.get_docstring(ast.parse(source)).split("\n", 2)
    assert line == "=" * len(title)
    cells = re.findall(r"^# %%\n((?:# .+\n)+)", source, re.MULTILINE)
    return title, text, [cell.replace("# ", "") for cell in cells]


def longest_sentence(text):
    return max(len(each.split()) for each in re.split(r"(?<=[.:?])\s", text))


def n_calls(source, name):
    calls = (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call))
    return sum(ast.unparse(call.func) == name for call in calls)


def test_scripts_are_short_and_have_a_title_plain_sentences_and_one_picture():
    for path in PATHS:
        source = path.read_text(encoding="utf-8")
        assert len(source.splitlines()) < 60, path
        _, text, cells = texts(source)
        assert all(longest_sentence(each) <= 20 for each in (text, *cells)), path
        assert n_calls(source, "plt.subplots") == n_calls(source, "plt.show") == 1, path
        assert n_calls(source, "ax.set_title") == 1, path
        assert re.search("xlabel|xticklabels|Display", source), path  # of the axes


def test_the_index_has_the_title_text_and_picture_of_each():
    for path in PATHS:
        title, text, _ = texts(path.read_text(encoding="utf-8"))
        line = " ".join(text.split()).replace("``", "`")
        assert f"<br>\n**[{title}]({path.name})**: {line}\n" in INDEX
        picture = FOLDER / "thumbnails" / f"{path.stem}.png"
        assert f'src="thumbnails/{picture.name}"' in INDEX
        assert picture.stat().st_size < 40_000, path


def test_the_index_has_no_others_and_ci_runs_all():
    assert set(re.findall(r"\((\w+\.py)\)", INDEX)) == {path.name for path in PATHS}
    assert len(list((FOLDER / "thumbnails").iterdir())) == len(PATHS) >= 20
    for file in (".ci/run", ".github/workflows/tests.yml"):
        text = (ROOT / file).read_text(encoding="utf-8")
        assert "examples/gallery/*.py" in text
        assert "python -W error::UserWarning:__main__" in text
