"""Style and order of the gallery: colors that can be read on white and on black."""

from pathlib import Path

import matplotlib.pyplot as plt

INDEX = Path(__file__).parents[2] / "examples" / "gallery" / "README.md"
GREY = "#7d7d7d"
COLORS = ["#3d8fd1", "#e07b2a", "#3da35d", "#d6504c", "#8c6bb8"]
STYLE = {
    "axes.edgecolor": GREY,
    "axes.facecolor": "none",
    "axes.labelcolor": GREY,
    "axes.prop_cycle": plt.cycler(color=COLORS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "figure.figsize": (7, 4.9),
    "font.size": 14,
    "legend.frameon": False,
    "savefig.transparent": True,
    "text.color": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


def apply(gallery, script):
    """Set the style before a script; arguments are those of Sphinx-Gallery."""
    plt.rcdefaults()
    plt.rcParams.update(STYLE)


def place_in_index(name):
    """Return where the index for GitHub has a script: the site has the same order."""
    return INDEX.read_text(encoding="utf-8").index(f"({name})")
