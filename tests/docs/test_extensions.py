"""What is done to pages in Markdown before Sphinx shows them."""

import importlib
import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
MAP = DOCS / "guide" / "which_model.md"
URL = "https://example.org/repository"


@pytest.fixture(scope="module", autouse=True)
def folder():
    pytest.importorskip("sphinx")
    sys.path.insert(0, str(DOCS / "_ext"))
    yield
    sys.path.remove(str(DOCS / "_ext"))


@pytest.fixture(scope="module")
def on_page():
    """Return a function that changes the links of a file shown on a page."""
    links = importlib.import_module("repository_links")
    pages = links.page_by_file()

    def on_page(text, file, page):
        file, page = (DOCS.parent / file).resolve(), DOCS / page
        return links.linked(text, file, page, pages, URL)

    return on_page


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("start.md", "start.md"),
        ("glossary.md#event", "glossary.md#event"),
        ("../_static/how_it_works.svg", "../_static/how_it_works.svg"),
        ("../protocols.md#data", "../protocols.md#data"),
        ("../../CHANGELOG.md", "../changelog.md"),
        ("../../benchmarks/README.md", f"{URL}/blob/main/benchmarks/README.md"),
        ("../../notebooks/1_quickstart.ipynb", "../examples/1_quickstart.ipynb"),
        ("../../notebooks/README.md", "../examples/index.rst"),
        ("../../examples/gallery/rules.py", "../examples/gallery/rules.rst"),
        ("../../examples/gallery/README.md", "../examples/gallery/index.rst"),
        ("../../examples/service.py", f"{URL}/blob/main/examples/service.py"),
        ("https://example.org/a.md", "https://example.org/a.md"),
        ("#here", "#here"),
    ],
)
def test_links_of_a_page_of_the_guide(on_page, link, expected):
    page = "guide/tune.md"
    text = f"A [link]({link}), `[code](../../CHANGELOG.md)`\n"
    found = on_page(text, f"docs/{page}", page)
    assert found == text.replace(f"[link]({link})", f"[link]({expected})")


def test_links_of_a_file_that_a_page_includes(on_page):
    text = "[tune](docs/guide/tune.md) [setup](setup.py) [top](CHANGELOG.md)"
    found = on_page(text, "CHANGELOG.md", "changelog.md")
    setup = f"{URL}/blob/main/setup.py"
    assert found == f"[tune](guide/tune.md) [setup]({setup}) [top](changelog.md)"


def test_pictures_follow_the_theme(on_page):
    source = '<picture>{}<source media="(max-width: 700px)" srcset="{}_static/n/a.svg">'
    text = source.format("\n", "docs/") + (
        '<source media="(prefers-color-scheme: dark)" srcset="docs/_static/a_dark.svg">'
        '\n  <img alt="A" src="docs/_static/a.svg" width="9">\n</picture>'
    )
    start = source.format("", "")
    assert on_page(text, "CHANGELOG.md", "changelog.md") == (
        f'{start}<img class="only-light" alt="A" src="_static/a.svg" width="9">'
        f'</picture>{start}<img class="only-dark dark-light" alt="A" '
        'src="_static/a_dark.svg" width="9"></picture>'
    )


def test_a_picture_with_a_narrow_drawing_is_an_image_which_becomes_a_picture(on_page):
    from docutils import nodes

    text = (
        '[<picture>\n<source media="(max-width: 700px)" srcset="docs/_static/n/a.svg">'
        '\n<img alt="A" src="docs/_static/a.svg">\n</picture>](docs/guide/tune.md)'
    )
    image = "[![A](_static/a.svg)](guide/tune.md)"
    assert on_page(text, "CHANGELOG.md", "changelog.md") == image
    paragraph = nodes.paragraph("", "", nodes.image(uri="_static/a.svg"))
    importlib.import_module("clickable_maps").choose(paragraph[0], "../n/a.svg")
    start, shown, end = paragraph.children
    assert start.astext().startswith('<picture><source media="(max-width: 700px)"')
    assert 'srcset="../n/a.svg"' in start.astext() and end.astext() == "</picture>"
    assert shown["uri"] == "_static/a.svg"


def test_the_menu_has_the_links_of_the_first_page():
    pages = importlib.import_module("guide_pages")
    text = (
        "# G\n\n## A\n\nText.\n\n- [a](a.md): b\n- [c](../c.md)\n\n## B\n\n[d](d.md)\n"
    )
    tree = "```{toctree}\n:hidden:\n:caption: A\n\na\n../c\n```\n"
    assert pages.trees(text) == [tree]
    listed = "".join(pages.trees((DOCS / "guide" / "index.md").read_text("utf-8")))
    there = {path.stem for path in DOCS.glob("guide/*.md")} - {"index"}
    assert there <= set(listed.split())


def test_names_and_outputs_are_marked():
    from docutils import nodes, utils

    marks = importlib.import_module("markdown_marks")
    page = utils.new_document("page")
    words = "time", "model.fit", "retrieval_report", "EASERecommender", "a=1", "fit(X)"
    page += nodes.paragraph("", "", *(nodes.literal("", word) for word in words))
    for language in ("python", "text", "text", "bash", "text"):
        page += nodes.literal_block("", "", language=language)
    marks.link_names(page, "guide/page")
    marks.mark_outputs(page)
    linked = [n["reftarget"] for n in page.findall() if "reftarget" in n]
    assert linked == ["model.fit", "retrieval_report", "EASERecommender"]
    blocks = page.findall(nodes.literal_block)
    assert [b["classes"] for b in blocks] == [[], ["output"], [], [], []]


def test_a_pair_of_figures_is_broken_behind_the_slash_only_and_long_cells_are_marked():
    from docutils import nodes

    marks = importlib.import_module("markdown_marks")
    page = nodes.row()
    page += nodes.entry("", nodes.paragraph("", ".334 / .198, a / b"))
    page += nodes.entry("", nodes.paragraph("", "word " * 11))
    names = nodes.literal("", "a" * 25), nodes.literal("", "a" * 24)
    page[1] += nodes.paragraph("", "", *names)
    marks.mark_cells(page)
    assert [name["classes"] for name in names] == [["long"], []]
    assert page[0].astext() == ".334\N{NO-BREAK SPACE}/ .198, a / b"
    assert [cell["classes"] for cell in page] == [[], ["long"]]


def test_drawings_with_links_are_put_into_the_page():
    maps = importlib.import_module("clickable_maps")

    class Builder:
        def get_relative_uri(self, start, target):
            return "" if start == target else f"{start}>{target}.html"

    def shown(page, folder="_static"):
        return maps.drawing(DOCS / folder / "which_model.svg", page, Builder())

    text = shown("guide/which_model")
    assert text.startswith('<div class="map wide"><svg') and "../guide" not in text
    anchors = set(re.findall(r'href="#([^"]+)"', text))
    narrow = shown("guide/which_model", "_static/narrow")
    assert narrow.startswith('<div class="map narrow"><svg')
    assert set(re.findall(r'href="#([^"]+)"', narrow)) == anchors
    headings = re.findall("^## (.+)$", MAP.read_text("utf-8"), re.MULTILINE)
    slugs = {
        re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings
    }
    assert len(anchors) == 6 and anchors <= slugs
    assert 'href="index>guide/which_model.html#nothing-is-known"' in shown("index")
    assert maps.drawing(DOCS / "_static" / "icon.svg", "index", Builder()) is None


def test_groups_of_parameters_are_folded():
    from docutils import nodes

    lists = importlib.import_module("parameter_lists")

    def entry(name, kind=""):
        kinds = [nodes.classifier("", kind)] if kind else []
        text = nodes.definition("", nodes.paragraph("", f"What {name} is."))
        return nodes.definition_list_item("", nodes.term("", name), *kinds, text)

    entries = [entry("Cold items"), entry("weight, share", "float"), entry("Running")]
    entries = nodes.definition_list("", *entries, entry("seed", "int"))
    field = nodes.field(
        "", nodes.field_name("", "Parameters"), nodes.field_body("", entries)
    )
    assert lists.add_anchors(field, "A") == {
        "weight": "A-weight",
        "share": "A-weight",
        "seed": "A-seed",
    }
    assert lists.fold_groups(field, "A")
    raw = [node.astext() for node in field[1] if isinstance(node, nodes.raw)]
    assert raw[0] == (
        '<details class="fold" id="A-Cold-items"><summary><b>Cold items</b> '
        "<span>weight, share</span></summary>"
    )
    assert [text.startswith("<details") for text in raw] == [True, False] * 2
    assert not lists.fold_groups(nodes.field("", nodes.field_name("", "x")), "A")


def test_methods_show_their_first_paragraph_and_short_parts():
    from docutils import nodes

    lists = importlib.import_module("parameter_lists")
    long = " ".join(["word"] * 40)

    def field(title, name, text):
        inside = nodes.definition("", nodes.paragraph("", text))
        entry = nodes.definition_list_item("", nodes.term("", name), inside)
        body = nodes.field_body("", nodes.definition_list("", entry))
        return nodes.field("", nodes.field_name("", title), body)

    fields = field("Parameters", "X", long), field("Returns", "self", "The model.")
    content = nodes.container(
        "",
        nodes.paragraph("", "Learn."),
        nodes.paragraph("", f"{long} {long}"),
        nodes.field_list("", *fields, field("Raises", "OSError", "Rarely.")),
        *(nodes.rubric("", "Notes"), nodes.paragraph("", "A note.")),
        *(nodes.rubric("", "Examples"), nodes.paragraph("", long)),
    )
    lists.fold_method(content)
    shown, depth = [], 0
    for node in content.children:
        raw = node.astext() if isinstance(node, nodes.raw) else ""
        depth -= raw == "</details>"
        if depth == 0 and raw != "</details>":
            shown.append(re.sub("<[^>]+>", "", raw) or node.astext())
        depth += raw.startswith("<details")
    more = "More what happens, and what to know before"
    returned = "Returns\n\nself\n\nThe model."
    folds = ["Learn.", more, "Parameters X", returned, "Raises OSError"]
    assert shown == [*folds, "Notes", "A note.", "Examples "]


def test_examples_come_before_parameters():
    from docutils import nodes

    lists = importlib.import_module("parameter_lists")

    def page(*before):
        example = nodes.rubric("", "Examples"), nodes.doctest_block("", ">>> 1 + 1")
        notes = nodes.rubric("", "Notes"), nodes.paragraph("", "A note.")
        fields = nodes.field_list()
        return nodes.container("", *before, fields, *notes, *example)

    def kinds(content):
        lists.raise_example(content)
        return [node.astext() or node.tagname for node in content.children]

    notes = ["Notes", "A note."]
    assert kinds(page()) == ["Examples", ">>> 1 + 1", "field_list", *notes]
    first = nodes.doctest_block("", ">>> 2")
    assert kinds(page(first)) == [
        ">>> 2",
        "field_list",
        *notes,
        "Examples",
        ">>> 1 + 1",
    ]
