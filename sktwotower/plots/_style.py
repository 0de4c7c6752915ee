"""Enters: where to draw, Matplotlib axes or None.

Leaves: axes, colours and line styles that can be read on light and on dark ground.
Next: the displays beside this file.
"""

# Told apart by colour-blind readers (after Okabe and Ito), and of a lightness that
# stands out by 3 : 1 at least from white and from black.
BLUE, VERMILION, GREEN = "#2a85c7", "#d95f02", "#009e73"
COLORS = [BLUE, VERMILION, GREEN, "#cc79a7", "#c48a00"]
GRAY = "#858585"
# Lines differ in more than colour, for prints in grey.
LINE_STYLES = ["-", "--", "-.", ":", (0, (1, 3))]


class Display:
    """What all displays share: they know what they drew on."""

    def _start(self, ax, width=6, height=4):
        """Return the axes to draw on and keep them; None: those of a new figure."""
        check_matplotlib(f"{type(self).__name__}.plot")
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(figsize=(width, height), layout="constrained")
        if not hasattr(ax, "spines"):
            raise TypeError(
                "ax must be Matplotlib axes, such as plt.subplots gives, one of them. "
                f"Got {type(ax).__name__}."
            )
        ax.spines[["top", "right"]].set_visible(False)
        self.ax_, self.figure_ = ax, ax.figure
        return ax


def check_matplotlib(caller):
    """Raise ``ImportError`` that tells what to install, if Matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{caller} draws with Matplotlib, which is not installed: "
            "pip install 'sktwotower[plot]'."
        ) from error


def ink(ax):
    """Return the colour of the text of axes: it stands out from their ground."""
    return ax.xaxis.label.get_color()


def line_style(place, kwargs, **own):
    """Return the arguments of the line of the model at a place.

    ``own`` is what this line has instead; ``kwargs``, of the caller, go before all.
    """
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    style = {
        "color": COLORS[place % len(COLORS)],
        "linestyle": LINE_STYLES[place % len(LINE_STYLES)],
        "linewidth": 1.8 if place == 0 else 1.4,
    }
    return style | own | normalize_kwargs(kwargs, Line2D)


def bar_style(kwargs, **own):
    """Return the arguments of bars; ``kwargs``, of the caller, go first."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.patches import Patch

    return own | normalize_kwargs(kwargs, Patch)
