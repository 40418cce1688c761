"""Labels of nodes: which are known, what they are, and which role each of them plays."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, column_or_1d

from ._checks import is_integer_mask, users_level

ROLES = ("train", "temperature", "stop")
_LIKE_MISSING = frozenset(  # what pandas reads as missing from a file, the likely ones, and -1
    ["", "-1", "<NA>", "N/A", "NA", "NULL", "NaN", "NaT", "None", "n/a", "nan", "null"]
)


@dataclass
class Labels:
    """The known labels of one fit, by position in the whole graph.

    Attributes
    ----------
    codes : ndarray of shape (n,)
        Class codes; -1 for every node that has no role: its label is not read.
    nodes : dict of str to ndarray
        Role ("train", "temperature", "stop") to the sorted positions of its nodes.
    class_prior : ndarray of shape (n_classes,) or None
        Frequencies of the classes in the graph, for which the labels are to stand; None: those
        among the labels.
    """

    codes: np.ndarray
    nodes: dict
    class_prior: np.ndarray | None = None

    def positions(self, *roles):
        """Sorted positions of the nodes with one of the roles."""
        return np.sort(np.concatenate([self.nodes[role] for role in roles]))

    def tensors(self, *roles, device):
        """Positions and class codes of the nodes with one of the roles."""
        nodes = self.positions(*roles)
        return torch.tensor(nodes, device=device), torch.tensor(self.codes[nodes], device=device)

    def all_as(self, role):
        """The same labels with one role for all of them."""
        nodes = {name: np.empty(0, int) for name in ROLES} | {role: self.positions(*ROLES)}
        return replace(self, nodes=nodes)

    def frequencies(self, *roles, n_classes):
        """Frequencies of the classes among the labels with one of the roles."""
        nodes = self.positions(*roles)
        return np.bincount(self.codes[nodes], minlength=n_classes) / max(1, len(nodes))

    def weights(self, *roles, device):
        """Class weights by which the labels of the roles stand for the graph; None: all 1."""
        if self.class_prior is None:
            return None
        ratio = self.ratio(self.class_prior, *roles)
        return torch.tensor(ratio, dtype=torch.float32, device=device)

    def ratio(self, frequencies, *roles):
        """`frequencies` of the classes by those among the labels of the roles; 1 without any."""
        known = self.frequencies(*roles, n_classes=len(frequencies))
        return np.divide(frequencies, known, out=np.ones(len(known)), where=known > 0)

    @property
    def roles(self):
        """Role of every node of the whole graph, "" where there is none."""
        roles = np.full(len(self.codes), "", dtype="<U11")
        for role, nodes in self.nodes.items():
            roles[nodes] = role
        return roles


def read_labels(graph, y, labeled_mask, role, fractions, rng):
    """The labels that a fit may read, with their roles; no other entry of `y` is looked at.

    Parameters
    ----------
    graph : Graph
    y, labeled_mask, role
        As in `fit`.
    fractions : dict of str to float
        For the draw of roles where `role` is None, see `draw_roles`.
    rng : RandomState

    Returns
    -------
    labels : Labels
    classes : ndarray of shape (n_classes,)
    """
    graph, y, role = select_labels(graph, y, labeled_mask, role)
    codes, classes = _check_labels(y)
    if role is None:
        roles = np.full(len(codes), "", dtype="<U11")
        labeled = np.flatnonzero(codes >= 0)
        roles[labeled] = draw_roles(codes[labeled], fractions, rng)
    else:
        roles = _check_roles_labeled(role, codes, classes)
    whole = np.full(graph.n_nodes, -1)
    whole[graph.nodes] = codes
    return Labels(whole, {name: np.sort(graph.nodes[roles == name]) for name in ROLES}), classes


def select_labels(graph, y, labeled_mask, role):
    """The view, labels and roles that are left by `labeled_mask` and `role`, checked."""
    labeled_mask = follow_labels(labeled_mask, y, graph, "labeled_mask", missing=False)
    role = follow_labels(role, y, graph, "role")
    y = align_labels(y, graph)
    if not len(graph):
        raise ValueError(
            "the selection has 0 nodes, expected at least 2 labelled ones. Pass graph[nodes] "
            "with the nodes to learn from."
        )
    return _select(graph, y, labeled_mask, _check_role(role, len(graph)))


def align_labels(y, graph):
    """`y` as an array along the view; a dict or Series with node names is put in order.

    What is missing in an array of objects is None.
    """
    y = align_series(y, graph, "y")
    if isinstance(y, dict):
        y = _dict_by_name(y, graph, "y")
    elif hasattr(y, "to_numpy"):
        y = y.to_numpy()
    else:
        y = as_labels(y)
    y = column_or_1d(y, warn=True)
    if y.dtype == object:
        y = y.copy()
        y[[_is_missing(value) for value in y.tolist()]] = None
    if len(y) != len(graph):
        raise ValueError(
            f"y has {len(y)} labels, but the graph has {len(graph)} selected nodes: inconsistent "
            "numbers of samples. Pass one label per node, or fit(graph[nodes], y_of_those_nodes)."
        )
    return y


def align_series(values, graph, what, missing=None):
    """A Series whose index holds node names, as an array along the view; else what came.

    NaN in a mask is False.

    Parameters
    ----------
    values : Series or anything
    graph : Graph
    what : str
        What an error calls it.
    missing : object
        Stands at the nodes that the index lacks.
    """
    if not _is_series(values):
        return values
    if missing is False and str(values.dtype) == "boolean":
        values = values.fillna(False).astype(bool)
    index = values.index.tolist()
    if not graph.has_node_names:
        _warn_of_order(index, graph.nodes.tolist(), what)
        return values
    if index == graph.node_names.tolist():
        return values.to_numpy()
    if not _holds_names(index, graph, what):
        return values
    return _dict_by_name(values.to_dict(), graph, what, missing)


def follow_labels(values, y, graph, what, missing=None):
    """What comes beside the labels, as an array along the view; see `align_series`.

    Raises
    ------
    ValueError
        If the index of `y` puts the labels in another order, in which this can't follow.
    """
    positions = what == "labeled_mask" and not is_mask(values)
    aligned = values if positions else align_series(values, graph, what, missing)
    if values is not None and aligned is values and _is_moved(y, graph):
        raise ValueError(
            f"y is put in the order of the nodes by its index, but {what} is not indexed by their "
            "names: is it in the order of y or of the nodes? Pass a Series with the index of y, or "
            "y.loc[graph.node_names]."
        )
    return aligned


def _is_moved(y, graph):
    """Whether a Series has the labels of these very nodes in another order."""
    if not (_is_series(y) and graph.has_node_names):
        return False
    index, names = y.index.tolist(), graph.node_names.tolist()
    return index != names and len(index) == len(names) and set(index) == set(names)


def _is_series(values):
    return hasattr(values, "index") and hasattr(values, "to_dict") and values.ndim == 1


def is_mask(values):
    """Whether this is a Series of booleans."""
    return _is_series(values) and "bool" in str(values.dtype)


def _warn_of_order(index, nodes, what):
    moved = index != nodes and len(index) == len(nodes) and set(index) == set(nodes)
    if moved or not all(isinstance(value, int) for value in index):
        warnings.warn(
            f"the index of {what}, {index[:3]}..., is not read, as the nodes have no names: its "
            f"values are taken to be in the order of the nodes. Pass {what}.to_numpy() if they "
            "are, else Graph(adjacency, X, node_names=...)."
            + (" Or y.to_dict() for labels by position." if what == "y" else ""),
            UserWarning,
            stacklevel=users_level(),
        )


def _holds_names(index, graph, what):
    """Whether the index of a Series holds node names, and not the order of its values.

    Integers may be names or positions: a Series as long as the view whose index is not that
    of the view's nodes would be read wrongly one way or the other.
    """
    names = set(graph.whole.node_names.tolist())
    known = [name in names for name in index]
    counted = index == list(range(len(index)))
    if not any(known):
        if all(isinstance(value, int) for value in index) and not names & set(map(str, index)):
            return False
        raise ValueError(
            f"the index of {what}, {index[:3]}..., holds no names of nodes, which are "
            f"{graph.node_names[:3].tolist()}... Index it by graph.node_names, or pass "
            f"{what}.to_numpy() in node order."
        )
    if len(set(index)) < len(index):
        raise ValueError(f"the index of {what} has repeated node names. Give one value per node.")
    positional = len(index) == len(graph) and set(index) != set(graph.node_names.tolist())
    if positional and all(known) and not counted:
        raise ValueError(
            f"the index of {what} holds the names of other nodes than those selected: it was split "
            "in another order than the graph. Put it in that of the graph before, for example "
            f"{what} = {what}.loc[graph.node_names]."
        )
    if positional or not all(known):
        raise ValueError(
            f"the index of {what} is ambiguous: {sum(known)} node names and "
            f"{len(known) - sum(known)} other values, which are not the names of the {len(graph)} "
            f"selected nodes. Index it by graph.node_names, or pass {what}.to_numpy() in node "
            "order."
        )
    if len(index) == len(graph) and counted and index != graph.node_names.tolist():
        raise ValueError(
            f"the index of {what} is ambiguous: 0, 1, 2, ... may be names of nodes or their order "
            f"in the graph, which begins with {graph.node_names[:3].tolist()}. Pass "
            f"{what}.to_dict() for names, {what}.to_numpy() for the order."
        )
    return True


def _dict_by_name(values, graph, what, missing=None):
    names = graph.node_names.tolist()
    strangers = set(values) - set(graph.whole.node_names.tolist())
    if strangers:
        raise ValueError(
            f"{what} has values for {len(strangers)} names that are no nodes, e.g. "
            f"{next(iter(strangers))!r}. Key it by node name, see graph.node_names."
        )
    array = np.empty(len(names), dtype=object)
    array[:] = [values.get(name, missing) for name in names]
    return array if missing is None else array.astype(type(missing))


def _check_role(role, n):
    """`role` as an array of strings; None stays None."""
    if role is None:
        return None
    role = np.asarray(role)
    if role.shape != (n,):
        raise ValueError(
            f"role must have one entry per selected node, got shape {role.shape} for {n} nodes."
        )
    roles = np.array(["" if _is_missing(r) else str(r) for r in role.tolist()], dtype=object)
    unknown = set(roles) - {"", *ROLES}
    if unknown:
        raise ValueError(
            f"role must be 'train', 'temperature', 'stop' or '', got {min(unknown)!r}. "
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
    if n > 2 and is_integer_mask(mask, n):
        raise ValueError(
            f"labeled_mask has {n} integers, all of them 0 or 1, which would be read as positions. "
            "Pass labeled_mask.astype(bool)."
        )
    positions = mask.dtype.kind in "iu" and mask.ndim == 1 and mask.size
    if positions and mask.min() >= 0 and mask.max() < n:
        return mask
    got = (
        f"positions up to {mask.max()}" if positions and mask.min() >= 0 else f"{mask.dtype} values"
    )
    raise ValueError(
        f"labeled_mask must be a boolean array of length {n} or integer positions in 0 .. {n - 1}"
        f" along the selected nodes, got {got} of shape {mask.shape}. For names pass "
        "graph.positions(names)."
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
    kinds = {"str" if isinstance(v, str) else type(v).__name__ for v in known.tolist()}
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
    suspects = sorted(set(classes.tolist()) & _LIKE_MISSING)
    if suspects and set(classes.tolist()) != {"-1", "1"}:
        warnings.warn(
            f"{suspects[0]!r} is a class like any other. If it means that a label is missing, put "
            f"None there, or pass labeled_mask=(y != {suspects[0]!r}).",
            UserWarning,
            stacklevel=users_level(),
        )
    if len(classes) < 2:
        raise ValueError(
            f"the labels have one class, {classes.tolist()[0]!r}; a classifier needs at least 2 "
            "classes. Unlabelled nodes are -1, None or NaN."
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


def _is_missing(value):
    """None, NaN or pandas.NA, whose comparisons have no truth value."""
    return value is None or type(value).__name__ == "NAType" or value != value


def is_unlabeled(y):
    """Mask of the entries that mean "no label": None, NaN, or -1 among numbers.

    Where the values are exactly {-1, 1}, both are classes (the usual binary coding).
    """
    y = np.asarray(y)
    if y.dtype.kind in "mM":
        return np.isnat(y)
    if y.dtype.kind in "OUS":
        missing = np.array([_is_missing(v) for v in y.tolist()], dtype=bool)
        numeric = [isinstance(v, (int, float, np.number)) for v in y[~missing].tolist()]
        if not (numeric and all(numeric)):
            return missing
    else:
        missing = np.isnan(y) if y.dtype.kind == "f" else np.zeros(y.shape, dtype=bool)
    negative = np.zeros(y.shape, dtype=bool)
    negative[~missing] = y[~missing].astype(float) == -1
    values = set(y[~missing].tolist())
    return missing if values == {-1, 1} else missing | negative


def is_unknown(y, classes):
    """Mask of the entries that mean "no label" to a classifier with these classes."""
    missing = is_unlabeled(y)
    if y.dtype.kind in "iufO":  # -1 and 1 alone are both classes only where these are the classes
        missing = missing | (y == -1)
    return missing & ~np.isin(y, classes)


def as_labels(y):
    """An array of labels; a list of strings with NaN keeps the NaN, what is masked is None."""
    if np.ma.isMaskedArray(y):
        labels = np.array(y.data, dtype=object)
        labels[np.ma.getmaskarray(y)] = None
        return labels
    array = np.asarray(y)
    strings = array.dtype.kind == "T" or (array.dtype.kind in "US" and not hasattr(y, "dtype"))
    return np.asarray(y, dtype=object) if strings else array


def encode_labels(y):
    """Codes 0 .. C-1, with -1 for unlabelled nodes, and the sorted classes."""
    labeled = ~is_unlabeled(y)
    codes = np.full(len(y), -1)
    known = y[labeled]
    if known.dtype.kind == "O" and len(known):
        known = np.array(known.tolist())
    classes, codes[labeled] = np.unique(known, return_inverse=True)
    return codes, classes


def draw_roles(codes, fractions, rng):
    """Stratified draw of roles for labelled nodes.

    Every class keeps one label or more for "train".  The other roles are owed their
    fraction of each class; what a small class cannot give is carried over to the next one,
    so that the totals come out right from two labels per class up.

    Parameters
    ----------
    codes : ndarray of shape (n_labeled,)
        Class codes.
    fractions : dict of str to float
        Role to its fraction of the labels; the rest is "train".
    rng : RandomState

    Returns
    -------
    role : ndarray of shape (n_labeled,), dtype str
    """
    role = np.full(len(codes), "train", dtype="<U11")
    fractions = {name: fraction for name, fraction in fractions.items() if fraction > 0}
    owed = dict.fromkeys(fractions, 0.0)
    for code in rng.permutation(np.unique(codes)):
        members = rng.permutation(np.flatnonzero(codes == code))
        free = list(members[1:])
        for name, fraction in fractions.items():
            owed[name] += fraction * len(members)
        while free and owed:
            name = max(owed, key=owed.get)
            if owed[name] < 0.5:
                break
            role[free.pop()] = name
            owed[name] -= 1
    _fill_missing_roles(role, codes, fractions)
    return role


def _fill_missing_roles(role, codes, fractions):
    """Give a role that came out empty one label of the class with most labels to train on."""
    for name in fractions:
        if not (role == name).any():
            training = np.flatnonzero(role == "train")
            counts = np.bincount(codes[training])
            if counts.max() > 1:
                role[training[codes[training] == counts.argmax()][0]] = name
