"""
A random forest as the teacher: what does the graph add?
=========================================================

A classifier that knows the features but not the edges teaches a GNN that sees both.  This is how
to bring the model that you have to a graph that you have just got.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import RandomForestClassifier

from sklearn_ltd import GNNNodeClassifier, LTDNodeClassifier
from sklearn_ltd.datasets import make_attributed_sbm

# %%
# An unfitted teacher is trained on the labels that each fit may read.  One that takes a feature
# matrix, such as a forest, gets the node features.
forest = RandomForestClassifier(200, min_samples_leaf=2)
METHODS = {
    "GCN on the labels": GNNNodeClassifier(),
    "student of the forest": LTDNodeClassifier(forest),
    "student of a GCN": LTDNodeClassifier(),
}
scores = {"forest": [], **{name: [] for name in METHODS}}
for seed in range(3):
    data = make_attributed_sbm(800, homophily=0.6, feature_noise=2.5, random_state=seed)
    known, rest = slice(0, 80), slice(80, 800)
    for name, clf in METHODS.items():
        clf.set_params(random_state=seed).fit(data.graph[known], data.y[known])
        scores[name].append(clf.score(data.graph[rest], data.y[rest]))
        if name == "student of the forest":
            scores["forest"].append(clf.teacher_.score(data.graph.X[rest], data.y[rest]))

for name, values in scores.items():
    print(f"{name:22} {np.mean(values):.3f} ± {np.std(values):.3f}")

# %%
# Three generated graphs, a dot each.
fig, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
for row, values in enumerate(scores.values()):
    ax.plot(values, [row] * 3, "o", color="#0072B2", alpha=0.7)
    ax.plot(np.mean(values), row, "|", color="#D55E00", markersize=25, markeredgewidth=3)
ax.set_yticks(range(4), scores)
ax.invert_yaxis()
ax.set_xlabel("accuracy on the nodes without label (bar: mean)")
ax.grid(axis="x", alpha=0.3)
