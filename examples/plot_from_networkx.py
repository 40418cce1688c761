"""
From a networkx graph: which club will each member join?
=========================================================

A `networkx` graph goes in as it is, with labels for some of its nodes, by name.
"""

import networkx as nx
import numpy as np

from sklearn_ltd import Graph, LTDNodeClassifier
from sklearn_ltd.inspection import NodeMapDisplay

# %%
# The friendships of Zachary's karate club, before it split in two.  The members get names here;
# four of each later club have told where they would go.
G = nx.relabel_nodes(nx.karate_club_graph(), lambda i: f"m{i}")
joined = dict(G.nodes(data="club"))
told = {name: joined[name] for name in ["m0", "m1", "m2", "m3", "m30", "m31", "m32", "m33"]}

# %%
# The order of the nodes is that of ``list(G)``.  Labels may be a dict keyed by name; members that
# it lacks are unlabelled.  This graph has no node features, so that structural ones stand in.
graph = Graph.from_networkx(G)
clf = LTDNodeClassifier(random_state=0).fit(graph, told)
asked = np.array([name not in told for name in graph.node_names])
truth = np.array([joined[name] for name in graph.node_names])
print(graph)
print(f"accuracy on the {asked.sum()} others: {clf.score(graph[asked], truth[asked]):.3f}")
wrong = graph.node_names[asked & (clf.predict(graph) != truth)]
print("predicted wrongly:", ", ".join(wrong) or "nobody")

# %%
# The predicted clubs.  The larger a node, the higher its temperature: the less was believed of
# what the teacher said of it.
NodeMapDisplay.from_estimator(clf, graph, kind="network")
