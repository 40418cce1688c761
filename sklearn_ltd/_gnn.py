"""`GNNNodeClassifier`: one supervised graph neural network, teacher and plain baseline."""

from functools import partial
from numbers import Integral, Real
from os import PathLike
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_class_weight

from ._base import BaseNodeClassifier
from ._sampling import shuffled
from ._torch import few_threads, memory_advice, resolve_device, seeded
from ._train import cross_entropy
from ._typing import Backbone, ClassWeight, GraphLike, Labels, RandomState, typed

NETWORK_CONSTRAINTS = {
    "hidden_dim": [Interval(Integral, 1, None, closed="left")],
    "n_layers": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "class_weight": [dict, StrOptions({"balanced"}), None],
}


class GNNNodeClassifier(BaseNodeClassifier):
    """A graph neural network that is trained on the known labels.

    The teacher of `LTDNodeClassifier`, and the baseline to compare it with.

    Parameters
    ----------
    backbone : {"gcn", "gat", "sage", "appnp", "sgc", "mlp"} or callable, default="gcn"
        The network; a callable ``(n_features, n_classes) -> torch.nn.Module`` builds one of
        your own, called as ``module(x, edge_index)`` (and ``edge_weight`` if its `forward`
        has such a parameter).
    hidden_dim : int, default=64
        Width of the hidden layers.
    n_layers : int, default=2
        Number of layers; hops for "sgc".  Not used by a callable backbone.
    dropout : float, default=0.5
        Dropout rate; where it acts is the backbone's.  Not used by a callable backbone.
    learning_rate : float, default=0.02
        Step size relative to the initial size of each weight matrix or other parameter.
        The optimizer is Adam with one second moment per matrix, so that a rare word's weights move
        less than those of a frequent one.  Steps are three times as large where a built-in network
        has only one layer of weights, as "sgc" always has.
    weight_decay : float, default=0.02
        L2 penalty.  For the weights that multiply the features of a built-in network it is scaled
        by the unit of the features and by how far averaging over neighbours shrinks them (GAT: as
        for GCN), so that the larger weights needed for the same effect cost no more.
    max_iter : int, default=300
        Epochs at most.  Where `best_iter_` is close to it, more may help.
    n_iter_no_change : int, default=50
        Stop after this many epochs without a lower loss on the stop nodes.
    validation_fraction : float, default=0.2
        Fraction of the labels that stop the training, drawn by class where no `role` is
        given.  Every class keeps at least one label to train on.  0 runs all epochs.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss, as in scikit-learn; the epoch is chosen without.
    batch_size : int, default=None
        Train on mini-batches of this many labelled nodes with sampled neighbours, and predict
        chunk by chunk, for a graph that is too large for memory or stays on disk (`Graph.open`).
        An epoch sees every training label once.
        Not for "appnp" or networks of your own.  None: every epoch is one step on the whole
        graph.  In a torch process group its processes share each mini-batch.
    n_neighbors : int, default=10
        Incoming edges sampled per node and layer, with `batch_size`.  "gcn", "sage" and "sgc"
        first average dense features over all neighbours and sample more in the other layers:
        about ``n_neighbors ** n_layers`` nodes per label, as otherwise.
    checkpoint_dir : str or path, default=None
        A folder for this fit alone, where it is saved at most twice a minute.  The same fit, called
        again after an interruption, resumes and ends with the same numbers (on a CPU); once
        finished, it gives the model without training.  An interruption raises an error instead
        of keeping the best epoch.  Needs a `random_state`.
    device : str, default="auto"
        "auto" (CUDA if there is one, else the CPU), "cpu", "cuda", "cuda:1" or "mps"
        (untested).
    random_state : int, RandomState instance or None, default=None
        Draws the roles, the initial parameters and the dropout.
    verbose : int, default=0
        1 prints a line every tenth epoch, 2 every epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where the features came as a DataFrame with string columns.
    n_iter_ : int
        Number of epochs run.
    best_iter_ : int
        Epoch, from 1, whose parameters were kept.
    history_ : list of dict of float
        The losses of every epoch, and accuracy and loss on the stop nodes.
    transduction_ : ndarray of shape (n,)
        Predicted labels of all nodes of the training graph.
    architecture_ : dict
        What the network was built from.
    state_ : dict of str to ndarray
        Parameters and buffers of the network.
    structure_ : str or None
        Digest of the training graph where it has no features, else None.

    See Also
    --------
    LTDNodeClassifier : Distils such a network.

    Examples
    --------
    >>> from sklearn_ltd import GNNNodeClassifier
    >>> from sklearn_ltd.datasets import load_karate_club
    >>> club = load_karate_club()
    >>> clf = GNNNodeClassifier(random_state=0).fit(club.graph[::2], club.y[::2])
    >>> clf.predict(club.graph[1::2]).shape
    (17,)
    """

    _parameter_constraints = BaseNodeClassifier._backbone_constraints | NETWORK_CONSTRAINTS

    def __init__(
        self,
        backbone: Backbone = "gcn",
        *,
        hidden_dim: int = 64,
        n_layers: int = 2,
        dropout: float = 0.5,
        learning_rate: float = 0.02,
        weight_decay: float = 0.02,
        max_iter: int = 300,
        n_iter_no_change: int = 50,
        validation_fraction: float = 0.2,
        class_weight: ClassWeight = None,
        batch_size: int | None = None,
        n_neighbors: int = 10,
        checkpoint_dir: str | PathLike[str] | None = None,
        device: str = "auto",
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.backbone = backbone
        self.hidden_dim = hidden_dim
        self.n_layers = n_layers
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.max_iter = max_iter
        self.n_iter_no_change = n_iter_no_change
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight
        self.batch_size = batch_size
        self.n_neighbors = n_neighbors
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @typed(with_callbacks)
    @typed(_fit_context(prefer_skip_nested_validation=True))
    def fit(
        self,
        graph: GraphLike,
        y: Labels,
        labeled_mask: npt.ArrayLike | None = None,
        *,
        role: npt.ArrayLike | None = None,
    ) -> Self:
        """Train on the labelled nodes among those selected; all nodes pass messages.

        Parameters
        ----------
        graph : Graph or anything `as_graph` accepts
            The whole graph, or a view whose nodes may be labelled.
        y : array-like of shape (n_selected,), or dict or Series keyed by node name
            Labels of any kind; None, NaN and, among numbers, -1 mean unlabelled.  Where the
            values are exactly -1 and 1, both are classes.
        labeled_mask : array-like of shape (n_selected,) or Series of booleans, default=None
            Boolean mask or integer positions of the nodes whose label may be read.
        role : array-like of shape (n_selected,) or Series keyed by node name, default=None
            "train" and "temperature" nodes train, "stop" nodes stop, the labels of nodes
            with "" are not read.

        Returns
        -------
        self : GNNNodeClassifier

        Raises
        ------
        TypeError, ValueError
            If the graph, the labels or a parameter are invalid, or the checkpoint is damaged
            or of another fit.
        """
        fractions = {"stop": self.validation_fraction}
        graph, labels, rng = self._start_fit(graph, y, labeled_mask, role, fractions)
        device = resolve_device(self.device)
        with seeded(rng.randint(2**31), device), few_threads(graph.size), memory_advice():
            nodes = labels.positions("train", "temperature")
            codes = torch.tensor(labels.codes[nodes], device=device)
            weights = class_weights(self.class_weight, self.classes_, codes, device)
            step = self._make_step(
                graph,
                labels,
                self._tensors(graph, device),
                device,
                loss=lambda logits: cross_entropy(logits, codes, weights),
                nodes=nodes,
                batches=partial(_labeled_batches, nodes, codes, weights),
            )
            self._run(step, graph, labels, device)
        return self._transduce(graph)


def _labeled_batches(nodes, codes, weights, batch_size, rng):
    """The labelled nodes in random order, with the cross-entropy of each batch."""
    for part in shuffled(len(nodes), batch_size, rng):
        loss = partial(cross_entropy, y=codes[part], class_weight=weights)
        yield nodes[part], loss


def class_weights(class_weight, classes, codes, device):
    """Weights in the order of `classes` as a tensor, or None."""
    if class_weight is None:
        return None
    labels = classes[codes.cpu().numpy()]
    weights = compute_class_weight(class_weight, classes=classes, y=labels)
    return torch.tensor(np.asarray(weights), dtype=torch.float32, device=device)
