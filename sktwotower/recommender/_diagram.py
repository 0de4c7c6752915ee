"""Enters: an estimator with its parameters, fitted or not.

Leaves: what a notebook draws of it: both towers and the transformers before them.
Next: recommender.py.
"""

from sklearn.pipeline import FeatureUnion, Pipeline

from sktwotower.features import TowerVectorizer

__all__ = ["DiagramMixin"]


class DiagramMixin:
    """The estimator's diagram in a notebook, by means of scikit-learn's own."""

    def _sk_visual_block_(self):
        """Return two columns, each a transformer above its tower.

        They are drawn as they were given, not as fitted: a fitted transformer is drawn
        with the names of all its columns, of which there is one per word and id.
        """
        columns = [
            Pipeline(
                [
                    (
                        f"{side}_transformer",
                        TowerVectorizer() if given is None else given,
                    ),
                    (f"{side}_tower", Tower(self, side)),
                ]
            )
            for side, given in (
                ("user", self.user_transformer),
                ("item", self.item_transformer),
            )
        ]
        return FeatureUnion([(None, each) for each in columns])._sk_visual_block_()


class Tower:
    """Stands for a tower where an estimator is drawn; the name is drawn, too."""

    def __init__(self, estimator, side):
        self.estimator, self.side = estimator, side

    def __str__(self):
        own = self.estimator
        entities = getattr(own, f"_{self.side}s", None)
        steps = ["feature row" if entities is None else f"{entities.width} features"]
        given = getattr(own, f"{self.side}_tower")
        layers = [*own.hidden_layer_sizes, own.embedding_dim]
        steps += [f"{given!r}"] if given is not None else map(str, layers)
        if self.side == "user" and own.history is not None:
            steps[0] += " + mean of past items"
        return " → ".join(steps) + (" → unit length" if own.normalize else "")
