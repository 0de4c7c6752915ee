"""Style and order of the gallery: colors that can be read on white and on black.

``python docs/_ext/gallery_style.py`` copies the small pictures of the built site
to the index for GitHub.
"""

from pathlib import Path

import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "gallery"
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
    return (FOLDER / "README.md").read_text(encoding="utf-8").index(f"({name})")


def keep_thumbnails():
    """Copy the small pictures of the built site, with few colors: they take little."""
    from PIL import Image

    built = ROOT / "docs" / "examples" / "gallery" / "images" / "thumb"
    for script in FOLDER.glob("*.py"):
        with Image.open(built / f"sphx_glr_{script.stem}_thumb.png") as picture:
            few = picture.quantize(64, method=Image.Quantize.FASTOCTREE)
        few.save(FOLDER / "thumbnails" / f"{script.stem}.png", optimize=True)


if __name__ == "__main__":
    keep_thumbnails()
