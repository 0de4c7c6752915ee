"""The check of built pages finds what is wrong with them, and nothing else."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "docs" / "check.py"
SPEC = importlib.util.spec_from_file_location("check_of_pages", PATH)
check = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check)

GOOD = """
<html><head>
<link rel="stylesheet" href="style.css"><script src="script.js?v=1"></script>
<link rel="canonical" href="https://example.org/">
</head><body id="top">
<a href="https://example.org">elsewhere</a> <a href="#top">up</a>
<a href="sub/other.html#place">other</a> <a href="sub/">folder</a> <img src="a%20b.png">
<code>:func:`x`</code> <pre>``x`` <b>\\(</b> **kwargs</pre>
<span class="math notranslate">\\(x\\)</span> after (it)
ends: a * b ** 2, f(**kwargs), [object](3,)
</body></html>
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text(GOOD)
    for name in ("sub/other.html", "sub/index.html"):
        (tmp_path / name).write_text('<p id="place">text <a href="../index.html">a</a>')
    (tmp_path / "style.css").write_text("p { background: url(a.png) }")
    for name in ("script.js", "a b.png"):
        (tmp_path / name).touch()
    return tmp_path


def test_good_pages_have_no_faults(folder):
    assert check.faults(folder) == []


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ('<a href="no.html">x</a>', "leads to nothing: no.html"),
        ('<img src="no.png">', "leads to nothing: no.png"),
        ('<a href="sub/other.html#no">x</a>', "has no such place: sub/other.html#no"),
        ('<a href="#no">x</a>', "has no such place: #no"),
        (
            '<script src="https://cdn.org/a.js"></script>',
            "fetches https://cdn.org/a.js",
        ),
        ('<link rel="stylesheet" href="//a.org/b.css">', "fetches //a.org/b.css"),
        ('<img src="http://a.org/b.png">', "fetches http://a.org/b.png"),
        ("<style>@import 'https://a.org/b'</style>", "fetches https://a.org/b"),
        ('<p style="background: url(https://a.org/b)">', "fetches https://a.org/b"),
        ("<p>:func:`x`</p>", "is not understood: :func:`"),
        ("<p>10 :sup:<code>2</code></p>", "is not understood: :sup:"),
        ("<p>:py:class:`x`</p>", "is not understood: :py:class:`"),
        ("<p>``x</p>", "is not understood: ``"),
        ("<p>a **word** x</p>", "is not understood: **word**"),
        ("<pre>x</pre><p>the loss \\(x\\)</p>", "is not understood: \\("),
        ("<p>.. note:: x</p>", "is not understood: .. note::"),
        ("<p>[here](there.md)</p>", "is not understood: ](there.md)"),
    ],
)
def test_faults_are_found(folder, html, fault):
    (folder / "sub" / "other.html").write_text(f'<p id="place"></p>{html}')
    if "sub/" in html:
        (folder / "sub" / "other.html").write_text('<p id="place"></p>')
        (folder / "index.html").write_text(html)
    (line,) = check.faults(folder)
    assert line.partition(": ")[2] == fault


def test_parts_of_the_theme_are_no_pages(folder):
    (folder / "_static").mkdir()
    (folder / "_static" / "macros.html").write_text('<a href="{{ no }}">x</a>')
    assert check.faults(folder) == []


def test_styles_may_not_fetch(folder):
    (folder / "style.css").write_text('@font-face {src: url("https://a.org/f.woff")}')
    assert check.faults(folder) == ["style.css: fetches https://a.org/f.woff"]


def test_an_empty_folder_is_a_fault(tmp_path):
    assert len(check.faults(tmp_path)) == 1
