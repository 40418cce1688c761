"""What the node classifiers share: labels and roles going in, predictions coming out."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import TransformerTags, check_random_state
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, check_is_fitted, column_or_1d

from ._backbones import BACKBONES, GraphTensors, make_backbone
from ._callbacks import FitTasks
from ._convert import as_graph
from ._torch import load_module_state, module_state, prediction_device, seeded
from ._train import predict_logits, run_epochs
from .model_selection import ROLES, as_labels, draw_roles, encode_labels, is_unlabeled


@dataclass
class Labels:
    """The known labels of one fit, by position in the whole graph.

    Attributes
    ----------
    codes : ndarray of shape (n,)
        Class codes; -1 for every node that has no role: its label is not read.
    nodes : dict of str to ndarray
        Role ("train", "temperature", "stop") to the sorted positions of its nodes.
    """

    codes: np.ndarray
    nodes: dict

    def positions(self, *roles):
        """Sorted positions of the nodes with one of the roles."""
        return np.sort(np.concatenate([self.nodes[role] for role in roles]))

    def tensors(self, *roles, device):
        """Positions and class codes of the nodes with one of the roles."""
        nodes = self.positions(*roles)
        return torch.tensor(nodes, device=device), torch.tensor(self.codes[nodes], device=device)

    @property
    def roles(self):
        """Role of every node of the whole graph, "" where there is none."""
        roles = np.full(len(self.codes), "", dtype="<U11")
        for role, nodes in self.nodes.items():
            roles[nodes] = role
        return roles


class BaseNodeClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """Labels, roles, predictions and the numpy state of a fitted backbone."""

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
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def predict(self, graph):
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

    def predict_proba(self, graph):
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

    def predict_log_proba(self, graph):
        """Logarithms of `predict_proba`, exact where a probability underflows.

        Parameters
        ----------
        graph : Graph or anything `as_graph` accepts

        Returns
        -------
        log_proba : ndarray of shape (n_selected, n_classes)
        """
        return log_softmax(self._logits(graph), axis=1)

    def decision_function(self, graph):
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

    def transform(self, graph):
        """The last hidden layer: an embedding of the selected nodes.

        Networks without a hidden layer (SGC, or one layer) give their logits; for a module of
        your own it is the input of the last layer with parameters, or the logits where that is
        not one row per node.

        Parameters
        ----------
        graph : Graph or anything `as_graph` accepts

        Returns
        -------
        embedding : ndarray of shape (n_selected, n_hidden)
        """
        return self._forward(graph, _last_hidden)

    def score(self, graph, y, sample_weight=None):
        """Accuracy on the selected nodes.

        Parameters
        ----------
        graph : Graph or anything `as_graph` accepts
        y : array-like of shape (n_selected,), or dict or Series keyed by node name
        sample_weight : array-like of shape (n_selected,), default=None

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
        y = align_labels(y, graph)
        unknown = is_unlabeled(y) & ~np.isin(y, self.classes_)
        if unknown.any():
            raise ValueError(
                f"{unknown.sum()} of {len(y)} nodes are unlabelled and can't be scored. Select "
                "the labelled ones: score(graph[mask], y[mask]); in cross-validation, "
                "cross_validate(clf, graph[mask], y[mask])."
            )
        y = np.array(y.tolist()) if y.dtype == object else y
        return super().score(graph, y, sample_weight)

    def _logits(self, graph):
        return self._forward(graph, lambda module, tensors: module(tensors))

    def _forward(self, graph, function):
        """``function(module, tensors)`` without dropout, at the selected nodes, as float64."""
        check_is_fitted(self)
        graph = self._check_graph(as_graph(graph))
        module, device = self._fitted_module()
        with torch.no_grad():
            rows = function(module, graph_tensors(graph, device))
            rows = rows[torch.from_numpy(graph.nodes).to(device)]
        return rows.cpu().numpy().astype(np.float64)

    def _fitted_module(self):
        """The backbone with its fitted parameters, built on first use after unpickling."""
        cached = self.__dict__.get("_module")
        if cached is None:
            device = prediction_device(self.device)
            with seeded(0, torch.device("cpu")):  # the random start is replaced
                module = self._make_module(self.n_features_in_, len(self.classes_))
            cached = load_module_state(module, self.state_).to(device).eval(), device
            self._module = cached
        return cached

    def _make_module(self, n_features, n_classes):
        try:
            return make_backbone(
                self.backbone,
                n_features,
                n_classes,
                hidden_dim=self.hidden_dim,
                n_layers=self.n_layers,
                dropout=self.dropout,
            )
        except TypeError as error:
            raise TypeError(
                f"backbone must be a callable (n_features, n_classes) -> torch.nn.Module: {error}"
            ) from error

    def _check_graph(self, graph):
        """The graph at prediction has to have the features of the graph at fit."""
        n_features = graph.shape[1]
        if n_features != self.n_features_in_ or (graph.X is None) != (self.structure_ is not None):
            found = "no features" if graph.X is None else f"{n_features} features"
            wanted = (
                "no features" if self.structure_ is not None else f"{self.n_features_in_} features"
            )
            raise ValueError(
                f"X has {found}, but {type(self).__name__} is expecting {self.n_features_in_} "
                f"features as input: it was fitted on a graph with {wanted}. Pass a graph with "
                "the same node features, in the same order."
            )
        if graph.X is None and graph._whole.fingerprint != self.structure_:
            raise ValueError(
                "the classifier was fitted on a graph without node features, where structural "
                "ones of that very graph stand in: they mean nothing on another graph. Give "
                "both graphs features, Graph(adjacency, X), or predict on the training graph."
            )
        names = getattr(self, "feature_names_in_", None)
        found = graph.feature_names
        if names is not None and found is not None and not np.array_equal(names, found):
            raise ValueError(
                "The feature names should match those that were passed during fit, got "
                f"{list(found[:5])} for {list(names[:5])}. Reorder the columns."
            )
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
        y = align_labels(y, graph)
        if not len(graph):
            raise ValueError(
                "the selection has 0 nodes, expected at least 2 labelled ones. Pass graph[nodes] "
                "with the nodes to learn from."
            )
        graph, y, role = _select(graph, y, labeled_mask, _check_role(role, len(graph)))
        codes, self.classes_ = _check_labels(y)
        rng = check_random_state(self.random_state)
        if role is None:
            roles = self._draw_roles(codes, fractions, rng)
        else:
            roles = _check_roles_labeled(role, codes, self.classes_)
        whole = np.full(graph.n_nodes, -1)
        whole[graph.nodes] = codes
        nodes = {name: np.sort(graph.nodes[roles == name]) for name in ROLES}
        self._set_features(graph)
        self._drop_caches()
        return graph, Labels(whole, nodes), rng

    def _draw_roles(self, codes, fractions, rng):
        roles = np.full(len(codes), "", dtype="<U11")
        labeled = np.flatnonzero(codes >= 0)
        roles[labeled] = draw_roles(codes[labeled], fractions, rng)
        return roles

    def _set_features(self, graph):
        self.n_features_in_ = graph.shape[1]
        self.structure_ = graph._whole.fingerprint if graph.X is None else None
        if graph.feature_names is not None:
            self.feature_names_in_ = graph.feature_names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _run(self, step, graph, labels, device):
        """Run the epochs of `step` and keep what the best one gave."""
        nodes = labels.positions(*ROLES)
        known = self.classes_[labels.codes[nodes]]
        with FitTasks(self, step.module, graph.whole[nodes], known) as tasks:
            self.history_, best = run_epochs(
                step,
                *labels.tensors("stop", device=device),
                max_iter=self.max_iter,
                n_iter_no_change=self.n_iter_no_change,
                tasks=tasks,
                verbose=self.verbose,
                name=type(self).__name__,
            )
        self.n_iter_ = len(self.history_)
        self.best_iter_ = best + 1
        self.state_ = module_state(step.module)
        self.transduction_ = self.classes_[
            predict_logits(step.module, step.graph).argmax(1).cpu().numpy()
        ]

    def _drop_caches(self):
        self.__dict__.pop("_module", None)

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
    """The graph on a device, kept for the next fit or prediction on any view of it."""
    cache = graph._whole.cache
    key = str(device)
    if key not in cache:
        cache[key] = GraphTensors(graph.adjacency, graph.features, device)
    return cache[key]


def align_labels(y, graph):
    """`y` as an array along the view; a dict or Series with node names is put in order."""
    if hasattr(y, "index") and hasattr(y, "to_dict") and graph.has_node_names:
        y = _series_by_name(y, graph)
    if isinstance(y, dict):
        y = _dict_by_name(y, graph)
    elif hasattr(y, "to_numpy"):
        y = y.to_numpy()
    else:
        y = as_labels(y)
    y = column_or_1d(y, warn=True)
    if len(y) != len(graph):
        raise ValueError(
            f"y has {len(y)} labels, but the graph has {len(graph)} selected nodes: inconsistent "
            "numbers of samples. Pass one label per node, or fit(graph[nodes], y_of_those_nodes)."
        )
    return y


def _series_by_name(y, graph):
    """A dict where the index holds node names; the Series itself where it holds none."""
    names = set(graph.whole.node_names.tolist())
    known = [name in names for name in y.index.tolist()]
    if all(known):
        return y.to_dict()
    if any(known):
        raise ValueError(
            f"the index of y has {sum(known)} node names and {len(known) - sum(known)} other "
            "values, got a mixture. Index it by node name, or pass y.to_numpy() in node order."
        )
    return y


def _dict_by_name(y, graph):
    names = graph.node_names.tolist()
    strangers = set(y) - set(graph.whole.node_names.tolist())
    if strangers:
        raise ValueError(
            f"y has labels for {len(strangers)} names that are no nodes, e.g. "
            f"{next(iter(strangers))!r}. Key it by node name, see graph.node_names."
        )
    values = np.empty(len(names), dtype=object)
    values[:] = [y.get(name) for name in names]
    return values


def _check_role(role, n):
    """`role` as an array of strings; None stays None."""
    if role is None:
        return None
    role = np.asarray(role)
    if role.shape != (n,):
        raise ValueError(
            f"role must have one entry per selected node, got shape {role.shape} for {n} nodes."
        )
    roles = np.array(["" if r is None else str(r) for r in role.tolist()], dtype=object)
    unknown = set(roles) - {"", *ROLES}
    if unknown:
        raise ValueError(
            f"role must be 'train', 'temperature', 'stop' or '', got {sorted(unknown)[0]!r}. "
            "Draw roles by sklearn_ltd.model_selection.assign_roles(y)."
        )
    return roles.astype("<U11")


def _select(graph, y, labeled_mask, role):
    """Restrict to the nodes of `labeled_mask` that have a role; every node once."""
    if labeled_mask is not None:
        chosen = _check_mask(labeled_mask, len(graph))
        graph, y = graph[chosen], y[chosen]
        role = None if role is None else role[chosen]
    if role is not None:
        graph, y, role = graph[role != ""], y[role != ""], role[role != ""]
    nodes, first, inverse = np.unique(graph.nodes, return_index=True, return_inverse=True)
    if len(nodes) == len(graph):
        return graph, y, role
    repeated = y[first][inverse]
    differ = (repeated != y) & ~(is_unlabeled(repeated) & is_unlabeled(y))
    if differ.any():
        raise ValueError(
            f"{differ.sum()} nodes are selected more than once with different labels. "
            "Select every node once."
        )
    return graph[first], y[first], None if role is None else role[first]


def _check_mask(labeled_mask, n):
    mask = np.asarray(labeled_mask)
    if mask.dtype == bool and mask.shape == (n,):
        return np.flatnonzero(mask)
    positions = mask.dtype.kind in "iu" and mask.ndim == 1 and mask.size
    if positions and mask.min() >= 0 and mask.max() < n:
        return mask
    raise ValueError(
        f"labeled_mask must be a boolean array of length {n} or integer positions in 0 .. {n - 1}"
        f" along the selected nodes, got dtype {mask.dtype} and shape {mask.shape}."
    )


def _check_labels(y):
    labeled = ~is_unlabeled(y)
    if not labeled.any():
        what = "NaN only" if y.dtype.kind == "f" else "no label"
        raise ValueError(
            f"Input y contains {what}: all {len(y)} entries are -1, None or NaN, or left out by "
            "labeled_mask or role. Pass the known labels."
        )
    known = y[labeled]
    kinds = {type(v).__name__ for v in known.tolist()}
    if "str" in kinds and len(kinds) > 1:
        raise TypeError(
            f"labels must be of one type, got {' and '.join(sorted(kinds))}. Convert them, and "
            "label unknown ones None."
        )
    assert_all_finite(known, input_name="y")
    try:
        codes, classes = encode_labels(y)
    except TypeError as error:
        raise TypeError(f"labels must be of one type to be sorted: {error}") from error
    check_classification_targets(np.array(known.tolist()) if known.dtype == object else known)
    if len(classes) < 2:
        raise ValueError(
            f"the labels have one class, {classes[0]!r}; a classifier needs at least 2 classes. "
            "Unlabelled nodes are -1, None or NaN."
        )
    return codes, classes


def _check_roles_labeled(roles, codes, classes):
    unlabeled = int((codes < 0).sum())
    if unlabeled:
        raise ValueError(f"{unlabeled} nodes have a role but no label. Give them '' as role.")
    missing = sorted(set(codes) - set(codes[roles == "train"]))
    if missing:
        raise ValueError(
            f"the classes {classes[missing].tolist()[:5]} have no node with role 'train'. Give "
            "every class one."
        )
    return roles
