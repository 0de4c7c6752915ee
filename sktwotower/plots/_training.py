"""The display of the training loss and the validation recall by epoch.

Input: ``history_``, one dict per epoch.
Output: one curve, or two with a scale on either side.
"""

from typing import Self

import pandas as pd

from ._style import BLUE, VERMILION, Display, line_style


class TrainingCurveDisplay(Display):
    """Training loss and validation recall by epoch.

    It shows whether the loss still falls, and whether more epochs would raise the
    recall or lower it. Make it with `from_estimator`.

    Scores by the size of the training set are another curve, which
    `sklearn.model_selection.LearningCurveDisplay` draws. It takes the first rows of X
    unless it is asked to shuffle, and needs a y:
    ``LearningCurveDisplay.from_estimator(model, X, y=None, shuffle=True)``.

    Parameters
    ----------
    history : list of dict
        ``history_`` of a fitted estimator: per epoch ``epoch``, ``train_loss`` and,
        with validation, ``valid_recall``.
    n_neighbors : int, default=None
        Number of ranked items in the validation recall, for the label. None: not shown.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The training loss.
    recall_line_ : matplotlib Line2D or None
        The validation recall. None: there was no validation.
    ax_ : matplotlib Axes
        Axes of the loss.
    recall_ax_ : matplotlib Axes or None
        Axes of the recall, over the same epochs; its scale is on the right.
    figure_ : matplotlib Figure
        The figure that holds both.

    See Also
    --------
    sktwotower.TwoTowerRecommender : ``early_stopping=True`` measures the recall.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sktwotower.plots import TrainingCurveDisplay
    >>> history = [{"epoch": 1, "train_loss": 2.0, "valid_recall": 0.1},
    ...            {"epoch": 2, "train_loss": 1.5, "valid_recall": 0.3}]
    >>> display = TrainingCurveDisplay(history=history, n_neighbors=10)
    >>> print(display.plot().ax_.get_title())
    Training loss and validation recall@10
    best recall 0.300 in epoch 2
    >>> plt.show()
    """

    history: list
    n_neighbors: int | None = None

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **kwargs) -> Self:
        """Draw the training history of a fitted estimator.

        Parameters
        ----------
        estimator : TwoTowerRecommender, or Pipeline or search around one
            A fitted estimator.
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.plot`, for both lines.

        Returns
        -------
        TrainingCurveDisplay

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If there is no TwoTowerRecommender in the estimator.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> from sktwotower.plots import TrainingCurveDisplay
        >>> X = make_interactions(100, 50, n_clusters=3, random_state=0).data
        >>> model = TwoTowerRecommender(
        ...     early_stopping=True, max_epochs=3, random_state=0
        ... )
        >>> display = TrainingCurveDisplay.from_estimator(model.fit(X))
        >>> print(display.ax_.get_title())
        Training loss and validation recall@10
        best recall 0.785 in epoch 3
        >>> plt.show()
        """
        recommender, _ = cls._two_towers(estimator)
        history = recommender.history_
        k = recommender.n_neighbors
        return cls(history=history, n_neighbors=k).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.plot`, for both lines.

        Returns
        -------
        TrainingCurveDisplay
            Itself, with what was drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        ValueError
            If the history holds no epoch, or an epoch without a loss.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sktwotower.plots import TrainingCurveDisplay
        >>> history = [{"epoch": 1, "train_loss": 2.0, "valid_recall": 0.1},
        ...            {"epoch": 2, "train_loss": 1.5, "valid_recall": 0.3}]
        >>> display = TrainingCurveDisplay(history=history, n_neighbors=10)
        >>> figure, ax = plt.subplots()
        >>> display.plot(ax, linewidth=3).recall_ax_.get_ylabel()
        'validation recall@10 (higher is better)'
        >>> plt.show()
        """
        if not self.history:
            raise ValueError("history must hold at least one epoch. Got none.")
        history = pd.DataFrame(self.history)
        if not {"epoch", "train_loss"} <= set(history.columns):
            expected = "'epoch' and 'train_loss'"
            got = f"Got {list(history.columns)}."
            raise ValueError(f"Each epoch of history must have {expected}. {got}")
        ax = self._start(ax)
        style = line_style(0, kwargs, marker=".")
        (self.line_,) = ax.plot(history["epoch"], history["train_loss"], **style)
        ax.set(xlabel="epoch", ylabel="training loss (lower is better)")
        ax.set_title("Training loss")
        ax.xaxis.get_major_locator().set_params(integer=True)
        self.recall_ax_ = None
        self.recall_line_ = None
        if "valid_recall" not in history:
            return self

        # the recall has an axis of its own, on the right
        recall = history["valid_recall"]
        best = int(recall.argmax())  # nan in epochs of partial_fit, which has none
        right = ax.twinx()
        self.recall_ax_ = right
        style = line_style(1, kwargs, marker=".")
        (self.recall_line_,) = right.plot(history["epoch"], recall, **style)
        name = "recall"
        if self.n_neighbors:
            name = f"recall@{self.n_neighbors}"
        right.set_ylabel(f"validation {name} (higher is better)", color=VERMILION)
        right.spines[["top", "left"]].set_visible(False)
        right.spines["right"].set_visible(True)
        ax.yaxis.label.set_color(BLUE)
        best = f"best recall {recall[best]:.3f} in epoch {history['epoch'][best]}"
        ax.set_title(f"Training loss and validation {name}\n{best}")
        return self
