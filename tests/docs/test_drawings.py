"""The drawings of README and the guide can be read on wide, narrow and dark pages."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "_static"
PAGES = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/guide/*.md")]
WIDE = {path.stem: path for path in FOLDER.glob("*.svg") if path.stem != "icon"}
CHARTS = {name: path for name, path in WIDE.items() if name.startswith("results_")}
DRAWINGS = {name: path for name, path in WIDE.items() if name not in CHARTS}
BREAK = 700  # the site and GitHub show narrow drawings on pages up to this width
MARGINS = 32
# The room on the smallest page that shows it, and the smallest words there, in pixels.
SIZES = {"narrow": (400 - MARGINS, 11), "_static": (BREAK - MARGINS, 9.5)}
GROUNDS = {"light": ["#ffffff"], "dark": ["#0d1117", "#14181e"]}
DARK = re.compile(r"@media \(prefers-color-scheme: dark\) \{ (.*?\}) \}")
RULE = re.compile(r"([^{}]+)\{([^}]*)\}")
VALUE = re.compile(r"([\w-]+): *([^;]+?) *(?:;|$)")
STEP = re.compile(r"([MmLlHhVvAaZz])([^A-Za-z]*)")
PICTURE = re.compile(r"<picture>.*?</picture>", re.DOTALL)


def both(name):
    """Return the paths of a drawing, wide and narrow."""
    return [WIDE[name], FOLDER / "narrow" / f"{name}.svg"]


class Drawing:
    """A drawing: its words with sizes and colors, and what is painted below them."""

    def __init__(self, text):
        self.root = ElementTree.fromstring(text)
        style = "".join(e.text for e in self.root.iter() if e.tag.endswith("style"))
        rules = RULE.findall(DARK.sub("", style))
        dark = [rule for block in DARK.findall(style) for rule in RULE.findall(block)]
        self.rules = {"light": read(rules), "dark": read(rules + dark)}
        self.width = float(self.root.get("viewBox").split()[2])
        self.parents = {e: parent for parent in self.root.iter() for e in parent}
        self.boxes = {e: box(e) for e in self.root.iter()}
        self.texts = [e for e in self.root.iter() if e.tag.endswith("}text")]

    def value(self, element, name, theme="light"):
        """Return a property of an element, its own or inherited."""
        while element is not None:
            names = [f".{each}" for each in element.get("class", "").split()]
            names.append(element.tag.partition("}")[2])
            for selectors, known in self.rules[theme]:
                if name in known and not selectors.isdisjoint(names):
                    return known[name]
            if element.get(name):
                return element.get(name)
            element = self.parents.get(element)
        return "#000000"

    def ground(self, text, theme):
        """Return the colors that a word may stand on."""
        shift = {"start": 3, "end": -3}.get(self.value(text, "text-anchor"), 0)
        x, y = float(text.get("x")) + shift, float(text.get("y")) - 4
        found = GROUNDS[theme]
        for element in self.root.iter():
            if element is text:
                break
            left, top, right, bottom = self.boxes[element]
            if left < x < right and top < y < bottom:
                fill = self.value(element, "fill", theme)
                found = found if fill == "none" else [fill]
        return found


def read(rules):
    """Return the selectors and the properties of rules, the last one first."""
    return [
        ({each.strip() for each in selectors.split(",")}, dict(VALUE.findall(body)))
        for selectors, body in reversed(rules)
    ]


def box(element):
    """Return the left, top, right and bottom of a closed shape."""
    number = {name: float(each) for name, each in element.items() if plain(each)}
    if element.tag.endswith("rect"):
        left, top = number["x"], number["y"]
        return left, top, left + number["width"], top + number["height"]
    if not element.tag.endswith("path") or not element.get("d").lower().endswith("z"):
        return 0, 0, 0, 0
    places = corners(element.get("d"))
    xs, ys = zip(*places, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def plain(text):
    return re.fullmatch(r"-?[\d.]+", text)


def corners(path):
    """Return the places that a path passes."""
    x = y = 0
    places = []
    for step, text in STEP.findall(path):
        values = [float(each) for each in re.findall(r"-?\d*\.?\d+", text)]
        start = (x, y) if step.islower() else (0, 0)
        if step in "Hh":
            x = start[0] + values[-1]
        elif step in "Vv":
            y = start[1] + values[-1]
        elif step not in "Zz":
            x, y = start[0] + values[-2], start[1] + values[-1]
        places.append((x, y))
    return places


def contrast(one, other):
    """Return the contrast of two colors, as WCAG defines it."""

    def light(color):
        digits = color.lstrip("#")
        digits = digits if len(digits) == 6 else "".join(2 * each for each in digits)
        shares = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([light(one), light(other)])
    return (high + 0.05) / (low + 0.05)


def faults(path, text=None):
    """Return what is wrong with a drawing: its frame, its words, their colors."""
    drawing = Drawing(text or path.read_text("utf-8"))
    page, smallest = SIZES[path.parent.name]
    found = ["a height that is fixed"] if drawing.root.get("height") else []
    for element in drawing.texts:
        said = "".join(element.itertext())
        size = float(drawing.value(element, "font-size").removesuffix("px"))
        shown = size * page / drawing.width
        if shown < smallest:
            found.append(f"{said}: {shown:.1f} px")
        for theme in GROUNDS:
            color = drawing.value(element, "fill", theme)
            for ground in drawing.ground(element, theme):
                if contrast(color, ground) < 4.5:
                    found.append(f"{said}: {color} on {ground}, {theme}")
    return found


def words(path):
    """Return the words of a drawing, sorted."""
    texts = Drawing(path.read_text("utf-8")).texts
    return sorted(
        re.findall(r"[^\s(]+", " ".join("".join(e.itertext()) for e in texts))
    )


@pytest.mark.parametrize("name", sorted(DRAWINGS))
def test_a_drawing_can_be_read_on_wide_narrow_and_dark_pages(name):
    for path in both(name):
        assert faults(path) == [], path
    wide, narrow = map(words, both(name))
    assert wide == narrow


def test_no_drawing_is_for_narrow_pages_only():
    narrow = {path.stem for path in (FOLDER / "narrow").glob("*.svg")}
    assert narrow == {*DRAWINGS, "results"} and len(DRAWINGS) > 20


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pages_show_the_drawing_that_fits(path):
    text = path.read_text("utf-8")
    pictures = PICTURE.findall(text)
    for picture in pictures:
        wide = re.search(r'src="([^"]*)/(\w+)\.svg"', picture)
        name = "results" if wide[2] in CHARTS else wide[2]
        source = f'<source media="(max-width: {BREAK}px)" srcset="{wide[1]}/narrow/'
        assert f'{source}{name}.svg">' in picture
    assert text.count(".svg)") == text.count("badge.svg)")  # no other pictures


def test_the_site_uses_the_same_width():
    style = (FOLDER / "site.css").read_text("utf-8")
    assert f"(max-width: {BREAK}px)" in style and f"(min-width: {BREAK + 1}px)" in style
    maps = (ROOT / "docs" / "_ext" / "clickable_maps.py").read_text("utf-8")
    assert f"(max-width: {BREAK}px)" in maps
    rules = [body for names, body in RULE.findall(style) if "drawing" in names]
    assert rules and not any("min-width" in body for body in rules)


GOOD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 90" font-size="14">
  <style>.free { fill: #59636e } .box { fill: #ffffff }
    @media (prefers-color-scheme: dark) { .free { fill: #9aa4b1 } }
  </style>
  <text x="200" y="20" text-anchor="middle" class="free">outside</text>
  <rect class="box" x="10" y="30" width="100" height="40"/>
  <text x="20" y="54" fill="#111111">inside</text>
  <path d="M210 30h100v40h-100z" fill="#2f6f9f"/>
  <text x="300" y="54" text-anchor="end" fill="#fff">white</text>
</svg>
"""


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("", "", None),
        ('font-size="14"', 'font-size="11"', "outside: 10.1 px"),
        ('font-size="14"', 'font-size="14" height="90"', "a height that is fixed"),
        ("fill: #9aa4b1", "fill: #59636e", "outside: #59636e on #0d1117, dark"),
        ("fill: #59636e", "fill: #8c8c8c", "outside: #8c8c8c on #ffffff, light"),
        ('fill="#111111"', 'fill="#999999"', "inside: #999999 on #ffffff, light"),
        ("#2f6f9f", "#9fc0d8", "white: #fff on #9fc0d8, light"),
    ],
)
def test_faults_of_drawings_are_found(old, new, fault):
    found = faults(FOLDER / "narrow" / "made.svg", GOOD.replace(old, new, 1))
    assert found[:1] == [fault] if fault else not found
