"""Settings of the reference: sphinx-build -W docs docs/_build."""

from sktwotower import __version__

project = "sktwotower"
version = release = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]

# What is in single backticks is a name, and links to it if it is one of ours.
default_role = "py:obj"
# Methods have their own entries below the class; a table of them would say it twice.
numpydoc_show_class_members = False
autodoc_default_options = {"members": True, "inherited-members": True}
autodoc_member_order = "bysource"
exclude_patterns = ["_build"]

html_theme = "alabaster"
html_theme_options = {"page_width": "1100px", "sidebar_width": "300px"}
html_sidebars = {"**": ["localtoc.html", "searchbox.html"]}
html_show_sourcelink = False


def is_foreign(app, what, name, thing, skip, options):
    """Return to leave out what classes inherit from other packages; None: keep it."""
    code = getattr(thing, "fget", None) or thing  # a property has no module itself
    module = getattr(code, "__module__", None) or "sktwotower"
    return True if module.partition(".")[0] != "sktwotower" else None


def setup(app):
    """Connect what Sphinx has no setting for."""
    app.connect("autodoc-skip-member", is_foreign)
