"""Makes long lists of parameters readable: links, titles of groups, short signatures.

Input: docstrings in which a capitalized word on a line of its own opens a group.
Output: a link to each parameter, a line of links to the groups, and signatures that
end in an ellipsis where the list has all of it.
"""

import inspect
import re

from docutils import nodes
from sphinx import addnodes

MAX_IN_SIGNATURE = 20


def owner_of(field):
    """Return the id of the class or function that a list of parameters is of."""
    node = field
    while node is not None and not isinstance(node, addnodes.desc):
        node = node.parent
    ids = node[0]["ids"] if node is not None else []
    return ids[0] if ids else None


def is_group(term):
    """Return whether a term is the title of a group."""
    item = term.parent
    has_type = any(isinstance(node, nodes.classifier) for node in item.findall())
    return not has_type and re.fullmatch("[A-Z][a-z]+", term.astext()) is not None


def add_anchor(term, anchor):
    """Add an id to a term, and a link to it that shows when the mouse is over it."""
    term["ids"].append(anchor)
    link = nodes.reference("", "#", refid=anchor, internal=True)
    link["classes"] += ["headerlink", "parameter-link"]
    term.insert(0, link)


def line_of(groups):
    """Return a paragraph with a link to each group."""
    paragraph = nodes.paragraph(classes=["parameter-groups"])
    for title, anchor in groups:
        paragraph += [nodes.reference("", title, refid=anchor, internal=True)]
        paragraph += nodes.Text(" ")
    return paragraph


def read_field(field, owner):
    """Mark up the terms of one field."""
    groups = []
    for term in list(field.findall(nodes.term)):
        names = term.astext()
        anchor = f"{owner}-{names.split(',')[0].strip().lstrip('*')}"
        if is_group(term):
            term.parent["classes"].append("parameter-group")
            term["classes"].append("parameter-group")
            groups.append((names, anchor))
        add_anchor(term, anchor)
    if groups:
        field[1].insert(0, line_of(groups))


def read_lists(app, doctree):
    """Mark up all lists of parameters of a page."""
    for field in list(doctree.findall(nodes.field)):
        owner = owner_of(field)
        if owner and field[0].astext() == "Parameters":
            read_field(field, owner)


def shorten(app, what, name, thing, options, signature, returns):
    """Return the first parameters of a long signature."""
    if what != "class" or not signature:
        return None
    parameters = list(inspect.signature(thing).parameters)
    if len(parameters) <= MAX_IN_SIGNATURE:
        return None
    return f"(*, {'=…, '.join(parameters[:2])}=…, …)", returns


def setup(app):
    """Connect both to Sphinx."""
    app.connect("doctree-read", read_lists)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True}
