"""README, the guide and the other pages as GitHub renders them."""

import pytest

pytest.importorskip("markdown_it")

from .github import ROOT, faults, parsed, slug  # noqa: E402

FILES = ["*.md", "benchmarks/*.md", "notebooks/*.md", "docs/*.md", "docs/guide/*.md"]
# The page on which the site opens, and pages that are another file of the repository.
SITE_ONLY = ("docs/index.md",)
INCLUDE = "```{include} "
PAGES = {
    str(path.relative_to(ROOT)): path
    for pattern in FILES
    for path in sorted(ROOT.glob(pattern))
    if not path.read_text("utf-8").startswith(INCLUDE)
}
GOOD = """
# A title: `code` & more

A [link](#a-title-code--more), [another](other.md#term), ![a picture](a.svg), a
[file](sub/), [remote](https://example.org/nothing) and 1::2, at 12:30: `x`, {a} `b`.

<!-- figures best=row
columns: -
-->

| a | b |
|---|---|
| <a id="here"></a>`a` | [term](#here) |

- An item:

  <!-- not run: why -->

  ```python
  x = "`:doc:`"
  ```

<details><summary>More</summary>

**Text** with $x_i$.

</details>

<picture><source srcset="a.svg"><img src="a.svg" alt="a"></picture>
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.svg").touch()
    (tmp_path / "index.rst").touch()
    (tmp_path / "other.md").write_text('# Other\n\n| <a id="term"></a>term |\n|---|\n')
    return tmp_path


def found(folder, text):
    return faults(folder / "page.md", parsed(text), folder)


@pytest.mark.parametrize("name", sorted(set(PAGES) - set(SITE_ONLY)))
def test_github_shows_the_page(name):
    assert faults(PAGES[name]) == []


def test_all_pages_are_looked_at():
    assert {"README.md", "docs/guide/glossary.md", "benchmarks/README.md"} <= set(PAGES)
    assert set(SITE_ONLY) <= set(PAGES) and len(PAGES) > 20


def test_a_good_page_has_no_faults(folder):
    (folder / "page.md").write_text(GOOD)
    assert found(folder, GOOD) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a](no.md)", "leads to nothing: no.md"),
        ("[a](../../etc/)", "leads to nothing: ../../etc/"),
        ("![a](no.svg)", "leads to nothing: no.svg"),
        ('<img src="no.svg">', "leads to nothing: no.svg"),
        ('<source srcset="no.svg">', "leads to nothing: no.svg"),
        ("[a](index.rst)", "leads to a page for Sphinx only: index.rst"),
        ("[a](other.md#no)", "has no such place: other.md#no"),
        ("# B\n\n[a](#a)", "has no such place: #a"),
    ],
)
def test_faults_are_found(folder, text, fault):
    assert found(folder, text) == [fault]


def test_anchors_are_those_of_github():
    assert slug("`bench_split.py`: what & why?") == "bench_splitpy-what--why"
    assert slug("Über 3.5 Items") == "über-35-items"
    same = parsed("# Set up\n\n## Set up\n\n## Set up\n").anchors
    assert same == {"set-up", "set-up-1", "set-up-2"}
