"""Poisson-multinomial loss after its definition, in numpy and fp64; prints one number a line.

usage: poisson_multinomial_reference.py FILE B LO T TOTAL_WEIGHT WEIGHT_RANGE WEIGHT_EXP
FILE: predicted, then target, float64. Prints the loss, the sum of the position weights, and the
derivative of the loss by every 7th prediction from central differences.
"""
import sys

import numpy as np

windows, bins, tracks = (int(word) for word in sys.argv[2:5])
total_weight, weight_range, weight_exp = (float(word) for word in sys.argv[5:8])
predicted, target = np.fromfile(sys.argv[1]).reshape(2, windows, bins, tracks)
EPSILON = 1e-7


def position_weights():
    if weight_range == 1:
        return np.ones(bins)
    position = np.arange(bins) - (bins - 1) / 2
    sigma = ((bins - 1) / 2) / np.log(weight_range) ** (1 / weight_exp)
    weights = np.exp(-((position / sigma) ** weight_exp))
    return weights / weights.max()


def loss(yh):
    w = position_weights()
    y = target * w[None, :, None]
    yh = yh * w[None, :, None]
    s, sh = y.sum(1), yh.sum(1)
    multinomial = (-(y + EPSILON) * np.log((yh + EPSILON) / sh[:, None, :])).sum(1) / w.sum()
    poisson = (sh - s * np.log(sh + EPSILON)) / w.sum()
    return (multinomial + total_weight * poisson).mean()


print(repr(float(loss(predicted))))
print(repr(float(position_weights().sum())))
for i in range(0, predicted.size, 7):
    step = np.zeros(predicted.size)
    step[i] = 1e-5
    step = step.reshape(predicted.shape)
    print(repr(float((loss(predicted + step) - loss(predicted - step)) / 2e-5)))
