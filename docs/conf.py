"""Settings of the documentation: sphinx-build -W docs docs/_build."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from display_pictures import PICTURES  # noqa: E402

from sktwotower import __version__  # noqa: E402

project = "sktwotower"
copyright = "the sktwotower developers, BSD 3-Clause"
version = release = __version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "added_in",
    "clickable_maps",
    "display_pictures",
    "guide_links",
    "guide_pages",
    "live_report",
    "markdown_marks",
    "more_links",
    "notebook_gallery",
    "offline_math",
    "parameter_lists",
    "repository_links",
]
exclude_patterns = ["_build", "_ext", "_templates", "**.ipynb_checkpoints"]
exclude_patterns += ["examples/gallery/*.ipynb"]  # to download
templates_path = ["_templates"]

# Text in single backticks is a name, which links to its entry if it has one.
default_role = "py:obj"
# The templates list the methods of a class.
numpydoc_show_class_members = False
autodoc_member_order = "bysource"
# Docstrings have types, with shapes; those of signatures are for type checkers.
autodoc_typehints = "none"
autosummary_context = {"pictures": PICTURES}
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 88

# Notebooks are shown with the outputs that they were committed with.
nb_execution_mode = "off"
# Formulas as GitHub writes them: $x$, and blocks of code in the language "math".
myst_enable_extensions = ["dollarmath"]
myst_dmath_allow_space = False
myst_dmath_allow_digits = False
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3

# Short scripts, which are run while the site is built.
sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "examples/gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "gallery_style.place_in_index",
    "reset_modules": ("gallery_style.apply",),
    "thumbnail_size": (420, 294),
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 3600,  # seconds are those of a machine of CI
}

# Outputs are not to be copied.
copybutton_selector = "div:not(.output) > div.highlight > pre"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = f"sktwotower {version}"
html_static_path = ["_static"]
html_favicon = html_logo = "_static/icon.svg"
html_css_files = ["site.css"]
html_js_files = ["search.js", "folds.js"]
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "sktwotower"},
    "github_url": "https://github.com/sktwotower/sktwotower",
    "navbar_center": ["first_links", "navbar-nav"],
    "header_links_before_dropdown": 5,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "default",
    "pygments_dark_style": "github-dark",
}
# On the site, which has several versions (docs/publish.py), a menu of them.
if site_version := os.environ.get("SITE_VERSION"):
    html_baseurl = f"https://sktwotower.github.io/sktwotower/{site_version}/"
    html_theme_options |= {
        "switcher": {
            "json_url": "https://sktwotower.github.io/sktwotower/switcher.json",
            "version_match": site_version,
        },
        "check_switcher": False,  # it is written after the pages
        "navbar_start": ["navbar-logo", "version-switcher"],
    }
html_sidebars = {"index": [], "changelog": []}


def is_foreign(app, what, name, thing, skip, options):
    """Return True for members inherited from other packages, to skip them."""
    code = getattr(thing, "fget", None) or thing  # a property itself has no module
    module = getattr(code, "__module__", None) or "sktwotower"
    return True if module.partition(".")[0] != "sktwotower" else None


def setup(app):
    """Connect `is_foreign`, for which Sphinx has no setting."""
    app.connect("autodoc-skip-member", is_foreign)
