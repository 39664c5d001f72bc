"""Metrics of tracks and of genes by tracks after numpy and scipy alone; prints one name and value a line.

usage: track_metrics_reference.py tracks FILE ROWS TRACKS        predicted, then measured, float64
       track_metrics_reference.py genes FILE GENES TRACKS GROUPS the same; GROUPS: comma-separated names
       track_metrics_reference.py within FILE GENES BINS TRACKS  the same, values of bins
"""
import sys
import warnings

import numpy as np
from scipy import stats

warnings.simplefilter("ignore")
kind = sys.argv[1]


def show(name, value):
    print(name, repr(float(value)))


def pearson(x, y):
    return stats.pearsonr(x, y)[0]


def explained_variance(p, m):
    return 1 - np.var(m - p) / np.var(m)


def quantile_normalise(x):
    """Rank by rank, ties sharing the mean of the target values of their ranks."""
    target = np.sort(x, axis=0).mean(axis=1)
    out = np.empty_like(x)
    for column in range(x.shape[1]):
        low = stats.rankdata(x[:, column], "min").astype(int) - 1
        high = stats.rankdata(x[:, column], "max").astype(int)
        out[:, column] = [target[a:b].mean() for a, b in zip(low, high)]
    return out


def tracks():
    rows, columns = int(sys.argv[3]), int(sys.argv[4])
    predicted, measured = np.fromfile(sys.argv[2]).reshape(2, rows, columns)
    for t in range(columns):
        keep = ~np.isnan(measured[:, t])
        p, m = predicted[keep, t], measured[keep, t]
        show(f"pearson[{t}]", pearson(p, m))
        show(f"r2[{t}]", 1 - ((m - p) ** 2).sum() / ((m - m.mean()) ** 2).sum())


def genes():
    rows, columns = int(sys.argv[3]), int(sys.argv[4])
    groups = np.array(sys.argv[5].split(","))
    predicted, measured = np.fromfile(sys.argv[2]).reshape(2, rows, columns)
    norm = [np.zeros((rows, columns)), np.zeros((rows, columns))]
    for group in np.unique(groups):
        for out, x in zip(norm, (predicted, measured)):
            part = quantile_normalise(x[:, groups == group])
            out[:, groups == group] = part - part.mean(axis=1, keepdims=True)
    for t in range(columns):
        show(f"pearson[{t}]", pearson(predicted[:, t], measured[:, t]))
        show(f"r2[{t}]", explained_variance(predicted[:, t], measured[:, t]))
        alone = (groups == groups[t]).sum() == 1
        show(f"pearson_norm[{t}]", np.nan if alone else pearson(norm[0][:, t], norm[1][:, t]))
        show(f"r2_norm[{t}]", np.nan if alone else explained_variance(norm[0][:, t], norm[1][:, t]))


def within():
    count, bins, columns = (int(word) for word in sys.argv[3:6])
    predicted, measured = np.fromfile(sys.argv[2]).reshape(2, count, bins, columns)
    r = np.full((count, columns), np.nan)
    for g in range(count):
        for t in range(columns):
            p, m = predicted[g, :, t], measured[g, :, t]
            if p.var() > 1e-6 and m.var() > 1e-6:
                r[g, t] = pearson(np.log2(p + 1), np.log2(m + 1))
    variance = measured.var(axis=1)
    bound = np.percentile(variance, 80, axis=0)
    for t in range(columns):
        for g in range(count):
            show(f"gene[{g},{t}]", r[g, t])
            show(f"variance[{g},{t}]", variance[g, t])
        show(f"mean[{t}]", np.nanmean(r[variance[:, t] > bound[t], t]))


{"tracks": tracks, "genes": genes, "within": within}[kind]()
