"""
A table without a graph: do nearest neighbours help when labels are few?
=========================================================================

`KNNGraph` links every row to its nearest ones, and a pipeline goes on from there.  Here
handwritten digits, of which a few per class are labelled.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading

from sklearn_ltd import KNNGraph, LTDNodeClassifier

X, y = load_digits(return_X_y=True)
X, y = X[:1000], y[:1000]

# %%
# Unlabelled rows are marked by -1, as in `sklearn.semi_supervised`; they are part of the graph.
MODELS = {
    "LTD on nearest neighbours": make_pipeline(
        KNNGraph(10), LTDNodeClassifier(max_iter=150, random_state=0)
    ),
    "label spreading": LabelSpreading(kernel="knn", n_neighbors=10),
    "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
}
N_LABELS = [3, 5, 10, 20]


def accuracy(name, n, seed):
    rng = np.random.RandomState(seed)
    known = np.zeros(len(y), dtype=bool)
    for digit in range(10):
        known[rng.choice(np.flatnonzero(y == digit), n, replace=False)] = True
    model = clone(MODELS[name])
    if name == "logistic regression":  # which can't learn from unlabelled rows
        model.fit(X[known], y[known])
    else:
        model.fit(X, np.where(known, y, -1))
    return model.score(X[~known], y[~known])


# %%
# Two draws of the labels for each point.  Label spreading uses every label that is known; LTD sets
# some aside, which tell when to stop and judge the temperatures.
for name in MODELS:
    scores = np.array([[accuracy(name, n, seed) for seed in range(2)] for n in N_LABELS])
    print(f"{name:26}", "  ".join(f"{score:.3f}" for score in scores.mean(axis=1)))
    plt.errorbar(N_LABELS, scores.mean(axis=1), np.ptp(scores, axis=1) / 2, marker="o", label=name)
plt.xscale("log")
plt.xticks(N_LABELS, N_LABELS)
plt.minorticks_off()
plt.xlabel("labels per class")
plt.ylabel("accuracy on the other rows")
plt.legend()
