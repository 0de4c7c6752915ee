"""The decayed means of `_decays`, compiled: user by user, so that sums stay in a cache.

Input and output: arrays of float32, or of bfloat16 as the uint16 of their bits.
"""

import numpy as np

from sktwotower.runtime._tower_arrays import MIN_WEIGHT

from ._compiled import compiled

SMALLEST = np.float32(MIN_WEIGHT)
HALF = np.uint32(0x7FFF)
SHIFT = np.uint32(16)


@compiled
def _store(numbers, bits, out):
    """Write float32 ``numbers``, whose memory is ``bits``, in the type of ``out``."""
    if out.itemsize == 4:
        for k in range(len(out)):
            out[k] = numbers[k]
    else:  # to the nearest bfloat16, ties to even
        for k in range(len(out)):
            odd = (bits[k] >> SHIFT) & np.uint32(1)
            out[k] = np.uint16((bits[k] + HALF + odd) >> SHIFT)


@compiled
def _load(values, numbers, bits):
    """Write ``values`` of either type as ``numbers``, whose memory is ``bits``."""
    if values.itemsize == 4:
        for k in range(len(values)):
            numbers[k] = values[k]
    else:
        for k in range(len(values)):
            bits[k] = np.uint32(values[k]) << SHIFT


@compiled
def forward(vectors, factors, ends, targets, power, sums, means, weights):
    """Fill running ``sums`` (t, b, h, d + 1), and of predictions ``weights`` (n, h).

    Their ``means`` (n, h, d) are the result. The other arrays are those of
    `decayed_means`.
    """
    length, n_users, width = vectors.shape
    n_sums = factors.shape[2]
    n_numbers = width - 1
    for user in range(n_users):
        for step in range(length):
            vector = vectors[step, user]
            for h in range(n_sums):
                total = sums[step, user, h]
                if step == 0:
                    # by numbers: a slice takes two seconds to compile
                    for k in range(width):
                        total[k] = vector[k]
                    continue
                factor = factors[step, user, h]
                before = sums[step - 1, user, h]
                for k in range(width):
                    total[k] = factor * before[k] + vector[k]

    mean = np.empty(n_numbers, np.float32)
    bits = mean.view(np.uint32)
    for i in range(len(ends)):
        hidden = vectors[targets[i] // n_users, targets[i] % n_users]
        for h in range(n_sums):
            total = sums[ends[i] // n_users, ends[i] % n_users, h]
            weight = max(total[n_numbers] - hidden[n_numbers], SMALLEST)
            weights[i, h] = weight
            scale = weight ** np.float32(-power)
            for k in range(n_numbers):
                mean[k] = (total[k] - hidden[k]) * scale
            _store(mean, bits, means[i, h])


@compiled
def backward(
    grad, means, weights, sums, factors, ends, targets, power, slopes, out, factor_grad
):
    """Add the gradients of vectors to ``out``, and fill those of factors.

    ``slopes``: zeros like ``sums``, which become their gradients.
    """
    length, n_users, n_sums, width = sums.shape
    n_numbers = width - 1
    slope = np.empty(n_numbers, np.float32)
    slope_bits = slope.view(np.uint32)
    mean = np.empty(n_numbers, np.float32)
    mean_bits = mean.view(np.uint32)
    for i in range(len(ends)):
        hidden = out[targets[i] // n_users, targets[i] % n_users]
        for h in range(n_sums):
            _load(grad[i, h], slope, slope_bits)
            _load(means[i, h], mean, mean_bits)
            of_sum = slopes[ends[i] // n_users, ends[i] % n_users, h]
            weight = weights[i, h]
            scale = weight ** np.float32(-power)
            along = np.float32(0)
            for k in range(n_numbers):
                along += slope[k] * mean[k]
            for k in range(n_numbers):
                of_sum[k] += slope[k] * scale
            for k in range(n_numbers):
                hidden[k] -= slope[k] * scale
            if weight > SMALLEST:
                of_weight = along * np.float32(-power) / weight
                of_sum[n_numbers] += of_weight
                hidden[n_numbers] -= of_weight

    for user in range(n_users):
        for step in range(length - 1, -1, -1):
            of_vector = out[step, user]
            for h in range(n_sums):
                of_sum = slopes[step, user, h]
                for k in range(width):
                    of_vector[k] += of_sum[k]
                if step == 0:
                    continue
                factor = factors[step, user, h]
                before = sums[step - 1, user, h]
                of_before = slopes[step - 1, user, h]
                of_factor = np.float32(0)
                for k in range(width):
                    of_factor += of_sum[k] * before[k]
                for k in range(width):
                    of_before[k] += factor * of_sum[k]
                factor_grad[step, user, h] = of_factor
