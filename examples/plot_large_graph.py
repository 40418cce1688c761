"""
A large graph: how do time and accuracy grow?
==============================================

``scalable=True`` guesses the temperatures from the teacher once instead of learning them, so that
an epoch costs what plain distillation costs, and no label has to be set aside to judge them.
"""

import time

import matplotlib.pyplot as plt

from sklearn_ltd import GNNNodeClassifier, LTDNodeClassifier
from sklearn_ltd.datasets import make_attributed_sbm

# %%
# One label in a hundred is known.  Teacher and student run 30 epochs each, and stop no earlier,
# so that times can be compared; with so few epochs the steps have to be larger than by default.
SIZES = [5_000, 15_000, 45_000]
EPOCHS = {"hidden_dim": 16, "max_iter": 30, "n_iter_no_change": 30}
EPOCHS |= {"learning_rate": 0.1, "random_state": 0}
METHODS = {
    "learned": {"warmup_iter": 5},
    "scalable": {"scalable": True},
}
small = make_attributed_sbm(100, random_state=0)
LTDNodeClassifier(max_iter=25).fit(small.graph, small.y)  # the first fit warms up torch
seconds = {name: [] for name in METHODS}
for n in SIZES:
    data = make_attributed_sbm(n, homophily=0.6, feature_noise=3.5, random_state=0)
    known, rest = slice(0, n // 100), slice(n // 100, n)
    teacher = GNNNodeClassifier(**EPOCHS)
    for name, options in METHODS.items():
        clf = LTDNodeClassifier(teacher, **EPOCHS, **options)
        start = time.perf_counter()
        clf.fit(data.graph[known], data.y[known])
        seconds[name].append(time.perf_counter() - start)
        accuracy = clf.score(data.graph[rest], data.y[rest])
        size = f"{n:6} nodes, {data.graph.adjacency.nnz:7} edges"
        print(f"{size}  {name:8}  {seconds[name][-1]:5.1f} s  accuracy {accuracy:.3f}")

# %%
# Both grow with the number of edges.  The time of the teacher, the same for both, is included.
for name, values in seconds.items():
    plt.plot(SIZES, values, "o-", label=name)
plt.xlabel("nodes")
plt.ylabel("seconds of fit, teacher included")
plt.legend()
