"""Puts MathJax into the pages' own folder, so that formulas need no network.

Input: the package sphinx-mathjax-offline, which brings MathJax.
Output: one file of 2 MB in ``_static``; it draws formulas as SVG and needs no fonts.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path

SCRIPT = "mathjax/tex-svg.js"


def copy(app):
    """Copy the script, if pages of HTML are built."""
    if app.builder.format == "html":
        package = Path(find_spec("sphinx-mathjax-offline").origin).parent
        target = Path(app.outdir) / "_static" / SCRIPT
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(package / "static" / SCRIPT, target)


def setup(app):
    """Make pages with formulas load the copy."""
    app.config.mathjax_path = SCRIPT
    app.connect("builder-inited", copy)
    return {"parallel_read_safe": True}
