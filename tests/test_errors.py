"""Bad input: the error says what came, what was expected and what to do instead."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sklearn_ltd import (
    GNNNodeClassifier,
    Graph,
    KNNGraph,
    LTDNodeClassifier,
    NodeFeatures,
    as_graph,
)
from sklearn_ltd.datasets import fetch_amazon, fetch_planetoid, load_npz, make_attributed_sbm
from sklearn_ltd.model_selection import assign_roles

pytestmark = [
    pytest.mark.usefixtures("global_rng_untouched"),
    pytest.mark.filterwarnings("ignore:the teacher is:UserWarning"),
]

N = 40
DATA = make_attributed_sbm(n_nodes=N, n_classes=3, n_features=5, average_degree=4, random_state=0)
GRAPH, Y = DATA.graph, DATA.y
A, X = GRAPH.adjacency, GRAPH.X
NAMED = Graph(A, X, node_names=[f"node {i}" for i in range(N)])
FRAME = pd.DataFrame(X, index=NAMED.node_names)
SMALL = {"hidden_dim": 4, "max_iter": 2, "device": "cpu", "random_state": 0}


def gnn(backbone="mlp", **params):
    return GNNNodeClassifier(backbone, **SMALL | params)


def ltd(teacher=None, backbone="mlp", **params):
    teacher = gnn() if teacher is None else teacher
    return LTDNodeClassifier(teacher, backbone, **SMALL | params)


def changed(array, index, value):
    """A copy with one entry, or row of a frame, changed."""
    if isinstance(array, pd.DataFrame):
        frame = array.copy()
        frame.loc[index] = value
        return frame
    array = array.astype(object if value is None else np.result_type(array, type(value)))
    array[index] = value
    return array


def adjacency_with(value):
    adjacency = A.copy()
    adjacency.data[3] = value
    return adjacency


def networkx_graph(**attributes):
    G = nx.path_graph(4)
    nx.set_node_attributes(G, attributes.get("x", {}), "x")
    nx.set_edge_attributes(G, attributes.get("weight", {}), "weight")
    return G


def roles(**changes):
    role = np.resize(["train", "temperature", "stop"], N).astype(object)
    for name, other in changes.items():
        role[role == name] = other
    return role


ONE_LABEL = np.where(np.arange(N) == np.flatnonzero(Y == 2)[0], "solitary", "crowd")
ONE_LABEL[np.flatnonzero(Y == 1)] = "mob"
UNTRAINED = roles()
UNTRAINED[Y == 2] = "stop"


class Logits(torch.nn.Module):
    """A module whose output has any shape."""

    def __init__(self, output):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.output = output

    def forward(self, x, edge_index):
        return self.output if isinstance(self.output, tuple) else self.output + self.weight


def fitted(clf):
    return clf.fit(GRAPH, Y)


def bare():
    return Graph(A)


GRAPHS = [
    ("edges: 1-D", lambda: Graph(np.ones(4)), TypeError, r"square.*got ndarray.*as_graph"),
    ("edges: Graph", lambda: Graph(GRAPH), TypeError, r"square.*got Graph.*as_graph"),
    ("edges: name", lambda: Graph("cora"), TypeError, r"square.*got str.*as_graph"),
    (
        "edges: rows cut",
        lambda: Graph(A[:30]),
        ValueError,
        r"square.*got \(30, 40\)\. Pass Graph\(adjacency, X\).*scikit-learn splits",
    ),
    (
        "edges: edge_index",
        lambda: Graph(np.zeros((2, 7), int)),
        ValueError,
        r"\(2, 7\), which look like the sources .*coo_array.*from_pyg",
    ),
    ("edges: none", lambda: Graph(np.zeros((0, 0))), ValueError, r"empty.*\(0, 0\).*at least 1"),
    ("edges: NaN", lambda: Graph(adjacency_with(np.nan)), ValueError, r"weights.*finite.*NaN.*0"),
    ("edges: inf", lambda: Graph(adjacency_with(np.inf)), ValueError, r"weights.*finite.*infinity"),
    ("edges: negative", lambda: Graph(adjacency_with(-2.5)), ValueError, r">= 0, got -2\.5.*abs"),
    ("edges: complex", lambda: Graph(A * 1j), TypeError, r"real numbers, got dtype complex"),
    (
        "X: NaN",
        lambda: Graph(A, changed(X, (2, 3), np.nan)),
        ValueError,
        r"X contains NaN.*row 2, column 3.*SimpleImputer",
    ),
    (
        "X: NaN, sparse",
        lambda: Graph(A, changed(sp.csr_array(X), (2, 3), np.nan)),
        ValueError,
        r"X contains NaN.*row 2, column 3",
    ),
    (
        "X: NaN, in a frame",
        lambda: Graph(A, pd.DataFrame(changed(X, (2, 3), np.nan), columns=list("abcde"))),
        ValueError,
        r"X contains NaN.*row 2, column d\..*X\.fillna\(X\.mean\(\)\)",
    ),
    (
        "X: other index than the names",
        lambda: Graph(A, FRAME.rename({"node 3": "nobody"}), node_names=NAMED.node_names),
        ValueError,
        r"1 nodes are missing, e\.g\. 'node 3', 1 names are no nodes, e\.g\. 'nobody', 0.*to_numpy",
    ),
    (
        "X: a name twice",
        lambda: Graph(A, FRAME.rename({"node 3": "node 2"}), node_names=NAMED.node_names),
        ValueError,
        r"1 nodes are missing, e\.g\. 'node 3', 0 names are no nodes, 1 are repeated",
    ),
    (
        "X: index of other nodes, networkx",
        lambda: Graph.from_networkx(networkx_graph(), pd.DataFrame(X[:4], index=[1, 2, 3, 4])),
        ValueError,
        r"1 nodes are missing, e\.g\. 0, 1 names are no nodes, e\.g\. 4",
    ),
    (
        "networkx: weight on no edge",
        lambda: Graph.from_networkx(networkx_graph(), weight="wieght"),
        ValueError,
        r"no edge has the attribute 'wieght'.*weight=None",
    ),
    (
        "X: NaN, rows in another order",
        lambda: Graph(A, changed(FRAME, "node 3", np.nan)[::-1], node_names=NAMED.node_names),
        ValueError,
        r"X contains NaN.*row node 3, column 0\.",
    ),
    (
        "X: inf",
        lambda: Graph(A, changed(X, (2, 3), np.inf)),
        ValueError,
        r"X contains infinity.*row 2, column 3\.$",
    ),
    (
        "X: too large for float32",
        lambda: Graph(A, changed(X, (2, 3), 1e39)),
        ValueError,
        r"X contains infinity or a value too large for dtype\('float32'\).*row 2, column 3\.$",
    ),
    (
        "X: a default index, nodes in another order",
        lambda: Graph(A, pd.DataFrame(X), node_names=range(N)[::-1]),
        ValueError,
        r"ambiguous.*begins with \[39, 38, 37\].*X\.loc\[.*to_numpy",
    ),
    (
        "X: a default index, nodes from 1 up",
        lambda: Graph(A, pd.DataFrame(X), node_names=range(1, N + 1)),
        ValueError,
        r"ambiguous.*begins with \[1, 2, 3\]",
    ),
    ("X: rows", lambda: Graph(A, X[:30]), ValueError, r"X has 30 rows.*40 nodes.*one row"),
    ("X: 1-D", lambda: Graph(A, X[:, 0]), ValueError, r"[Ee]xpected 2D array.*reshape"),
    (
        "X: columns of text and of dates",
        lambda: Graph(A, FRAME.assign(city="Oslo", since=pd.Timestamp("2020-01-01"))),
        ValueError,
        r"the columns \['city', 'since'\] of X hold no numbers.*pd\.get_dummies",
    ),
    ("X: strings", lambda: Graph(A, X.astype(str).astype(object) + "!"), ValueError, r"convert"),
    (
        "names: too few",
        lambda: Graph(A, node_names=["a"]),
        ValueError,
        r"node_names has 1 entries.*40 nodes",
    ),
    ("names: twice", lambda: Graph(A, node_names=["a"] * N), ValueError, r"node_names.*unique"),
    ("index: two axes", lambda: GRAPH[:, 0], TypeError, r"one axis.*NodeFeatures"),
    ("index: floats", lambda: GRAPH[[0.5, 1.5]], IndexError, r"integer.*mask.*slice.*float64"),
    ("index: names", lambda: NAMED[["node 1"]], IndexError, r"by name.*graph\.positions\(names\)"),
    ("index: one truth", lambda: GRAPH[True], IndexError, r"boolean mask.*bool and shape \(\)"),
    (
        "index: mask of integers",
        lambda: GRAPH[(Y == 0).astype(int)],
        IndexError,
        r"40 integers, all of them 0 or 1.*mask\.astype\(bool\)",
    ),
    ("index: outside", lambda: GRAPH[[0, 99]], IndexError, r"99.*out of bounds.*40"),
    ("index: mask length", lambda: GRAPH[np.ones(7, bool)], IndexError, r"40.*7"),
    ("array of a Graph", lambda: np.asarray(GRAPH), TypeError, r"not an array.*graph\.X\["),
    (
        "forest on a Graph",
        lambda: RandomForestClassifier(2, random_state=0).fit(GRAPH, Y),
        TypeError,
        r"expects a feature matrix.*graph\.X.*or use GNNNodeClassifier or LTDNodeClassifier",
    ),
    (
        "feature matrix",
        lambda: gnn().fit(X, Y),
        TypeError,
        r"expected a graph, got ndarray of shape \(40, 5\).*KNNGraph\(\).*Graph\(adjacency, X\)",
    ),
    (
        "frame",
        lambda: gnn().fit(pd.DataFrame(X), Y),
        TypeError,
        r"got DataFrame of shape.*KNNGraph",
    ),
    ("no graph", lambda: gnn().fit("cora", Y), TypeError, r"expected a Graph.*got str.*Graph\("),
    ("triple", lambda: as_graph((A, X, Y)), TypeError, r"pair \(adjacency, X\).*got tuple"),
    (
        "sliced networkx",
        lambda: gnn().fit([networkx_graph()[i] for i in range(3)], [0, 1, 0]),
        TypeError,
        r"AtlasViews.*sliced a networkx graph; pass Graph\.from_networkx\(G\)",
    ),
    (
        "networkx cross-validated",
        lambda: cross_val_score(gnn(), nx.from_scipy_sparse_array(A), Y, cv=2, error_score="raise"),
        TypeError,
        r"sliced a networkx graph; pass Graph\.from_networkx\(G\)",
    ),
    (
        "sparse cross-validated",
        lambda: cross_val_score(gnn(), A, Y, cv=2, error_score="raise"),
        ValueError,
        r"square.*got \(20, 40\)\..*scikit-learn splits",
    ),
    ("networkx: empty", lambda: gnn().fit(nx.Graph(), []), ValueError, r"empty.*0 nodes.*at least"),
    (
        "networkx: attribute",
        lambda: Graph.from_networkx(networkx_graph(x={0: 1.0})),
        ValueError,
        r"node 1 has no attribute 'x'.*set_node_attributes",
    ),
    (
        "networkx: lengths",
        lambda: Graph.from_networkx(networkx_graph(x={0: [1], 1: [1], 2: [1], 3: [1, 2]})),
        ValueError,
        r"'x' must have one length, got lengths 1 to 2",
    ),
    (
        "networkx: weights",
        lambda: Graph.from_networkx(networkx_graph(weight={(0, 1): "heavy"})),
        ValueError,
        r"'weight' must hold numbers.*weight=None",
    ),
]

LABELS = [
    ("y: None", lambda: gnn().fit(GRAPH, None), ValueError, r"requires y.*None"),
    (
        "y: length",
        lambda: gnn().fit(GRAPH[:30], Y),
        ValueError,
        r"y has 40 labels.*30 selected nodes.*fit\(graph\[nodes\]",
    ),
    ("y: 2-D", lambda: gnn().fit(GRAPH, np.eye(3)[Y]), ValueError, r"1d array.*\(40, 3\)"),
    ("y: continuous", lambda: gnn().fit(GRAPH, X[:, 0]), ValueError, r"label type.*continuous"),
    ("y: inf", lambda: gnn().fit(GRAPH, changed(Y, 3, np.inf)), ValueError, r"y contains infinity"),
    ("y: one class", lambda: gnn().fit(GRAPH, [7] * N), ValueError, r"one class, .*7.*at least 2"),
    (
        "y: all unlabelled",
        lambda: gnn().fit(GRAPH, [-1] * N),
        ValueError,
        r"\by\b.*all 40.*-1, None or NaN.*Pass the known labels",
    ),
    (
        "y: all None",
        lambda: gnn().fit(GRAPH, [None] * N),
        ValueError,
        r"all 40 entries are -1, None or NaN",
    ),
    (
        "y: all NaN",
        lambda: gnn().fit(GRAPH, [np.nan] * N),
        ValueError,
        r"all 40 entries are -1, None or NaN",
    ),
    (
        "y: mixed types",
        lambda: gnn().fit(GRAPH, changed(np.array(["a", "b", "c"], object)[Y], 3, 5)),
        TypeError,
        r"labels must be of one type.*(str.*int|int.*str)",
    ),
    (
        "y: -1 among strings",
        lambda: gnn().fit(GRAPH, ["a", "b"] * 19 + [-1, -1]),
        TypeError,
        r"labels must be of one type.*(str.*int|int.*str)",
    ),
    (
        "y: unknown names",
        lambda: gnn().fit(NAMED, {"node 0": 1, "nobody": 0}),
        ValueError,
        r"1 names that are no nodes, e\.g\. 'nobody'.*node_names",
    ),
    (
        "y: index half of names",
        lambda: gnn().fit(NAMED, pd.Series(Y, index=["node 0", *range(1, N)])),
        ValueError,
        r"1 node names and 39 other.*to_numpy",
    ),
    (
        "y: class of one label",
        lambda: ltd().fit(GRAPH, ONE_LABEL),
        ValueError,
        r"class.*'solitary'.*(1|one) label.*(2|two)",
    ),
    (
        "y: differs for a node selected twice",
        lambda: gnn().fit(GRAPH[[0, 1, 2, 0]], [0, 1, 0, 1]),
        ValueError,
        r"1 nodes are selected more than once with different labels.*once",
    ),
    ("selection: empty", lambda: gnn().fit(GRAPH[[]], []), ValueError, r"\b0 (selected )?nodes"),
    (
        "mask: length",
        lambda: gnn().fit(GRAPH, Y, np.ones(7, bool)),
        ValueError,
        r"labeled_mask must be a boolean array of length 40.*got.*bool.*\(7,\)",
    ),
    (
        "mask: outside",
        lambda: gnn().fit(GRAPH, Y, [0, 1, 40]),
        ValueError,
        r"labeled_mask must.*positions in 0 \.\. 39.*got positions up to 40.*graph\.positions",
    ),
    (
        "mask: negative",
        lambda: gnn().fit(GRAPH, Y, [-1, 3]),
        ValueError,
        r"labeled_mask.*0 \.\. 39",
    ),
    (
        "mask: zeros and ones",
        lambda: gnn().fit(GRAPH, Y, (np.arange(N) < 20).astype(int)),
        ValueError,
        r"40 integers, all of them 0 or 1.*astype\(bool\)",
    ),
    ("mask: floats", lambda: gnn().fit(GRAPH, Y, np.ones(N)), ValueError, r"labeled_mask.*float64"),
    ("mask: strings", lambda: gnn().fit(GRAPH, Y, ["a"] * N), ValueError, r"labeled_mask.*<U1"),
    (
        "mask: nobody",
        lambda: gnn().fit(GRAPH, Y, np.zeros(N, bool)),
        ValueError,
        r"labeled_mask",
    ),
    (
        "role: length",
        lambda: gnn().fit(GRAPH[:30], Y[:30], role=roles()),
        ValueError,
        r"role must have one entry per selected node, got shape \(40,\) for 30 nodes",
    ),
    (
        "role: unknown",
        lambda: gnn().fit(GRAPH, Y, role=roles(stop="test")),
        ValueError,
        r"'train', 'temperature', 'stop' or '', got 'test'.*assign_roles",
    ),
    (
        "role: unlabelled",
        lambda: gnn().fit(GRAPH, changed(Y, 3, -1), role=roles()),
        ValueError,
        r"1 nodes have a role but no label.*''",
    ),
    ("role: nobody", lambda: gnn().fit(GRAPH, Y, role=[""] * N), ValueError, r"(all|no) .*role"),
    (
        "role: a class without train",
        lambda: gnn().fit(GRAPH, Y, role=UNTRAINED),
        ValueError,
        r"2\b.*role 'train'",
    ),
    (
        "role: nobody judges the temperatures",
        lambda: ltd().fit(GRAPH, Y, role=roles(temperature="train")),
        ValueError,
        r"role.*'temperature'",
    ),
    (
        "assign_roles: too many",
        lambda: assign_roles(Y),
        ValueError,
        r"class .*0.* 14 .*= 50.*fewer",
    ),
    (
        "score: unlabelled",
        lambda: fitted(gnn()).score(GRAPH, changed(Y, 3, -1)),
        ValueError,
        r"1 of 40 nodes are unlabelled.*score\(graph\[mask\], y\[mask\]\).*cross_validate",
    ),
    (
        "score: length",
        lambda: fitted(gnn()).score(GRAPH[:9], Y),
        ValueError,
        r"40 labels.*9 select",
    ),
]

PREDICTIONS = [
    (
        "unfitted",
        lambda: gnn().predict(GRAPH),
        NotFittedError,
        r"GNNNodeClassifier.*not fitted.*fit",
    ),
    ("unfitted score", lambda: ltd().score(GRAPH, Y), NotFittedError, r"not fitted.*fit"),
    ("unfitted transform", lambda: ltd().transform(GRAPH), NotFittedError, r"not fitted.*fit"),
    (
        "fewer features",
        lambda: fitted(gnn()).predict(Graph(A, X[:, :4])),
        ValueError,
        r"X has 4 features, but GNNNodeClassifier is expecting 5 features",
    ),
    (
        "no features",
        lambda: fitted(gnn()).predict(bare()),
        ValueError,
        r"no features.*fitted on a graph with 5 features",
    ),
    (
        "other structure",
        lambda: gnn().fit(bare(), Y).predict(Graph(A[::-1, ::-1])),
        ValueError,
        r"without node features.*Graph\(adjacency, X\).*or predict on the training graph",
    ),
    (
        "other structure of another size",
        lambda: gnn().fit(bare(), Y).predict(Graph(A[:9, :9])),
        ValueError,
        r"without node features.*Graph\(adjacency, X\).*or predict on the training graph",
    ),
    ("a matrix", lambda: fitted(gnn()).predict(X), TypeError, r"expected a graph, got ndarray"),
]

PARAMETERS = [
    ("backbone", lambda: fitted(gnn("gin")), ValueError, r"'backbone'.*GNNNode.*'gcn'.*'gin'"),
    ("backbone: None", lambda: fitted(gnn(None)), ValueError, r"'backbone'.*'gcn'.*None"),
    (
        "backbone: no module",
        lambda: fitted(gnn(lambda n_features, n_classes: None)),
        TypeError,
        r"backbone must.*\(n_features, n_classes\) -> torch\.nn\.Module.*NoneType",
    ),
    (
        "backbone: instance",
        lambda: fitted(gnn(Logits(torch.zeros(N, 3)))),
        TypeError,
        r"instance of Logits.*Pass its class",
    ),
    (
        "backbone: arguments",
        lambda: fitted(gnn(lambda n_features: None)),
        TypeError,
        r"backbone must be a callable \(n_features, n_classes\)",
    ),
    (
        "backbone: columns",
        lambda: fitted(gnn(lambda n_features, n_classes: Logits(torch.zeros(N, 7)))),
        ValueError,
        r"Logits must return.*\(40, 3\).*got \(40, 7\).*Wrap",
    ),
    (
        "backbone: rows",
        lambda: fitted(gnn(lambda n_features, n_classes: Logits(torch.zeros(N + 1, 3)))),
        ValueError,
        r"Logits must return.*\(40, 3\).*got \(41, 3\).*Wrap",
    ),
    (
        "backbone: tuple",
        lambda: fitted(gnn(lambda n_features, n_classes: Logits((torch.zeros(N, 3), None)))),
        ValueError,
        r"Logits must return.*got tuple.*Wrap",
    ),
    ("device: no such GPU", lambda: fitted(gnn(device="cuda:99")), ValueError, r"cuda:99.*'cpu'"),
    ("device: unknown", lambda: fitted(gnn(device="tpu")), ValueError, r"unknown.*'tpu'.*'cpu'"),
    ("device: number", lambda: fitted(gnn(device=0)), ValueError, r"'device'.*'str'.*0"),
    ("hidden_dim", lambda: fitted(gnn(hidden_dim=0)), ValueError, r"'hidden_dim'.*\[1, inf\).*0"),
    ("n_layers", lambda: fitted(gnn(n_layers=0)), ValueError, r"'n_layers'.*\[1, inf\).*0"),
    ("dropout", lambda: fitted(gnn(dropout=1.0)), ValueError, r"'dropout'.*\[0.*1.*\).*1\.0"),
    ("learning_rate", lambda: fitted(gnn(learning_rate=-1)), ValueError, r"'learning_rate'.*-1"),
    ("weight_decay", lambda: fitted(gnn(weight_decay=-0.1)), ValueError, r"'weight_decay'.*-0\.1"),
    ("max_iter", lambda: fitted(gnn(max_iter=0)), ValueError, r"'max_iter'.*\[1, inf\).*0"),
    (
        "patience",
        lambda: fitted(gnn(n_iter_no_change=0)),
        ValueError,
        r"'n_iter_no_change'.*\[1.*0",
    ),
    (
        "all to stop",
        lambda: fitted(gnn(validation_fraction=1.0)),
        ValueError,
        r"'validation_f.*1\.0",
    ),
    (
        "class_weight",
        lambda: fitted(gnn(class_weight="even")),
        ValueError,
        r"'class_weight'.*'even'",
    ),
    ("random_state", lambda: fitted(gnn(random_state="x")), ValueError, r"'random_state'.*'x'"),
    (
        "set_params",
        lambda: gnn().set_params(hidden_size=3),
        ValueError,
        r"Invalid parameter 'hidden_size'.*hidden_dim",
    ),
    (
        "diverging",
        lambda: fitted(gnn(learning_rate=1e30, dropout=0)),
        FloatingPointError,
        r"GNNNodeClassifier.*finite.*Lower learning_rate.*NodeFeatures\(StandardScaler\(\)\)",
    ),
]

DISTILLATION = [
    (
        "temperature: 0",
        lambda: fitted(ltd(temperature=0)),
        ValueError,
        r"temperature must be at least 0.001.*got 0.*1.0",
    ),
    ("temperature: NaN", lambda: fitted(ltd(temperature=np.nan)), ValueError, r"temperature.*nan"),
    (
        "temperature: str",
        lambda: fitted(ltd(temperature="hot")),
        ValueError,
        r"'temperature'.*'hot'",
    ),
    ("scale", lambda: fitted(ltd(temperature_scale=0)), ValueError, r"'temperature_scale'.*0"),
    ("warmup", lambda: fitted(ltd(warmup_iter=-1)), ValueError, r"'warmup_iter'.*-1"),
    (
        "interval",
        lambda: fitted(ltd(temperature_interval=0)),
        ValueError,
        r"'temperature_interval'.*0",
    ),
    ("label_weight", lambda: fitted(ltd(label_weight=-1)), ValueError, r"'label_weight'.*-1"),
    (
        "temperature rate",
        lambda: fitted(ltd(temperature_learning_rate=-1)),
        ValueError,
        r"'temperature_learning_rate'.*-1",
    ),
    (
        "features: unknown",
        lambda: fitted(ltd(temperature_features=("logits", "degree"))),
        ValueError,
        r"temperature_features.*'logits', 'norm', 'entropy'.*'degree'",
    ),
    (
        "features: none",
        lambda: fitted(ltd(temperature_features=())),
        ValueError,
        r"temperature_features must name at least one.*\(\)",
    ),
    (
        "features: str",
        lambda: fitted(ltd(temperature_features="logits")),
        ValueError,
        r"'temperature_features'.*tuple.*'logits'",
    ),
    (
        "heuristic: two",
        lambda: fitted(ltd(heuristic_weights=(1, 2))),
        ValueError,
        r"heuristic_weights must be three.*\(1, 2\)",
    ),
    (
        "heuristic: NaN",
        lambda: fitted(ltd(heuristic_weights=(1, 2, np.nan))),
        ValueError,
        r"heuristic_weights must be three finite.*nan",
    ),
    (
        "heuristic: strings",
        lambda: fitted(ltd(heuristic_weights=("a", "b", "c"))),
        ValueError,
        r"heuristic_weights must be three",
    ),
    (
        "fractions: sum",
        lambda: fitted(ltd(temperature_fraction=0.7, validation_fraction=0.3)),
        ValueError,
        r"temperature_fraction \+ validation_fraction.*below 1, got 0\.7 \+ 0\.3",
    ),
    (
        "fractions: none",
        lambda: fitted(ltd(temperature_fraction=0.0)),
        ValueError,
        r"'temperature_fraction'.*0\.0",
    ),
    (
        "teacher: name",
        lambda: fitted(ltd("gin")),
        ValueError,
        r"unknown teacher 'gin'.*'appnp'.*an estimator",
    ),
    (
        "teacher: class of a module",
        lambda: fitted(ltd(Logits)),
        TypeError,
        r"got the class Logits.*GNNNodeClassifier\(Logits\).*backbone=Logits",
    ),
    (
        "teacher: class",
        lambda: fitted(ltd(GaussianNB)),
        TypeError,
        r"instance.*Pass GaussianNB\(\)",
    ),
    ("teacher: number", lambda: fitted(ltd(7)), TypeError, r"teacher must be None.*got int"),
    ("teacher: function", lambda: fitted(ltd(np.exp)), TypeError, r"teacher must be.*got ufunc"),
    (
        "teacher: nodes",
        lambda: fitted(ltd(np.zeros((N - 1, 3)))),
        ValueError,
        r"logits must have shape \(40, 3\).*got \(39, 3\)",
    ),
    (
        "teacher: classes",
        lambda: fitted(ltd(np.zeros((N, 2)))),
        ValueError,
        r"logits must have shape \(40, 3\).*sorted.*got \(40, 2\)",
    ),
    (
        "teacher: logits of a view",
        lambda: ltd(np.zeros((20, 3))).fit(GRAPH[:20], Y[:20]),
        ValueError,
        r"\(40, 3\): one row per node of the whole graph.*got \(20, 3\)",
    ),
    (
        "teacher: labels",
        lambda: fitted(ltd(Y)),
        ValueError,
        r"logits must have shape \(40, 3\).*got \(40,\)",
    ),
    (
        "teacher: NaN",
        lambda: fitted(ltd(np.full((N, 3), np.nan))),
        ValueError,
        r"logits must be finite, got NaN.*np\.log\(np\.clip\(proba",
    ),
    (
        "teacher: log of 0",
        lambda: fitted(ltd(np.full((N, 3), -np.inf))),
        ValueError,
        r"logits must be finite.*infinity.*np\.clip",
    ),
    (
        "teacher: ragged",
        lambda: fitted(ltd([[0.0, 1.0, 2.0]] * (N - 1) + [[0.0]])),
        ValueError,
        r"teacher.*\(40, 3\)",
    ),
    (
        "teacher: strings",
        lambda: fitted(ltd(np.full((N, 3), "a"))),
        (TypeError, ValueError),
        r"teacher.*logits",
    ),
    (
        "teacher: module's shape",
        lambda: fitted(ltd(Logits(torch.zeros(N, 5)))),
        ValueError,
        r"Logits must return.*\(40, 3\).*got \(40, 5\).*Wrap",
    ),
    (
        "teacher: module's tuple",
        lambda: fitted(ltd(Logits((torch.zeros(N, 3), None)))),
        ValueError,
        r"Logits must return.*got tuple.*Wrap",
    ),
    (
        "teacher: no predict_proba",
        lambda: fitted(ltd(LinearSVC(random_state=0))),
        TypeError,
        r"LinearSVC has no predict_proba.*CalibratedClassifierCV",
    ),
    (
        "teacher: fitted, no predict_proba",
        lambda: fitted(ltd(LinearSVC(random_state=0).fit(X, Y))),
        TypeError,
        r"LinearSVC has no predict_proba.*CalibratedClassifierCV",
    ),
    (
        "teacher: clusters",
        lambda: fitted(ltd(KMeans(3, random_state=0))),
        TypeError,
        r"KMeans has no predict_proba",
    ),
    (
        "teacher: other classes",
        lambda: fitted(ltd(GaussianNB().fit(X, np.array(["a", "b", "c"])[Y]))),
        ValueError,
        r"teacher knows the classes \['a', 'b', 'c'\], none of which.*\[0, 1, 2\].*same",
    ),
    (
        "teacher: other features",
        lambda: fitted(ltd(LogisticRegression().fit(X[:, :4], Y))),
        ValueError,
        r"X has 5 features, but LogisticRegression is expecting 4",
    ),
    (
        "teacher: its own parameter",
        lambda: fitted(ltd(gnn(hidden_dim=0))),
        ValueError,
        r"'hidden_dim' parameter of GNNNodeClassifier",
    ),
]

TRANSFORMERS = [
    ("KNN: NaN", lambda: KNNGraph().fit(changed(X, (2, 3), np.nan)), ValueError, r"X contains NaN"),
    ("KNN: n_neighbors", lambda: KNNGraph(0).fit(X), ValueError, r"'n_neighbors'.*\[1, inf\).*0"),
    (
        "KNN: metric",
        lambda: KNNGraph(metric="miles").fit(X),
        ValueError,
        r"'miles' not valid.*valid options",
    ),
    ("KNN: Graph", lambda: KNNGraph().fit(GRAPH), TypeError, r"not an array.*expects a feature"),
    ("KNN: unfitted", lambda: KNNGraph().transform(X), NotFittedError, r"KNNGraph.*not fitted"),
    (
        "KNN: features",
        lambda: KNNGraph().fit(X).transform(X[:, :4]),
        ValueError,
        r"X has 4 features, but KNNGraph is expecting 5",
    ),
    (
        "NodeFeatures: none",
        lambda: NodeFeatures(StandardScaler()).fit(bare()),
        ValueError,
        r"needs node features, got a graph without.*Graph\(adjacency, X\)",
    ),
    (
        "NodeFeatures: no transformer",
        lambda: NodeFeatures(LogisticRegression()).fit(GRAPH),
        ValueError,
        r"'transformer'.*'fit' and 'transform'.*LogisticRegression",
    ),
    (
        "NodeFeatures: class",
        lambda: NodeFeatures(StandardScaler).fit(GRAPH),
        (TypeError, ValueError),
        r"instance.*class",
    ),
    (
        "NodeFeatures: matrix",
        lambda: make_pipeline(NodeFeatures(StandardScaler()), gnn()).fit(X, Y),
        TypeError,
        r"expected a graph, got ndarray.*KNNGraph",
    ),
    (
        "NodeFeatures: unfitted",
        lambda: NodeFeatures(StandardScaler()).transform(GRAPH),
        NotFittedError,
        r"NodeFeatures.*not fitted",
    ),
    (
        "NodeFeatures: features",
        lambda: NodeFeatures(StandardScaler()).fit(GRAPH).transform(Graph(A, X[:, :4])),
        ValueError,
        r"X has 4 features, but NodeFeatures is expecting 5",
    ),
    (
        "scaler on a Graph",
        lambda: make_pipeline(StandardScaler(), gnn()).fit(GRAPH, Y),
        TypeError,
        r"not an array.*NodeFeatures wraps a transformer",
    ),
    ("data: no file", lambda: load_npz("nowhere.npz"), OSError, r"nowhere\.npz"),
    (
        "data: planetoid",
        lambda: fetch_planetoid("karate"),
        ValueError,
        r"karate.*cora|cora.*karate",
    ),
    ("data: amazon", lambda: fetch_amazon("books"), ValueError, r"books.*photo|photo.*books"),
]

CASES = GRAPHS + LABELS + PREDICTIONS + PARAMETERS + DISTILLATION + TRANSFORMERS


@pytest.mark.parametrize(
    ("call", "error", "message"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=f"(?is){message}"):
        call()


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="has MPS")
def test_device_of_another_kind_of_machine():
    with pytest.raises(ValueError, match=r"'mps' is not available.*device='auto' or 'cpu'"):
        fitted(gnn(device="mps"))


def test_bad_parameters_are_found_before_a_teacher_is_trained():
    teacher = gnn(max_iter=10**9, n_iter_no_change=10**9)
    with pytest.raises(ValueError, match="temperature_features"):
        fitted(ltd(teacher, temperature_features=("degree",)))
    with pytest.raises(ValueError, match="heuristic_weights"):
        fitted(ltd(teacher, heuristic_weights=(1,)))
    with pytest.raises(ValueError, match="cuda:99"):
        fitted(ltd(teacher, device="cuda:99"))
