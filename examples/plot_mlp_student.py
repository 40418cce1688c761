"""
A student without a graph: how much faster is it, and what does it cost?
=========================================================================

A GNN has to fetch neighbours and neighbours' neighbours before it can answer.  A student with the
backbone "mlp" learns from a GNN teacher but reads the features alone.
"""

import time

import numpy as np
import scipy.sparse as sp

from sklearn_ltd import GNNNodeClassifier, Graph, LTDNodeClassifier
from sklearn_ltd.datasets import make_attributed_sbm

# %%
# 20,000 nodes, 20 neighbours each; 400 labels are known.
data = make_attributed_sbm(
    20_000, average_degree=20, homophily=0.6, feature_noise=3.5, random_state=0
)
known, rest = slice(0, 400), slice(400, 20_000)
settings = {"hidden_dim": 32, "random_state": 0}
models = {
    "GNN teacher": GNNNodeClassifier("gcn", **settings),
    "MLP on the labels": GNNNodeClassifier("mlp", **settings),
    "MLP student of the GNN": LTDNodeClassifier("gcn", "mlp", scalable=True, **settings),
}

# %%
# The time of `predict` for all nodes, with the data prepared: the best of five calls.
for name, clf in models.items():
    clf.fit(data.graph[known], data.y[known])
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        clf.predict(data.graph)
        seconds.append(time.perf_counter() - start)
    accuracy = clf.score(data.graph[rest], data.y[rest])
    print(f"{name:23} accuracy {accuracy:.3f}, {1e3 * min(seconds):6.1f} ms")

# %%
# For nodes of which nothing but the features is known, pass a graph without edges.
new = data.graph.X[:3]
alone = Graph(sp.csr_array((len(new), len(new))), new)
student = models["MLP student of the GNN"]
print(np.array_equal(student.predict(alone), student.predict(data.graph[:3])))
