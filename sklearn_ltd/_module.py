"""A fitted network as a module of PyTorch Geometric's kind: ``module(x, edge_index)``."""

import torch
from torch import nn
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import add_remaining_self_loops, scatter, softmax

from ._backbones import EdgeIndexModule


class NodeModule(nn.Module):
    """A backbone called with tensors, whose messages PyG's explainers can mask.

    Parameters
    ----------
    backbone : torch.nn.Module
        As `make_backbone` gives it.
    n_features : int
    scale : float
    shift : array-like of shape (n_classes,) or float
        Of the logits.
    """

    def __init__(self, backbone, n_features, scale=1.0, shift=0.0):
        super().__init__()
        self.backbone = backbone
        self.scale = scale
        # Not among the parameters of a file, as the scale isn't either.
        self.register_buffer("shift", torch.tensor(shift, dtype=torch.float32), persistent=False)
        # One per product with the edges: explainers count them to know how far a node sees.
        self.messages = nn.ModuleList()
        if not isinstance(backbone, EdgeIndexModule):
            parameter = next(backbone.parameters())
            x = parameter.new_zeros(1, n_features)
            nobody = torch.zeros(2, 0, dtype=torch.long, device=x.device)
            backbone(_Edges(x, nobody, x.new_ones(0), self._new_messages()))
        self.eval()

    def _new_messages(self):
        while True:
            self.messages.append(_Messages())
            yield self.messages[-1]

    def forward(self, x, edge_index, edge_weight=None):
        """Logits of shape (n, n_classes).

        Parameters
        ----------
        x : torch.Tensor of shape (n, n_features)
        edge_index : torch.Tensor of shape (2, n_edges)
            Sources and targets.
        edge_weight : torch.Tensor of shape (n_edges,), default=None
            1 if not given.
        """
        if edge_weight is None:
            edge_weight = x.new_ones(edge_index.shape[1])
        logits = self.backbone(_Edges(x, edge_index, edge_weight, iter(self.messages)))
        return logits * self.scale + self.shift


class _Messages(MessagePassing):
    """``out_i = sum over edges e = (j -> i) of weight_e h_j``, for every column of weights."""

    def __init__(self):
        super().__init__(aggr="add", node_dim=0)

    def forward(self, edge_index, h, weight):
        return self.propagate(edge_index, x=h, weight=weight)

    def message(self, x_j, weight):
        return weight.unsqueeze(-1) * x_j


class _Edges:
    """What backbones read of a `GraphTensors` and its edges, differentiable in x and weights.

    Parameters
    ----------
    x, edge_index, edge_weight : torch.Tensor
    messages : iterator of _Messages
        Every product takes the next one.
    """

    def __init__(self, x, edge_index, edge_weight, messages):
        self.edges = self.inner = self
        self.x = self.dense_x = x
        self.n_nodes = len(x)
        self.edge_index = edge_index
        self.edge_weight = edge_weight
        self.messages = messages

    @property
    def symmetric(self):
        edges = gcn_norm(self.edge_index, self.edge_weight, self.n_nodes, dtype=self.x.dtype)
        return _Product(*edges, self.messages)

    @property
    def mean(self):
        targets = self.edge_index[1]
        totals = scatter(self.edge_weight, targets, dim_size=self.n_nodes)
        return _Product(self.edge_index, self.edge_weight / totals[targets], self.messages)

    def averages(self, name):
        return None

    def propagate(self, name, h, linear, added=None):
        return getattr(self, name).product(linear(h), added)

    def at_targets(self, h):
        return h

    @property
    def attention_pattern(self):
        edge_index, _ = add_remaining_self_loops(self.edge_index, num_nodes=self.n_nodes)
        return _Attention(edge_index, self.messages)


class _Product:
    def __init__(self, edge_index, weight, messages):
        self.edge_index, self.weight, self.messages = edge_index, weight, messages

    def product(self, h, added=None, alpha=1):
        product = next(self.messages)(self.edge_index, h, self.weight)
        scaled = product if alpha == 1 else alpha * product
        return scaled if added is None else scaled + added

    def __matmul__(self, h):
        return self.product(h)


class _Attention:
    """Stands in for `EdgePattern`."""

    def __init__(self, edge_index, messages):
        self.edge_index, self.messages = edge_index, messages

    def softmax(self, target_scores, source_scores, slope):
        sources, targets = self.edge_index
        scores = nn.functional.leaky_relu(target_scores[targets] + source_scores[sources], slope)
        return softmax(scores, targets, num_nodes=len(target_scores))

    def weighted_sum(self, weights, x):
        return next(self.messages)(self.edge_index, x, weights)
