"""
Calibration: can the probabilities be taken at their word?
===========================================================

Of the nodes that are given a class with probability 0.7, seven in ten should belong to it.
Temperatures change what a student is told, and hence how sure it becomes.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.metrics import log_loss

from sklearn_ltd import GNNNodeClassifier, LTDNodeClassifier
from sklearn_ltd.datasets import make_attributed_sbm

data = make_attributed_sbm(2000, homophily=0.55, feature_noise=4.0, random_state=0)
known, rest = slice(0, 200), slice(200, 2000)

# %%
# `CalibratedClassifierCV` works on graphs as on arrays; with ``method="temperature"`` it fits one
# temperature to the *predictions*, where LTD's are for what the student is *taught*.
settings = {"max_iter": 100, "random_state": 0}
MODELS = {
    "GCN": GNNNodeClassifier(**settings),
    "distilled, temperature 1": LTDNodeClassifier(temperature=1.0, **settings),
    "LTD": LTDNodeClassifier(**settings),
    "LTD, scalable": LTDNodeClassifier(scalable=True, **settings),
    "LTD, calibrated": CalibratedClassifierCV(
        LTDNodeClassifier(**settings), method="temperature", cv=3, ensemble=False
    ),
}


def expected_error(sure, right):
    """Mean difference of confidence and accuracy over ten bins, weighted by their size (ECE)."""
    bins = np.minimum((10 * sure).astype(int), 9)
    gaps = [abs((sure - right)[bins == b].sum()) for b in range(10)]
    return sum(gaps) / len(sure)


# %%
# Points below the diagonal: surer than it is right.  Above: less sure.
fig, ax = plt.subplots(figsize=(6, 5), layout="constrained")
ax.plot([0, 1], [0, 1], ":", color="black", label="calibrated")
print(f"{'':25} accuracy  log loss  calibration error")
for marker, (name, clf) in zip("os^Dv", MODELS.items()):
    proba = clf.fit(data.graph[known], data.y[known]).predict_proba(data.graph[rest])
    sure, right = proba.max(axis=1), proba.argmax(axis=1) == data.y[rest]
    error, loss = expected_error(sure, right), log_loss(data.y[rest], proba)
    print(f"{name:25} {right.mean():8.3f}  {loss:8.3f}  {error:.3f}")
    share, mean = calibration_curve(right, sure, n_bins=8, strategy="quantile")
    ax.plot(mean, share, marker=marker, label=name)
ax.set(xlim=(0.25, 1.02), ylim=(0.25, 1.02))
ax.set(xlabel="probability of the predicted class", ylabel="share of right predictions")
ax.legend()
