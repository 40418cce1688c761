"""
Your own PyG module as the teacher: can a small student follow it?
===================================================================

Any module called as ``module(x, edge_index)`` is a backbone.  Here a network with
two kinds of convolution teaches a plain GraphSAGE with 16 hidden units.
"""

import torch
from torch_geometric.nn import GATv2Conv, SAGEConv

from sklearn_ltd import GNNNodeClassifier, LTDNodeClassifier
from sklearn_ltd.datasets import make_attributed_sbm


class Mixed(torch.nn.Module):
    """A node's own features, its neighbours' mean, and attention to what is farther away."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.own = torch.nn.Linear(n_features, 32)
        self.near = SAGEConv(32, 32)
        self.far = GATv2Conv(32, 8, heads=4)
        self.out = torch.nn.Linear(96, n_classes)

    def forward(self, x, edge_index):
        own = torch.dropout(self.own(x).relu(), 0.5, self.training)
        near = self.near(own, edge_index).relu()
        far = self.far(near, edge_index).relu()
        return self.out(torch.dropout(torch.cat([own, near, far], 1), 0.5, self.training))


# %%
# `GNNNodeClassifier` trains it.  As a teacher it is unfitted: `LTDNodeClassifier` clones it and
# trains it on the labels of each fit, so that nothing leaks in cross-validation.
data = make_attributed_sbm(1000, homophily=0.5, feature_noise=3.5, random_state=0)
known, rest = slice(0, 200), slice(200, 1000)


def score(clf):
    clf.fit(data.graph[known], data.y[known])
    n_numbers = sum(array.size for array in clf.state_.values())
    print(f"{n_numbers:6} numbers, accuracy {clf.score(data.graph[rest], data.y[rest]):.3f}")
    return clf


print("teacher, a module of your own:")
score(GNNNodeClassifier(Mixed, random_state=0))
print("the student's network, without a teacher:")
score(GNNNodeClassifier("sage", hidden_dim=16, random_state=0))
print("student of that teacher:")
student = score(LTDNodeClassifier(GNNNodeClassifier(Mixed), "sage", hidden_dim=16, random_state=0))

# %%
# One split says little; compare over several before you choose.  A module that is trained already
# is a teacher too, ``LTDNodeClassifier(module)``; `fit` then warns that it may have seen labels
# which you score.
print(type(student.teacher_).__name__, "of", student.teacher_.backbone.__name__)
