"""Metrics of two matrices after numpy and scipy alone; prints one name and value a line.

usage: metrics_reference.py FILE GENES SAMPLES    FILE: predicted, then measured, float64, NaN = missing
"""
import sys
import warnings

import numpy as np
from scipy import stats

warnings.simplefilter("ignore")
genes, samples = int(sys.argv[2]), int(sys.argv[3])
predicted, measured = np.fromfile(sys.argv[1]).reshape(2, genes, samples)


def pairs(p, m):
    keep = ~np.isnan(m)
    return p[keep], m[keep]


def show(name, value):
    print(name, repr(float(value)))


def pearson(p, m):
    p, m = pairs(p, m)
    if len(p) < 2 or np.all(p == p[0]) or np.all(m == m[0]):
        return np.nan
    return stats.pearsonr(p, m)[0]


def spearman(p, m):
    p, m = pairs(p, m)
    if len(p) < 2 or np.all(p == p[0]) or np.all(m == m[0]):
        return np.nan
    return stats.spearmanr(p, m)[0]


def r2(p, m):
    p, m = pairs(p, m)
    if len(p) < 2 or np.all(m == m[0]):
        return np.nan
    return 1 - ((m - p) ** 2).sum() / ((m - m.mean()) ** 2).sum()


def centred(x):
    return x - np.nanmean(x, 1, keepdims=True) - np.nanmean(x, 0, keepdims=True) + np.nanmean(x)


columns = list(zip(predicted.T, measured.T))
for name, metric in (("pearson", pearson), ("spearman", spearman), ("r2", r2)):
    values = np.array([metric(p, m) for p, m in columns])
    for s, value in enumerate(values):
        show(f"sample_{name}[{s}]", value)
    show(f"mean_sample_{name}", np.nanmean(values))

masked = np.where(np.isnan(measured), np.nan, predicted)
known = ~np.all(np.isnan(measured), axis=1)
profile = np.nanmean(masked[known], 1), np.nanmean(measured[known], 1)
for name, metric in (("pearson", pearson), ("spearman", spearman), ("r2", r2)):
    show(f"profile_{name}", metric(*profile))

per_gene = np.array([pearson(p, m) for p, m in zip(predicted, measured)])
for g, value in enumerate(per_gene):
    show(f"gene[{g}]", value)
show("mean_gene", np.nanmean(per_gene))
deviation = np.nanstd(measured, axis=1)
show("mean_variable_gene", np.nanmean(per_gene[deviation > np.nanmedian(deviation)]))
p, m = centred(masked), centred(measured)
per_gene_centred = np.array([pearson(a, b) for a, b in zip(p, m)])
show("v2", np.nanmean(per_gene_centred))
