"""
Unseen nodes: how well are nodes labelled that came after training?
====================================================================

Fitting on ``graph[train]`` is transductive: all nodes pass messages, also those to be predicted.
For nodes that do not exist yet, train on ``graph[train].induced()``, the subgraph that is there,
and predict on the grown graph.
"""

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp

from sklearn_ltd import Graph, LTDNodeClassifier
from sklearn_ltd.datasets import make_attributed_sbm

data = make_attributed_sbm(1200, homophily=0.7, feature_noise=3.0, random_state=0)
old, new = np.arange(800), np.arange(800, 1200)
y = np.where(np.arange(1200) < 120, data.y, -1)  # 120 of the old nodes are labelled

# %%
clf = LTDNodeClassifier(random_state=0)
inductive, transductive = [], []
for seed in range(3):
    clf.set_params(random_state=seed).fit(data.graph[old].induced(), y[old])
    inductive.append(clf.score(data.graph[new], data.y[new]))
    clf.fit(data.graph, y)
    transductive.append(clf.score(data.graph[new], data.y[new]))
print(f"new nodes, unseen in training: {np.mean(inductive):.3f} ± {np.std(inductive):.3f}")
print(f"the same nodes, if they pass messages in training: {np.mean(transductive):.3f}")

# %%
# A new node may come with few edges.  The network is kept, only the graph at prediction has more
# and more of them.
clf.fit(data.graph[old].induced(), y[old])
rng = np.random.RandomState(0)
edges = sp.triu(data.graph.adjacency, format="coo")
fractions, scores = [0.0, 0.1, 0.25, 0.5, 1.0], []
for fraction in fractions:
    kept = (edges.col < 800) | (rng.random_sample(edges.nnz) < fraction)
    part = sp.coo_array((edges.data * kept, edges.coords), shape=edges.shape)
    grown = Graph(part + part.T, data.graph.X)
    scores.append(clf.score(grown[new], data.y[new]))
    print(f"{fraction:4.0%} of the new nodes' edges known: {scores[-1]:.3f}")
plt.plot(fractions, scores, "o-", color="#0072B2")
plt.xlabel("share of the new nodes' edges that are known")
plt.ylabel("accuracy on the new nodes")
