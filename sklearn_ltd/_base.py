"""What the node classifiers share: labels and roles going in, predictions coming out."""

import copy
import os
import warnings
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import TransformerTags, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

import sklearn_ltd

from ._adam import TensorAdam
from ._backbones import ADD_LOOPS, BACKBONES, make_backbone
from ._callbacks import FitTasks
from ._checkpoint import Checkpoint, digest
from ._checks import (
    check_features_match,
    remember_features,
    users_level,
    warn_of_light_edges,
    warn_of_unequal_scales,
)
from ._distributed import n_ranks, rank
from ._graph import as_graph
from ._labels import ROLES, align_labels, follow_labels, is_unknown, read_labels
from ._neighborhood import LargeGraph, receptive_field, stages_of
from ._sampling import SampledStep
from ._tensors import EdgeTensors, GraphTensors, shrinkage, store_weights_for
from ._torch import (
    few_threads,
    load_module_state,
    memory_advice,
    module_state,
    prediction_device,
    seeded,
)
from ._train import PlainStep, run_epochs, trainable
from ._typing import FloatArray, GraphLike, Labels

SINGLE_LAYER_STEP = 3.0  # of a network with one layer of weights, relative to deeper ones


class BaseNodeClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """Labels, roles, predictions and the numpy state of a fitted backbone."""

    classes_: npt.NDArray[Any]
    n_features_in_: int
    feature_names_in_: npt.NDArray[Any]
    n_iter_: int
    best_iter_: int
    history_: list[dict[str, float]]
    transduction_: npt.NDArray[Any]
    architecture_: dict[str, Any]
    state_: dict[str, npt.NDArray[Any]]
    structure_: str | None

    # The graph is the data, not metadata to be routed.
    __metadata_request__fit = {"graph": UNUSED}
    __metadata_request__predict = {"graph": UNUSED}
    __metadata_request__predict_proba = {"graph": UNUSED}
    __metadata_request__predict_log_proba = {"graph": UNUSED}
    __metadata_request__decision_function = {"graph": UNUSED}
    __metadata_request__transform = {"graph": UNUSED}
    __metadata_request__score = {"graph": UNUSED}

    _backbone_constraints = {
        "backbone": [StrOptions(set(BACKBONES)), callable],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "checkpoint_dir": [str, os.PathLike, None],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def predict(self, graph: GraphLike) -> npt.NDArray[Any]:
        """Labels of the selected nodes.

        Parameters
        ----------
        graph : Graph or anything `as_graph` accepts
            The training graph, a view of it, or another graph with the same features.

        Returns
        -------
        y : ndarray of shape (n_selected,)

        Raises
        ------
        NotFittedError, ValueError
            Before `fit`; or if the features are not those of `fit`.
        """
        columns = self._logits(graph).argmax(axis=1)
        return self.classes_[columns]

    def predict_proba(self, graph: GraphLike) -> FloatArray:
        """Class probabilities of the selected nodes.

        Parameters
        ----------
        graph : Graph or anything `as_graph` accepts

        Returns
        -------
        proba : ndarray of shape (n_selected, n_classes)
            Columns in the order of `classes_`; rows sum to 1.
        """
        return softmax(self._logits(graph), axis=1)

    def predict_log_proba(self, graph: GraphLike) -> FloatArray:
        """Logarithms of `predict_proba`, exact where a probability underflows.

        Parameters
        ----------
        graph : Graph or anything `as_graph` accepts

        Returns
        -------
        log_proba : ndarray of shape (n_selected, n_classes)
        """
        return log_softmax(self._logits(graph), axis=1)

    def decision_function(self, graph: GraphLike) -> FloatArray:
        """Logits of the selected nodes.

        Parameters
        ----------
        graph : Graph or anything `as_graph` accepts

        Returns
        -------
        logits : ndarray of shape (n_selected, n_classes), or (n_selected,) for two classes
            For two classes the second logit minus the first, as in scikit-learn.
        """
        logits = self._logits(graph)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def transform(self, graph: GraphLike) -> FloatArray:
        """The last hidden layer: an embedding of the selected nodes.

        Networks without a hidden layer (SGC, or one layer) give their logits, not calibrated; for a
        module of your own it is the input of the last layer with parameters, or the logits where
        that is not one row per node.

        Parameters
        ----------
        graph : Graph or anything `as_graph` accepts

        Returns
        -------
        embedding : ndarray of shape (n_selected, n_hidden)
        """
        return self._forward(graph, hidden=True)

    def score(
        self, graph: GraphLike, y: Labels, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Accuracy on the selected nodes.

        Parameters
        ----------
        graph : Graph or anything `as_graph` accepts
        y : array-like of shape (n_selected,), or dict or Series keyed by node name
        sample_weight : array-like of shape (n_selected,) or Series keyed by node name, default=None

        Returns
        -------
        accuracy : float

        Raises
        ------
        ValueError
            If a node is unlabelled: score ``graph[mask], y[mask]`` instead.
        """
        check_is_fitted(self)
        graph = as_graph(graph)
        sample_weight = follow_labels(sample_weight, y, graph, "sample_weight", missing=0.0)
        y = align_labels(y, graph)
        unknown = is_unknown(y, self.classes_)
        if unknown.any():
            raise ValueError(
                f"{unknown.sum()} of {len(y)} nodes are unlabelled and can't be scored. Select "
                "the labelled ones: score(graph[mask], y[mask]); in cross-validation, "
                "cross_validate(clf, graph[mask], y[mask])."
            )
        y = np.array(y.tolist()) if y.dtype == object else y
        return float(super().score(graph, y, sample_weight))

    def to_module(self) -> torch.nn.Module:
        """The fitted network as a module of PyTorch Geometric's kind.

        A copy on the CPU in evaluation mode, called as
        ``module(x, edge_index, edge_weight=None)`` with dense features; it gives logits, and
        works with `torch_geometric.explain`.  Weighted graphs need their `edge_weight`:
        ``edge_index, edge_weight = from_scipy_sparse_matrix(graph.adjacency)`` of
        `torch_geometric.utils`.

        Returns
        -------
        module : torch.nn.Module

        Examples
        --------
        >>> import torch
        >>> from torch_geometric.utils import from_scipy_sparse_matrix
        >>> from sklearn_ltd import GNNNodeClassifier
        >>> from sklearn_ltd.datasets import make_attributed_sbm
        >>> data = make_attributed_sbm(n_nodes=100, random_state=0)
        >>> module = GNNNodeClassifier(max_iter=9).fit(data.graph, data.y).to_module()
        >>> edge_index, edge_weight = from_scipy_sparse_matrix(data.graph.adjacency)
        >>> module(torch.tensor(data.graph.X), edge_index, edge_weight.float()).shape
        torch.Size([100, 4])
        """
        from ._module import NodeModule

        check_is_fitted(self)
        backbone = copy.deepcopy(self._fitted_module(torch.device("cpu")))
        for parameter in backbone.parameters():  # as other tools want them
            parameter.data = parameter.data.contiguous()
        return NodeModule(backbone, self.n_features_in_, *self._scale_and_shift)

    def _logits(self, graph):
        return self._calibrated(self._forward(graph))

    @property
    def _scale_and_shift(self):
        """Those of a distilled student's logits; none for other networks, and in files of old."""
        return getattr(self, "calibration_", ())

    def _calibrated(self, logits):
        if not self._scale_and_shift:
            return logits
        scale, shift = self._scale_and_shift
        return scale * logits + shift

    def _forward(self, graph, hidden=False):
        """Logits or the last hidden layer of the selected nodes, without dropout, as float64."""
        check_is_fitted(self)
        graph = self._check_graph(as_graph(graph))
        device = prediction_device(self.device)
        module = self._fitted_module(device)
        # What is kept of the graph is of use in training, too.
        with torch.inference_mode(False), torch.no_grad(), few_threads(graph.size), memory_advice():
            if self.batch_size is not None:
                rows = LargeGraph(graph, device).run(stages_of(module, hidden), graph.nodes)
                return rows.astype(np.float64)
            tensors = graph_tensors(graph, device).for_one_pass()
            rows = _last_hidden(module, tensors) if hidden else module(tensors)
            rows = rows[torch.tensor(graph.nodes, device=device)]
        return rows.cpu().numpy().astype(np.float64)

    def _fitted_module(self, device):
        """The backbone with its fitted parameters, built on first use and after unpickling."""
        kept_on, module = self.__dict__.get("_module", (None, None))
        if kept_on != device:
            with seeded(0, torch.device("cpu")):  # the random start is replaced
                module = make_backbone(**self.architecture_)
            module = load_module_state(module, self.state_).to(device).eval()
            self._module = device, module
        return module

    def _make_network(self, graph, tensors, device):
        """A backbone with random parameters, in training mode, and its optimizer.

        The optimizer works as if the features were divided by their `feature_unit`, so that
        step size and penalty mean the same whatever the features are measured in.  The penalty is
        for features as the layer sees them, averaged over neighbours: where they shrink, the
        weights have to be larger for the same effect.  A single layer of weights, as SGC has, has
        to grow as far as two in a row do together, and takes larger steps.
        """
        module = self._make_module(device)
        if self.batch_size is not None:
            stages_of(module)  # or an error
        weights = module.feature_weights()
        store_weights_for(graph.X, weights)
        own = [weight for weight, *_ in weights]
        others = [p for p in trainable(module) if not any(p is weight for weight in own)]
        lr = self.learning_rate * (SINGLE_LAYER_STEP if module.is_single_layer() else 1)
        optimizer = TensorAdam(others, lr, weight_decay=self.weight_decay)
        unit = graph._whole.feature_unit if weights else 1.0
        for weight, average, n_hops in weights:
            with torch.no_grad():
                weight.div_(unit)
            penalty = self.weight_decay
            if average is not None and penalty:
                samples = self._samples(module, tensors, n_hops)
                penalty *= shrinkage(samples, average, unit) ** 2
            group = {"params": [weight], "unit": unit, "weight_decay": penalty}
            optimizer.add_param_group(group)
        return module, optimizer

    def _samples(self, module, tensors, n_hops):
        """The graph, or what mini-batches see of it, for `shrinkage`."""
        if self.batch_size is None:
            return [(tensors, None)]
        return tensors.samples(n_hops, self.batch_size, self.n_neighbors, module.averages_over)

    def _make_module(self, device):
        """A backbone with random parameters, in training mode."""
        self.architecture_ = {
            "backbone": self.backbone,
            "n_features": self.n_features_in_,
            "n_classes": len(self.classes_),
            "hidden_dim": self.hidden_dim,
            "n_layers": self.n_layers,
            "dropout": self.dropout,
        }
        try:
            return make_backbone(**self.architecture_).to(device).train()
        except TypeError as error:
            raise TypeError(
                f"backbone must be a callable (n_features, n_classes) -> torch.nn.Module: {error}"
            ) from error

    def _check_graph(self, graph):
        """The graph at prediction has to have the features of the graph at fit."""
        structural = self.structure_ is not None and not graph._whole.has_features
        if structural and graph._whole.fingerprint != self.structure_:
            raise ValueError(
                "the classifier was fitted on a graph without node features, where structural "
                "ones of that very graph stand in: they mean nothing on another graph. Give "
                "both graphs features, Graph(adjacency, X), or predict on the training graph."
            )
        check_features_match(self, graph, structural=self.structure_ is not None)
        return graph

    def _start_fit(self, graph, y, labeled_mask, role, fractions):
        """Check the input of `fit`; set `classes_` and the feature attributes.

        Returns
        -------
        graph : Graph
        labels : Labels
        rng : RandomState
        """
        graph = as_graph(graph)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        self._check_repeatable()
        rng = check_random_state(self.random_state)
        labels, self.classes_ = read_labels(graph, y, labeled_mask, role, fractions, rng)
        remember_features(self, graph)
        warn_of_unequal_scales(graph)
        if self.backbone in ADD_LOOPS:
            warn_of_light_edges(graph)
        whole = graph._whole
        self.structure_ = None if whole.has_features else whole.fingerprint
        # A fit that fails leaves no model of the last one.
        for stale in ("_module", "state_", "calibration_", "transduction_"):
            self.__dict__.pop(stale, None)
        return graph, labels, rng

    def _check_repeatable(self):
        """What is drawn in two processes has to be the same."""
        if self.random_state is not None:
            return
        if self.checkpoint_dir is not None:
            raise ValueError(
                "checkpoint_dir needs a random_state, got None: a resumed fit has to draw what the "
                "interrupted one drew. Pass random_state=0."
            )
        if self.batch_size is not None and n_ranks() > 1:
            raise ValueError(
                f"training in a process group of {n_ranks()} ranks needs a random_state, got None: "
                "all ranks have to draw the same parameters. Pass random_state=0."
            )

    def _run(self, step, graph, labels, device, first_epoch=0, imitated=None):
        """Run the epochs of `step` and keep what the best one gave; return whether to go on."""
        nodes = labels.positions(*ROLES)
        known = self.classes_[labels.codes[nodes]]
        with FitTasks(self, step.module, graph.whole[nodes], known) as tasks:
            run = self._run_epochs(
                step,
                graph,
                labels,
                device,
                stage="fit",
                max_iter=self.max_iter,
                first_epoch=first_epoch,
                imitated=imitated,
                tasks=tasks,
            )
        self.history_ = run.history
        self.n_iter_ = len(run.history)
        self.best_iter_ = run.best_epoch + 1
        self._keep(step.module)
        return not run.interrupted

    def _run_again(self, step, graph, labels, device, n_epochs):
        """Run so many epochs, without being judged; keep the module if all succeed."""
        run = self._run_epochs(step, graph, labels, device, stage="refit", max_iter=n_epochs)
        if len(run.history) == n_epochs:
            self._keep(step.module)

    def _keep(self, module):
        self.state_ = module_state(module)
        self.__dict__.pop("_module", None)

    def _run_epochs(
        self,
        step,
        graph,
        labels,
        device,
        *,
        stage,
        max_iter,
        first_epoch=0,
        imitated=None,
        tasks=None,
    ):
        checkpoint = None
        if self.checkpoint_dir is not None:
            fingerprint = self._fingerprint(step, graph, labels, device)
            checkpoint = Checkpoint(self.checkpoint_dir, stage, fingerprint)
        stop_nodes, stop_y = labels.tensors("stop", device=device)
        if step.stop_nodes_first:
            imitated = None if imitated is None else imitated[stop_nodes]
            stop_nodes = torch.arange(len(stop_nodes), device=device)
        return run_epochs(
            step,
            stop_nodes,
            stop_y,
            class_weight=labels.weights("stop", device=device),
            max_iter=max_iter,
            n_iter_no_change=self.n_iter_no_change,
            first_epoch=first_epoch,
            imitated=imitated,
            judged=stage == "fit",
            tasks=tasks,
            verbose=self.verbose if rank() == 0 and stage == "fit" else 0,
            name=type(self).__name__ + (" refit" if stage == "refit" else ""),
            checkpoint=checkpoint,
        )

    def _transduce(self, graph):
        """What the fitted network predicts for the training graph."""
        logits = self._forward(graph.whole)
        if (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, atol=1e-3):
            warnings.warn(
                "the network gives probabilities (rows that sum to 1), expected logits. Leave out "
                "its last softmax.",
                UserWarning,
                stacklevel=users_level(),
            )
        self.transduction_ = self.classes_[self._calibrated(logits).argmax(axis=1)]
        return self

    def _tensors(self, graph, device):
        """The graph as the steps read it: as a whole, or piece by piece."""
        if self.batch_size is None:
            return graph_tensors(graph, device)
        return LargeGraph(graph, device)

    def _make_step(self, graph, labels, tensors, device, *, loss, batches, nodes=None):
        """An epoch of training: one step on `loss`, or one on each of `batches`.

        The loss is one of the logits of all nodes, or of `nodes`: then hidden layers are computed
        only for what those and the stop nodes depend on, where that is not most of the graph.
        """
        module, optimizer = self._make_network(graph, tensors, device)
        stop_nodes = labels.positions("stop")
        if self.batch_size is not None:
            return SampledStep(
                module,
                tensors,
                batches,
                optimizer,
                stop_nodes=stop_nodes,
                batch_size=self.batch_size,
                n_neighbors=self.n_neighbors,
                seed=torch.randint(2**31, ()).item(),
            )
        if nodes is None:
            return PlainStep(module, tensors, loss, optimizer)
        field = receptive_field(module, graph, np.concatenate([stop_nodes, nodes]), device)
        rows = torch.from_numpy(nodes).to(device) if field is None else slice(len(stop_nodes), None)
        return PlainStep(
            module,
            tensors if field is None else field,
            lambda logits: loss(logits[rows]),
            optimizer,
            stop_nodes_first=field is not None,
        )

    def _fingerprint(self, step, graph, labels, device):
        """What the numbers of a run depend on, by the name that an error gives it."""
        parameters = self.get_params(deep=False)
        for name in ("backbone", "teacher", "random_state", "verbose", "checkpoint_dir"):
            parameters.pop(name, None)
        roles = [labels.nodes[role] for role in ROLES]
        return {name: repr(value) for name, value in parameters.items()} | {
            "the version of sklearn_ltd": sklearn_ltd.__version__,
            "backbone": repr(step.module),
            "random_state": str(torch.initial_seed()),
            "initial parameters": digest(*module_state(step.module).values()),
            "device": device.type,
            "edges": graph._whole.fingerprint,
            "features": graph._whole.feature_fingerprint,
            "labels": digest(labels.codes, self.classes_, *roles),
        }

    def __sklearn_is_fitted__(self):
        return hasattr(self, "state_")

    def __getstate__(self):
        state = dict(super().__getstate__())
        state.pop("_module", None)
        return state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.sparse = True
        tags.transformer_tags = TransformerTags(preserves_dtype=[])
        return tags


def _last_hidden(module, tensors):
    hidden = module.embed(tensors)
    return module(tensors) if hidden is tensors.x else hidden


def graph_tensors(graph, device):
    """The graph on a device, kept for the next fit or prediction on any view of it.

    Graphs that differ in their features alone share the tensors of their edges.
    """
    whole, key = graph._whole, str(device)
    if key not in whole.cache:
        if key not in whole.edge_cache:
            whole.edge_cache[key] = EdgeTensors(whole.incoming.T, device)
        whole.cache[key] = GraphTensors(whole.edge_cache[key], graph.features, kept=True)
    return whole.cache[key]
