"""Settings of the reference: sphinx-build -W docs docs/_build."""

from sktwotower import __version__

project = "sktwotower"
version = release = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]

# Text in single backticks is a name, which links to its entry if it has one.
default_role = "py:obj"
# Methods have their own entries below the class; a table of them would repeat them.
numpydoc_show_class_members = False
autodoc_default_options = {"members": True, "inherited-members": True}
autodoc_member_order = "bysource"
exclude_patterns = ["_build"]

html_theme = "alabaster"
html_theme_options = {"page_width": "1100px", "sidebar_width": "300px"}
html_sidebars = {"**": ["localtoc.html", "searchbox.html"]}
html_show_sourcelink = False


def is_foreign(app, what, name, thing, skip, options):
    """Return True for members inherited from other packages, to skip them."""
    code = getattr(thing, "fget", None) or thing  # a property itself has no module
    module = getattr(code, "__module__", None) or "sktwotower"
    return True if module.partition(".")[0] != "sktwotower" else None


def setup(app):
    """Connect `is_foreign`, for which Sphinx has no setting."""
    app.connect("autodoc-skip-member", is_foreign)
