"""The display of predicted probabilities against what came of them.

Input: outcomes and probabilities, (n_rows,) each.
Output: a curve with a point for each bin of probabilities.
"""

from typing import Any, Self

from sklearn.calibration import calibration_curve

from sktwotower.metrics import expected_calibration_error
from sktwotower.metrics._calibration import outcomes_and_probabilities
from sktwotower.metrics._list_scorers import probabilities_of

from ._style import Display, check_matplotlib, ink, line_style


class ReliabilityDisplay(Display):
    """Share of chosen items by their predicted probability: a reliability diagram.

    Of the items that a model shows with a probability of .2, a fifth should be chosen:
    the point is then on the diagonal. Below it the model promises too much. Make it
    with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    prob_true : array of shape (n_points,)
        Share of positive rows of each bin.
    prob_pred : array of shape (n_points,)
        Mean probability of each bin.
    calibration_error : float, default=None
        Mean distance of both, "ECE" in the label. None: not shown.
    name : str, default=None
        Name of the model, for the label. None: "model".

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.
    ax_ : matplotlib Axes
        Axes with the curve.
    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    sktwotower.metrics.expected_calibration_error : The figure in the label.
    sklearn.calibration.CalibrationDisplay : The same for classifiers, whose outcomes
        are two classes.

    Notes
    -----
    The points are those of `sklearn.calibration.calibration_curve`. Curves of several
    models can share axes: pass the ``ax_`` of the first one as `ax`.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sktwotower.plots import ReliabilityDisplay
    >>> display = ReliabilityDisplay(prob_true=[0.1, 0.3], prob_pred=[0.1, 0.2])
    >>> display.plot().line_.get_xydata().tolist()
    [[0.1, 0.1], [0.2, 0.3]]
    >>> plt.show()
    """

    prob_true: Any
    prob_pred: Any
    calibration_error: float | None = None
    name: str | None = None

    @classmethod
    def from_estimator(cls, estimator, X, y, *, name=None, ax=None, **kwargs) -> Self:
        """Predict the probabilities of rows that were shown, and draw the curve.

        Parameters
        ----------
        estimator : classifier, `TwoStageRecommender` with ``lists``, or Pipeline
            A fitted estimator with ``predict_proba``.
        X : dataframe or array-like of shape (n_rows, n_columns)
            Rows that were shown, and that fit has not seen.
        y : array-like of shape (n_rows,)
            Outcome of each row; positives are those > 0.
        name : str, default=None
            Name of the model in the legend. None: its class name.
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            ``n_bins`` and ``strategy`` of `from_predictions`, and arguments of
            `matplotlib.axes.Axes.plot`.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        ValueError
            As in `from_predictions`.
        TypeError
            If the estimator has no ``predict_proba``.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sktwotower.plots import ReliabilityDisplay
        >>> X, y = [[0], [1], [2], [3]], [0, 0, 1, 1]
        >>> model = LogisticRegression().fit(X, y)
        >>> display = ReliabilityDisplay.from_estimator(model, X, y, n_bins=2)
        >>> display.prob_true.tolist()
        [0.0, 1.0]
        >>> plt.show()
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        if name is None:
            name = type(estimator).__name__
        prob = probabilities_of(estimator, X)
        return cls.from_predictions(y, prob, name=name, ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_prob,
        *,
        n_bins=10,
        strategy="quantile",
        name=None,
        ax=None,
        **kwargs,
    ) -> Self:
        """Draw the curve of outcomes and probabilities.

        Parameters
        ----------
        y_true : array-like of shape (n_rows,)
            Outcome of each row, finite and >= 0; those > 0 are positive.
        y_prob : array-like of shape (n_rows,)
            Probability that it is positive, in [0, 1].
        n_bins : int, default=10
            Number of bins, >= 1; those without a row have no point.
        strategy : {"quantile", "uniform"}, default="quantile"
            "quantile": bins of the same number of rows. "uniform": of the same width,
            as in the calibration error.
        name : str, default=None
            Name of the model in the legend. None: "model".
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.plot`.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        ValueError
            If lengths differ or are 0, outcomes or probabilities are out of range,
            `n_bins` < 1, or `strategy` is unknown.
        TypeError
            If `n_bins` is not an integer.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sktwotower.plots import ReliabilityDisplay
        >>> y_prob = [0.2, 0.2, 0.2, 0.2, 0.7, 0.7]
        >>> display = ReliabilityDisplay.from_predictions([1, 0, 0, 0, 1, 0], y_prob)
        >>> display.prob_true.tolist(), display.prob_pred.tolist()
        ([0.25, 0.5], [0.2, 0.7])
        >>> plt.show()
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        positive, prob = outcomes_and_probabilities(y_true, y_prob)
        error = expected_calibration_error(positive, prob, n_bins)
        true, predicted = calibration_curve(
            positive, prob, n_bins=n_bins, strategy=strategy
        )
        return cls(
            prob_true=true, prob_pred=predicted, calibration_error=error, name=name
        ).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> Self:
        """Draw the curve, with the diagonal.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.plot`.

        Returns
        -------
        ReliabilityDisplay
            Itself, with what was drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sktwotower.plots import ReliabilityDisplay
        >>> display = ReliabilityDisplay(prob_true=[0.1, 0.3], prob_pred=[0.1, 0.2])
        >>> figure, ax = plt.subplots()
        >>> display.plot(ax, marker="s").ax_.get_title()
        'How often what is shown is chosen'
        >>> plt.show()
        """
        ax = self._start(ax, width=5.5, height=4.8)
        error = self.calibration_error
        drawn = ax.get_legend_handles_labels()[1]
        if not drawn:  # otherwise another display has drawn it on these axes
            ax.axline(
                (0, 0),
                slope=1,
                label="as predicted",
                color=ink(ax),
                linewidth=0.8,
                linestyle=":",
            )
        figure = ""
        if error is not None:
            figure = f" (ECE {error:.3f})"
        style = line_style(
            max(len(drawn) - 1, 0),
            kwargs,
            marker="o",
            label=f"{self.name or 'model'}{figure}",
        )
        (self.line_,) = ax.plot(self.prob_pred, self.prob_true, **style)
        ax.set(xlabel="predicted probability", ylabel="share that was chosen")
        ax.autoscale()  # also after another display has set the limits
        ax.set(xlim=(0, None), ylim=(0, None))
        ax.set_title("How often what is shown is chosen")
        self._legend(loc="best")
        return self
