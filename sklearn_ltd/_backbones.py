"""The graph neural networks: one small class each, on the sparse products of `_sparse`.

A backbone maps a `GraphTensors` to logits of shape (n_nodes, n_classes), or of the nodes where
the edges of its last hop end.  A new one is a class with `forward` and `embed` and an entry in
`BACKBONES`.
"""

import inspect
import threading
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from ._sparse import SparseMatrix
from ._torch import dropout, relu_dropout


def _dropout(x, p, training):
    return dropout(x, p, training) if torch.is_tensor(x) else x.dropout(p, training)


def _symmetric(h, graph):
    return graph.edges.symmetric @ h


def _mean(h, graph):
    return graph.edges.mean @ h


class _Linear(nn.Linear):
    """A linear layer with Glorot weights and zero bias; features need not be a tensor."""

    def reset_parameters(self):
        nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x, added=None):
        """``x @ weight.t()`` plus the bias or, in a layer without one, what is `added`."""
        if isinstance(x, SparseMatrix):
            return x.product(self.weight.t(), self.bias if added is None else added)
        x = x if torch.is_tensor(x) else x.to_dense()
        return super().forward(x) if added is None else torch.addmm(added, x, self.weight.t())


def _linear_weights(layer):
    return [part.weight for part in layer.modules() if isinstance(part, _Linear)]


class _Backbone(nn.Module):
    """``forward(graph)`` gives logits, ``embed(graph)`` the last hidden layer.

    At the same parameters a pass without dropout and the next one with dropout share the output of
    `first_layer`, the name of a submodule: ``forward(graph, first=output)``.  None where dropout
    acts before it, or where there is nothing else.

    `averages_over` names the edges over which the first hop averages the features, or a linear
    function of them, so that this may be done in advance; None where it does something else.
    """

    first_layer: str | None = None
    averages_over: str | None = None

    def shared(self, graph, parameters):
        """Keyword arguments of `forward` that hold for all passes at these parameters.

        Parameters
        ----------
        graph : GraphTensors
        parameters : dict of str to torch.Tensor
            Those of the module by name, or what takes their place.
        """
        if self.first_layer is None:
            return {}
        prefix = self.first_layer + "."
        own = {
            name.removeprefix(prefix): p
            for name, p in parameters.items()
            if name.startswith(prefix)
        }
        layer = self.get_submodule(self.first_layer)
        return {"first": functional_call(layer, own, (graph.x, graph))}

    def feature_weights(self):
        """The weights that multiply the node features; none that is known of by default.

        Returns
        -------
        weights : list of (torch.nn.Parameter, callable or None, int)
            With ``average(h, graph)``, how the network averages the features over neighbours,
            before or after the product, and the number of hops that it looks away from a node;
            None and 0 where it does not.
        """
        return []

    def is_single_layer(self):
        """Whether there are no other weight matrices than those of the features."""
        return 0 < len(self.feature_weights()) == len(_linear_weights(self))


class _Staged(_Backbone):
    """A backbone of `stages` ``h = stage(h, graph)``, which `_neighborhood` can run one by one.

    ``stages()`` lists pairs of the hops that a stage looks away from a node (0 or 1) and the
    stage.  One that looks at neighbours gives rows for the nodes where edges of `graph` end.
    """

    def forward(self, graph, **shared):
        return self._run(self.stages(), graph, **shared)

    def embed(self, graph):
        return self._run(self.hidden_stages(), graph)

    def hidden_stages(self):
        """The stages that make the last hidden layer."""
        return self.stages()[:-1]

    def _run(self, stages, graph):
        h = graph.x
        for n_hops, stage in stages:
            h = stage(h, graph)
            graph = graph.inner if n_hops else graph
        return h


class _Stack(_Staged):
    """Layers with ReLU and dropout between them; `layer_type(n_in, n_out)` makes one."""

    layer_hops = 1

    def __init__(self, layer_type, n_features, n_classes, hidden_dim, n_layers, dropout):
        super().__init__()
        sizes = [n_features] + [hidden_dim] * (n_layers - 1) + [n_classes]
        self.layers = nn.ModuleList(map(layer_type, sizes[:-1], sizes[1:]))
        self.dropout = dropout
        self.first_layer = "layers.0" if n_layers > 1 else None

    def feature_weights(self):
        return self.layers[0].feature_weights()

    def stages(self):
        *hidden, last = self.layers
        stages = [partial(self._hidden, layer) for layer in hidden] + [last]
        return [(self.layer_hops, stage) for stage in stages]

    def _hidden(self, layer, h, graph):
        return self._activate(layer(h, graph))

    def _activate(self, h):
        return relu_dropout(h, self.dropout, self.training)

    def _run(self, stages, graph, first=None):
        if first is not None:
            stages = [(self.layer_hops, lambda *_: self._activate(first)), *stages[1:]]
        return super()._run(stages, graph)


class _GCNLayer(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.linear = _Linear(n_in, n_out, bias=False)
        self.bias = nn.Parameter(torch.zeros(n_out))

    def feature_weights(self):
        return [(self.linear.weight, _symmetric, 1)]

    def forward(self, h, graph):
        return graph.propagate("symmetric", h, self.linear, self.bias)


class GCN(_Stack):
    """Graph convolutional network (Kipf & Welling, ICLR 2017).

    ``H' = relu(D^-1/2 (A + I) D^-1/2 H W + b)``.
    """

    averages_over = "symmetric"

    def __init__(self, n_features, n_classes, hidden_dim=64, n_layers=2, dropout=0.5):
        super().__init__(_GCNLayer, n_features, n_classes, hidden_dim, n_layers, dropout)


class _SAGELayer(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.neighbors = _Linear(n_in, n_out, bias=False)
        self.root = _Linear(n_in, n_out, bias=False)
        self.bias = nn.Parameter(torch.zeros(n_out))

    def feature_weights(self):
        return [(self.neighbors.weight, _mean, 1), (self.root.weight, None, 0)]

    def forward(self, h, graph):
        own = self.root(graph.at_targets(h), self.bias)
        return graph.propagate("mean", h, self.neighbors, own)


class GraphSAGE(_Stack):
    """GraphSAGE with the mean aggregator (Hamilton et al., NeurIPS 2017).

    ``h'_i = relu(W_1 mean_{j -> i} h_j + W_2 h_i + b)``.
    """

    averages_over = "mean"

    def __init__(self, n_features, n_classes, hidden_dim=64, n_layers=2, dropout=0.5):
        super().__init__(_SAGELayer, n_features, n_classes, hidden_dim, n_layers, dropout)


class _DenseLayer(_Linear):
    def feature_weights(self):
        return [(self.weight, None, 0)]

    def forward(self, h, graph):
        return super().forward(h)


class MLP(_Stack):
    """A multi-layer perceptron on the node features alone; it does not read the edges."""

    layer_hops = 0

    def __init__(self, n_features, n_classes, hidden_dim=64, n_layers=2, dropout=0.5):
        super().__init__(_DenseLayer, n_features, n_classes, hidden_dim, n_layers, dropout)


class APPNP(_Backbone):
    """Personalised propagation of neural predictions (Gasteiger et al., ICLR 2019).

    ``Z_0 = MLP(X)``, then ten times ``Z' = 0.9 D^-1/2 (A + I) D^-1/2 Z + 0.1 Z_0``.
    """

    n_hops = 10
    teleport = 0.1

    def __init__(self, n_features, n_classes, hidden_dim=64, n_layers=2, dropout=0.5):
        super().__init__()
        self.predict = MLP(n_features, n_classes, hidden_dim, n_layers, dropout)
        self.first_layer = self.predict.first_layer and f"predict.{self.predict.first_layer}"

    def feature_weights(self):
        weights = self.predict.feature_weights()
        return [(weight, self._spread, self.n_hops) for weight, *_ in weights]

    def forward(self, graph, **shared):
        return self._spread(self.predict(graph, **shared), graph)

    def embed(self, graph):
        return self.predict.embed(graph)

    def _spread(self, local, graph):
        z, returning = local, self.teleport * local
        for _ in range(self.n_hops):
            z = graph.edges.symmetric.product(z, returning, 1 - self.teleport)
        return z


class SGC(_Staged):
    """Simplified graph convolution (Wu et al., ICML 2019): ``Z = S^n_layers X W + b``.

    There is no hidden layer: `embed` is ``S^n_layers X`` in as many columns as there are
    classes, that is, the logits.
    """

    averages_over = "symmetric"

    def __init__(self, n_features, n_classes, hidden_dim=64, n_layers=2, dropout=0.5):
        super().__init__()
        self.linear = _Linear(n_features, n_classes, bias=False)
        self.bias = nn.Parameter(torch.zeros(n_classes))
        self.n_hops = n_layers
        self.dropout = dropout

    def stages(self):
        # Weights first: the product keeps sparse features sparse and is narrow.
        hops = [(1, self._propagate)] * (self.n_hops - 1)
        return [(0, self._project), *hops, (1, self._propagate_last)]

    def _project(self, h, graph):
        averages = graph.averages("symmetric") if h is graph.x else None
        x = h if averages is None else averages  # of which the first hop makes nothing else
        return self.linear(_dropout(x, self.dropout, self.training))

    def _propagate(self, z, graph):
        return graph.edges.symmetric @ z

    def _propagate_last(self, z, graph):
        return graph.edges.symmetric.product(z, self.bias)

    def hidden_stages(self):
        return self.stages()

    def feature_weights(self):
        return [(self.linear.weight, self._average, self.n_hops)]

    def _average(self, x, graph):
        for _ in range(self.n_hops):
            x, graph = self._propagate(x, graph), graph.inner
        return x


def _by_head(weight):
    """A block-diagonal matrix, (heads * k, heads), that takes each head times its weights."""
    return torch.diag_embed(weight.t()).transpose(0, 1).flatten(0, 1)


class _GATLayer(nn.Module):
    negative_slope = 0.2

    def __init__(self, n_in, n_out, heads, concat, dropout):
        super().__init__()
        self.linear = _Linear(n_in, heads * n_out, bias=False)
        self.source = nn.Parameter(torch.empty(heads, n_out))
        self.target = nn.Parameter(torch.empty(heads, n_out))
        self.bias = nn.Parameter(torch.zeros(heads * n_out if concat else n_out))
        nn.init.xavier_uniform_(self.source)
        nn.init.xavier_uniform_(self.target)
        self.concat = concat
        self.dropout = dropout

    def forward(self, h, graph):
        heads, n_out = self.source.shape
        h = self.linear(h)
        # As a dense product: sums over a short last dimension take a CPU several times as long.
        weight = torch.cat([_by_head(self.source), _by_head(self.target)], 1)
        source_scores, target_scores = (h @ weight).split(heads, 1)
        target_scores = graph.at_targets(target_scores)
        pattern = graph.edges.attention_pattern
        attention = pattern.softmax(target_scores, source_scores, self.negative_slope)
        attention = dropout(attention, self.dropout, self.training)
        out = pattern.weighted_sum(attention, h.view(-1, heads, n_out))
        return (out.flatten(1) if self.concat else out.mean(1)) + self.bias


class GAT(_Staged):
    """Graph attention network (Velickovic et al., ICLR 2018).

    Eight heads share `hidden_dim` units (at least one each); the last layer has one head.
    Dropout acts on the inputs of every layer and on the attention.
    """

    heads = 8

    def __init__(self, n_features, n_classes, hidden_dim=64, n_layers=2, dropout=0.5):
        super().__init__()
        width = max(1, hidden_dim // self.heads)
        sizes = [n_features] + [self.heads * width] * (n_layers - 1)
        self.layers = nn.ModuleList(
            [_GATLayer(n, width, self.heads, True, dropout) for n in sizes[:-1]]
            + [_GATLayer(sizes[-1], n_classes, 1, False, dropout)]
        )
        self.dropout = dropout

    def feature_weights(self):
        # What attention averages to is not known in advance: plain averaging stands in for it.
        return [(self.layers[0].linear.weight, _symmetric, 1)]

    def stages(self):
        *hidden, last = self.layers
        stages = [partial(self._hidden, layer) for layer in hidden]
        return [(1, stage) for stage in [*stages, partial(self._layer, last)]]

    def _layer(self, layer, h, graph):
        return layer(_dropout(h, self.dropout, self.training), graph)

    def _hidden(self, layer, h, graph):
        return F.elu(self._layer(layer, h, graph))


BACKBONES = {"gcn": GCN, "gat": GAT, "sage": GraphSAGE, "appnp": APPNP, "sgc": SGC, "mlp": MLP}

ADD_LOOPS = ("gcn", "appnp", "sgc")  # of weight 1, beside the weighted edges


class EdgeIndexModule(_Backbone):
    """Somebody else's module, called as ``module(x, edge_index)`` the PyG way.

    Most layers take dense features only, so sparse ones are made dense for it.  Edge
    weights are passed on where the module's `forward` has an `edge_weight` parameter.
    """

    def __init__(self, module, n_classes):
        super().__init__()
        self.n_classes = n_classes
        self.module = module
        parameters = inspect.signature(module.forward).parameters
        self.takes_weights = "edge_weight" in parameters

    def forward(self, graph):
        weights = {"edge_weight": graph.edges.edge_weight} if self.takes_weights else {}
        try:
            logits = self.module(graph.dense_x, graph.edges.edge_index, **weights)
        except torch.cuda.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError) as error:
            error.add_note(
                f"{type(self.module).__name__} was called as module(x, edge_index) with x of "
                f"shape {tuple(graph.dense_x.shape)}: a row of features for every node."
            )
            raise
        expected = (graph.n_nodes, self.n_classes)
        shape = tuple(logits.shape) if torch.is_tensor(logits) else type(logits).__name__
        if shape != expected:
            raise ValueError(
                f"{type(self.module).__name__} must return a tensor of logits of shape {expected}, "
                f"one row per node and one column per class, got {shape}. Wrap it in a module "
                "that does."
            )
        return logits

    def embed(self, graph):
        """The input of the last submodule with parameters of its own that the call reached."""
        inputs, thread = [], threading.get_ident()

        def remember(_, args):
            if threading.get_ident() == thread:
                inputs[:] = [a for a in args[:1] if torch.is_tensor(a)]

        leaves = [m for m in self.module.modules() if any(True for _ in m.parameters(False))]
        hooks = [m.register_forward_pre_hook(remember) for m in leaves]
        try:
            logits = self(graph)
        finally:
            for hook in hooks:
                hook.remove()
        usable = inputs and inputs[0].dim() == 2 and len(inputs[0]) == len(logits)
        return inputs[0] if usable else logits


def make_backbone(backbone, n_features, n_classes, hidden_dim, n_layers, dropout):
    """The module for a name in `BACKBONES` or a callable ``(n_features, n_classes)``."""
    if isinstance(backbone, str):
        return BACKBONES[backbone](n_features, n_classes, hidden_dim, n_layers, dropout)
    if isinstance(backbone, nn.Module):
        raise TypeError(
            f"got an instance of {type(backbone).__name__}. Pass its class, or lambda n_features, "
            "n_classes: ..., as every fit trains a new one."
        )
    module = backbone(n_features, n_classes)
    if not isinstance(module, nn.Module):
        raise TypeError(f"it returned {type(module).__name__}")
    return module if isinstance(module, _Backbone) else EdgeIndexModule(module, n_classes)
