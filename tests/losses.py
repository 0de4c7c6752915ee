"""Losses as users write them, which tests find by their names."""

import torch
from torch import nn


class MarginLoss(nn.Module):
    """A softmax over all candidates, in which positives are handicapped by a margin."""

    def __init__(self, temperature, impression_weight, margin=0.1):
        super().__init__()
        self.temperature, self.margin = temperature, margin
        self.impression_weight = impression_weight

    def forward(self, users, items, targets):
        scores = users @ items.T
        counts = targets.offsets.diff()
        rows = torch.repeat_interleave(torch.arange(len(counts)), counts)
        positive = scores[rows, targets.columns] - self.margin
        losses = scores.div(self.temperature).logsumexp(1)[rows]
        losses = losses - positive / self.temperature
        total = (targets.weights * losses).sum()
        if targets.impressions is not None:
            rows, columns, weights = targets.impressions
            shown = (weights * scores[rows, columns]).sum()
            total = total + self.impression_weight * shown
        return total / targets.total_weight


class ExactLoss(MarginLoss):
    """The same, for products in float32 where several processes exchange rows."""

    matmul_dtype = torch.float32


class RenamedLoss(MarginLoss):
    """The same under another name."""


class NoTemperature(nn.Module):
    def __init__(self, temperature, impression_weight):
        super().__init__()

    def forward(self, users, items, targets):
        return (users @ items.T).mean()


class NoWeight(MarginLoss):
    def __init__(self, temperature):
        super().__init__(temperature, 1.0)


class TextTemperature(MarginLoss):
    def __init__(self, **params):
        super().__init__(**params)
        self.temperature = str(self.temperature)


class LearntTemperature(MarginLoss):
    def __init__(self, **params):
        super().__init__(**params)
        self.log_scale = nn.Parameter(torch.zeros(()))


class Unmade(MarginLoss):
    def __init__(self, temperature, impression_weight):
        raise KeyError("scale")


class Failing(MarginLoss):
    def forward(self, users, items, targets):
        return users @ items  # not transposed


class PerUser(MarginLoss):
    def forward(self, users, items, targets):
        return (users @ items.T).mean(1)


class Detached(MarginLoss):
    def forward(self, users, items, targets):
        return super().forward(users, items, targets).detach()


class NotFinite(MarginLoss):
    def forward(self, users, items, targets):
        return super().forward(users, items, targets) / 0


class FailsWithImpressions(MarginLoss):
    def forward(self, users, items, targets):
        if targets.impressions is not None:
            raise NotImplementedError("impressions")
        return super().forward(users, items, targets)


class IgnoresShown(MarginLoss):
    def __init__(self, temperature, impression_weight, margin=0.1):
        super().__init__(temperature, 0.0, margin)


class MeanOfBatch(MarginLoss):
    """Divides by the weight of its own batch."""

    def forward(self, users, items, targets):
        total = super().forward(users, items, targets) * targets.total_weight
        return total / targets.weights.sum()
