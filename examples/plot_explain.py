"""
Explaining a prediction: which friends made the network say so?
================================================================

`to_module` gives the student as a module of PyTorch Geometric's kind, on which the explainers of
`torch_geometric.explain` work.  `GNNExplainer` looks for the few edges and features that keep the
prediction as it is.
"""

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import torch
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.utils import from_scipy_sparse_matrix

from sklearn_ltd import Graph, LTDNodeClassifier

# %%
# The karate club with features of its own, so that they can be explained too: how many friends a
# member has, and whether the two heads of the later clubs are among them.
G = nx.karate_club_graph()
friends = np.array([[G.degree(i), G.has_edge(i, 0), G.has_edge(i, 33)] for i in G], float)
names = ["number of friends", "friend of Mr. Hi", "friend of the officer"]
graph = Graph(nx.to_scipy_sparse_array(G, weight=None), friends / friends.max(axis=0))
y = np.array([club for _, club in G.nodes(data="club")])
known = [0, 1, 2, 3, 30, 31, 32, 33]
clf = LTDNodeClassifier(weight_decay=0.001, random_state=0).fit(graph[known], y[known])
others = np.setdiff1d(np.arange(34), known)
print(f"accuracy on the members without label: {clf.score(graph[others], y[others]):.3f}")

# %%
# Member 8 has friends on both sides.
member = 8
proba = clf.predict_proba(graph[[member]])[0]
print(dict(zip(clf.classes_.tolist(), proba.round(2).tolist())))

explainer = Explainer(
    clf.to_module(),
    GNNExplainer(epochs=200),
    explanation_type="model",
    node_mask_type="attributes",
    edge_mask_type="object",
    model_config={
        "mode": "multiclass_classification",
        "task_level": "node",
        "return_type": "raw",
    },
)
x = torch.tensor(graph.X, dtype=torch.float32)
edge_index, _ = from_scipy_sparse_matrix(graph.adjacency)
torch.manual_seed(0)
explanation = explainer(x, edge_index, index=member)

# %%
# What reaches the member directly, the strongest edges first.
weights = explanation.edge_mask.numpy()
sources, targets = edge_index.numpy()
into = np.flatnonzero(targets == member)
for edge in into[np.argsort(-weights[into])]:
    print(f"from {sources[edge]:2} ({y[sources[edge]]:7}) {weights[edge]:.2f}")
for name, weight in zip(names, explanation.node_mask[member].tolist()):
    print(f"own feature, {name}: {weight:.2f}")

# %%
# The same on the graph: the darker an edge, the more the prediction rests on it.
positions = nx.spring_layout(G, seed=0)
shade = np.zeros((34, 34))
shade[sources, targets] = weights
fig, ax = plt.subplots(figsize=(7, 5), layout="constrained")
nx.draw_networkx_edges(
    G,
    positions,
    ax=ax,
    edge_color=[max(shade[i, j], shade[j, i]) for i, j in G.edges],
    edge_cmap=plt.cm.Greys,
    edge_vmin=-0.1,
    width=2,
)
colors = np.where(clf.predict(graph) == "Officer", "#E69F00", "#0072B2")
nx.draw_networkx_nodes(
    G, positions, ax=ax, node_color=colors, node_size=[600 if i == member else 200 for i in G]
)
nx.draw_networkx_labels(G, positions, ax=ax, font_size=8, font_color="white")
ax.set_title(f"Why member {member} is said to join {clf.predict(graph[[member]])[0]}")
ax.set_axis_off()
