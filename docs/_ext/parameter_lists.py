"""Makes long pages of classes readable: folds, links to parameters, short signatures.

Input: docstrings in which a capitalized word on a line of its own opens a group of
parameters, and sections of any length.
Output: an example in front of the parameters; an anchor for each parameter, and a link
to it from the list of those that matter most; groups, long lists of attributes and
long notes that are folded until a reader opens them; methods of a few lines, whose
long parts are folded; signatures that end in an ellipsis where the list has all of it.
"""

import html
import inspect
import re

from docutils import nodes
from sphinx import addnodes

MAX_IN_SIGNATURE = 12
# How many words of notes and of other sections are shown.
MAX_WORDS = 120
SECTIONS = {"Attributes": "What fit has learnt", "Raises": "When", "Warns": "When"}
MAX_IN_SECTION = 50
# How many words of a method, and of a part of one, are shown.
MAX_TEXT, MAX_PART = 60, 30


def owner_of(field):
    """Return the id of the class or function that a list of parameters is of."""
    node = field
    while node is not None and not isinstance(node, addnodes.desc):
        node = node.parent
    ids = node[0]["ids"] if node is not None else []
    return ids[0] if ids else None


def is_group(term):
    """Return whether a term is the title of a group."""
    has_type = any(isinstance(node, nodes.classifier) for node in term.parent)
    return not has_type and bool(re.fullmatch("[A-Z][a-z]+( [a-z]+)*", term.astext()))


def names_of(item):
    """Return the names of an entry: ``user_id, item_id``."""
    return item[0].astext().lstrip("#")


def add_anchor(term, anchor):
    """Add an id to a term, and a link to it that shows when the mouse is over it."""
    term["ids"].append(anchor)
    link = nodes.reference("", "#", refid=anchor, internal=True)
    link["classes"] += ["headerlink", "parameter-link"]
    term.insert(0, link)


def folded(title, names, body, anchor=""):
    """Return nodes that a browser shows as a title, until a reader opens them."""
    title, names = f"<b>{html.escape(title)}</b>", html.escape(names)
    place = f' id="{anchor}"' if anchor else ""
    head = f'<details class="fold"{place}>'
    head += f"<summary>{title} <span>{names}</span></summary>"
    opened, closed = (
        nodes.raw("", text, format="html") for text in (head, "</details>")
    )
    return [opened, *body, closed]


def entries_of(field):
    """Return the entries of a field of a docstring, and the list that has them."""
    found = next(iter(field.findall(nodes.definition_list)), None)
    return found, list(found.children) if found is not None else []


def fold_groups(field, owner):
    """Fold each group of parameters, and return whether there are any."""
    found, items = entries_of(field)
    groups = [n for n, item in enumerate(items) if is_group(item[0])]
    if not groups:
        return False
    parts, ends = [], [*groups[1:], len(items)]
    for start, end in zip(groups, ends, strict=True):
        title, members = items[start][0].astext(), items[start + 1 : end]
        inside = nodes.definition_list("", *(m.deepcopy() for m in members))
        about = items[start][1].children
        names = ", ".join(map(names_of, members))
        anchor = f"{owner}-{title.replace(' ', '-')}"
        parts += folded(title, names, [*about, inside], anchor)
    before = nodes.definition_list("", *items[: groups[0]])
    found.replace_self([before, *parts] if len(before) else parts)
    return True


def add_anchors(field, owner):
    """Add anchors to parameters, and return {name: anchor}."""
    anchors = {}
    for item in entries_of(field)[1]:
        if is_group(item[0]):
            continue
        names = [name.strip().lstrip("*") for name in names_of(item).split(",")]
        anchors |= dict.fromkeys(names, f"{owner}-{names[0]}")
        add_anchor(item[0], f"{owner}-{names[0]}")
    return anchors


def link_names(content, anchors):
    """Let names in lists at the top of a page lead to their parameters."""
    for bullets in content.children:
        if isinstance(bullets, nodes.bullet_list):
            for name in list(bullets.findall(nodes.literal)):
                if anchor := anchors.get(name.astext()):
                    link = nodes.reference("", "", refid=anchor, internal=True)
                    link += name.deepcopy()
                    name.replace_self(link)


def fold_section(field, title):
    """Fold a long list of attributes, errors or warnings."""
    found, items = entries_of(field)
    if items and len(found.astext().split()) > MAX_IN_SECTION:
        names = ", ".join(map(names_of, items))
        found.replace_self(folded(title, names, [found.deepcopy()]))


def sections(content):
    """Return the title of each section of a page, its start and its end."""
    children, found = content.children, []
    ends = (nodes.rubric, addnodes.index, addnodes.desc)
    for start, node in enumerate(children):
        if isinstance(node, nodes.rubric):
            rest = range(start + 1, len(children))
            end = next((n for n in rest if isinstance(children[n], ends)), None)
            found.append((node.astext(), start, end or len(children)))
    return found


def raise_example(content):
    """Put examples in front of the parameters, unless an example is there."""
    children = content.children
    fields = (
        n for n, node in enumerate(children) if isinstance(node, nodes.field_list)
    )
    first = next(fields, None)
    places = {title: (start, end) for title, start, end in sections(content)}
    if first is None or "Examples" not in places:
        return
    if any(isinstance(node, nodes.doctest_block) for node in children[:first]):
        return
    start, end = places["Examples"]
    example = children[start:end]
    del content[start:end]
    content[first:first] = example


def fold_notes(content):
    """Fold the notes of an object if they are long."""
    for title, start, end in reversed(sections(content)):
        body = content.children[start + 1 : end]
        words = sum(len(node.astext().split()) for node in body)
        if title == "Notes" and words > MAX_WORDS:
            about = f"{words // 50 * 50} words: what is computed, and how"
            content[start:end] = folded(title, about, body)


def words_of(body):
    """Return the number of words of some nodes."""
    return sum(len(node.astext().split()) for node in body)


def fold_text(content):
    """Fold what follows the first paragraph of a method, if that is long."""
    children, ends = content.children, (nodes.field_list, nodes.rubric)
    rest = (n for n, node in enumerate(children) if isinstance(node, ends))
    end = next(rest, len(children))
    if words_of(children[:end]) > MAX_TEXT:
        about = "what happens, and what to know before"
        content[1:end] = folded("More", about, children[1:end])


def parts_of_fields(fields):
    """Return nodes for the fields of a method: folds, and the short ones."""
    found = []
    for field in fields.children:
        title, body = field[0].astext(), field[1].children
        if title in ("Raises", "Warns") or words_of(body) > MAX_PART:
            names = ", ".join(map(names_of, entries_of(field)[1]))
            found += folded(title, names, body)
        elif found and isinstance(found[-1], nodes.field_list):
            found[-1] += field.deepcopy()
        else:
            found.append(nodes.field_list("", field.deepcopy()))
    return found


def fold_method(content):
    """Show of a method its first paragraph and its short parts, and fold the others."""
    for title, start, end in reversed(sections(content)):
        body = content.children[start + 1 : end]
        if words_of(body) > MAX_PART:
            content[start:end] = folded(title, "", body)
    fold_text(content)
    for fields in [n for n in content.children if isinstance(n, nodes.field_list)]:
        fields.replace_self(parts_of_fields(fields))


def read_object(content, owner):
    """Mark up the page, or the part of a page, of one object."""
    anchors, has_groups = {}, False
    is_method = isinstance(content.parent.parent, addnodes.desc_content)
    for fields in [n for n in content.children if isinstance(n, nodes.field_list)]:
        for field in fields.children:
            name = field[0].astext()
            if name == "Parameters":
                anchors = add_anchors(field, owner)
                has_groups = fold_groups(field, owner)
            elif name in SECTIONS and not is_method:
                fold_section(field, SECTIONS[name])
    if has_groups:
        link_names(content, anchors)
    if is_method:
        fold_method(content)
        return
    raise_example(content)
    fold_notes(content)


def read_objects(app, doctree):
    """Mark up all objects of a page."""
    for content in list(doctree.findall(addnodes.desc_content)):
        owner = owner_of(content)
        if owner:
            read_object(content, owner)


def shorten(app, what, name, thing, options, signature, returns):
    """Return the first parameters of a long signature."""
    if what != "class" or not signature:
        return None
    parameters = list(inspect.signature(thing).parameters.values())
    if len(parameters) <= MAX_IN_SIGNATURE:
        return None
    star = "*, " if parameters[0].kind is inspect.Parameter.KEYWORD_ONLY else ""
    first, second = (parameter.name for parameter in parameters[:2])
    return f"({star}{first}=…, {second}=…, …)", returns


def setup(app):
    """Connect both to Sphinx."""
    app.connect("doctree-read", read_objects)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True}
