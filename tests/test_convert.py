"""`as_graph`: what may be passed as a graph, and the errors for what may not."""

import subprocess
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_array_equal
from sklearn.model_selection import train_test_split
from torch_geometric.data import Data, HeteroData

from sklearn_ltd import Graph, as_graph

ROOT = Path(__file__).parents[1]
PATH = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
PATH_INDEX = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


def featured(values, nodes=(0, 1, 2), name="x"):
    """A path whose nodes have the attribute `name`, except where the value is None."""
    G = nx.path_graph(nodes)
    pairs = zip(nodes, values)
    nx.set_node_attributes(G, {n: v for n, v in pairs if v is not None}, name)
    return G


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(Graph(PATH), id="Graph"),
        pytest.param(nx.path_graph(3), id="networkx"),
        pytest.param(nx.DiGraph([(0, 1), (1, 0), (1, 2), (2, 1)]), id="networkx directed"),
        pytest.param(nx.path_graph(4).subgraph([0, 1, 2]), id="networkx view"),
        pytest.param(nx.freeze(nx.path_graph(3)), id="networkx frozen"),
        pytest.param(sp.csr_array(PATH), id="sparse array"),
        pytest.param(sp.coo_matrix(PATH), id="sparse matrix"),
        pytest.param((sp.csr_array(PATH), np.eye(3)), id="sparse pair"),
        pytest.param((PATH, None), id="dense pair"),
        pytest.param(Data(edge_index=PATH_INDEX, num_nodes=3), id="PyG"),
    ],
)
def test_as_graph_takes_every_kind(obj):
    graph = as_graph(obj)
    assert isinstance(graph, Graph)
    assert_array_equal(graph.adjacency.toarray(), PATH)
    assert_array_equal(graph.nodes, [0, 1, 2])


def test_as_graph_returns_a_graph_as_it_is():
    view = Graph(PATH)[[2]]
    assert as_graph(view) is view


# networkx


def test_directed_edges_run_from_row_to_column():
    adjacency = as_graph(nx.DiGraph([(0, 1)])).adjacency
    assert_array_equal(adjacency.toarray(), [[0, 1], [0, 0]])


def test_undirected_edges_give_a_symmetric_adjacency():
    G = nx.Graph()
    G.add_edge(0, 1, weight=2.5)
    G.add_edge(1, 1)
    assert_array_equal(as_graph(G).adjacency.toarray(), [[0, 2.5], [2.5, 1]])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(nx.MultiGraph, [[0, 3], [3, 0]]), (nx.MultiDiGraph, [[0, 3], [0, 0]])],
)
def test_weights_of_parallel_edges_are_added_up(kind, expected):
    G = kind()
    G.add_edge("a", "b", weight=2)
    G.add_edge("a", "b")
    assert_array_equal(as_graph(G).adjacency.toarray(), expected)


def test_the_weight_attribute_can_be_chosen_or_ignored():
    G = nx.DiGraph()
    G.add_edge(0, 1, weight=2, strength=5)
    assert as_graph(G).adjacency[0, 1] == 2
    assert Graph.from_networkx(G, weight="strength").adjacency[0, 1] == 5
    assert Graph.from_networkx(G, weight=None).adjacency[0, 1] == 1


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["b", "c", "a"], id="str"),
        pytest.param([7, 3, 5], id="int"),
        pytest.param([(1, 2), (0, 1), (3, 3)], id="tuples"),
        pytest.param([frozenset([1]), frozenset([2, 3]), frozenset()], id="frozensets"),
        pytest.param([1, "1", (1,)], id="mixed"),
    ],
)
def test_node_order_and_names_are_those_of_networkx(names):
    graph = as_graph(featured([[1], [2], [3]], nodes=names))
    assert graph.node_names.tolist() == names
    assert_array_equal(graph.adjacency.toarray(), PATH)
    assert_array_equal(graph.X, [[1], [2], [3]])
    assert graph[[2, 0]].node_names.tolist() == [names[2], names[0]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5, 3], [[1], [2.5], [3]]),
        ([[1, 2], [3, 4], [5, 6]], [[1, 2], [3, 4], [5, 6]]),
        ([np.ones(2), (0, 1), [2, 3]], [[1, 1], [0, 1], [2, 3]]),
        ([True, False, True], [[1], [0], [1]]),
    ],
)
def test_the_attribute_x_is_read_as_features(values, expected):
    assert_array_equal(as_graph(featured(values)).X, expected)


def test_other_attributes_are_read_where_they_are_named():
    G = featured([1, 2, 3], name="age")
    nx.set_node_attributes(G, {0: [4, 5], 1: [6, 7], 2: [8, 9]}, "place")
    assert as_graph(G).X is None
    assert_array_equal(Graph.from_networkx(G, "age").X, [[1], [2], [3]])
    both = Graph.from_networkx(G, ["place", "age"])
    assert_array_equal(both.X, [[4, 5, 1], [6, 7, 2], [8, 9, 3]])


def test_features_can_be_ignored():
    assert Graph.from_networkx(featured([1, 2, None]), X=None).X is None


@pytest.mark.parametrize(
    ("G", "X", "message"),
    [
        (featured([1, 2, None]), "x", r"node 2 has no attribute 'x'.*pass X=None"),
        (featured([1, 2, None], nodes="abc"), "x", "node 'c' has no attribute 'x'"),
        (nx.path_graph(3), "age", "node 0 has no attribute 'age'"),
        (featured([1, 2, 3]), ["x", "age"], "node 0 has no attribute 'age'"),
        (featured([[1, 2], [1], [1]]), "x", "'x' must have one length, got lengths 1 to 2"),
        (
            featured(["low", "high", "low"]),
            "x",
            "attribute 'x' must hold numbers, got 'low' at node 0",
        ),
        (nx.Graph(), "x", "the graph is empty: networkx graph with 0 nodes"),
    ],
)
def test_wrong_networkx_features_are_refused(G, X, message):
    with pytest.raises(ValueError, match=message):
        Graph.from_networkx(G, X)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("heavy", "edge attribute 'weight' must hold numbers.*weight=None for weights of 1"),
        (-3, "must be >= 0, got -3"),
        (float("nan"), "must be finite"),
    ],
)
def test_wrong_networkx_weights_are_refused(weight, message):
    G = nx.path_graph(3)
    nx.set_edge_attributes(G, weight, "weight")
    with pytest.raises(ValueError, match=message):
        as_graph(G)


def test_from_networkx_wants_a_networkx_graph():
    with pytest.raises(TypeError, match=r"expected a networkx graph, got ndarray\. Use as_graph"):
        Graph.from_networkx(PATH)


# torch_geometric


def test_pyg_edges_run_from_source_to_target():
    adjacency = as_graph(Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2)).adjacency
    assert_array_equal(adjacency.toarray(), [[0, 1], [0, 0]])


def test_pyg_features_are_read():
    x = torch.tensor([[1.0, 2], [3, 4], [5, 6]], requires_grad=True)
    graph = Graph.from_pyg(Data(x=x, edge_index=PATH_INDEX))
    assert_array_equal(graph.X, x.detach().numpy())
    assert as_graph(Data(edge_index=PATH_INDEX, num_nodes=3)).X is None


@pytest.mark.parametrize("layout", ["to_sparse_coo", "to_sparse_csr"])
def test_sparse_pyg_features_stay_sparse(layout):
    x = torch.tensor([[0.0, 2, 0], [0, 0, 0], [1, 0, 3]])
    graph = as_graph(Data(x=getattr(x, layout)(), edge_index=PATH_INDEX))
    assert isinstance(graph.X, sp.csr_array)
    assert_array_equal(graph.X.toarray(), x.numpy())


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("edge_weight", [1.0, 2, 3, 4], [1, 2, 3, 4]),
        ("edge_weight", [1, 2, 3, 4], [1, 2, 3, 4]),
        ("edge_attr", [1.0, 2, 3, 4], [1, 2, 3, 4]),
        ("edge_attr", [[1.0], [2], [3], [4]], [1, 2, 3, 4]),
        ("edge_attr", [[5.0, 6]] * 4, [1, 1, 1, 1]),
    ],
)
def test_one_dimensional_pyg_edge_data_are_weights(name, values, expected):
    data = Data(edge_index=PATH_INDEX, num_nodes=3, **{name: torch.tensor(values)})
    assert_array_equal(as_graph(data).adjacency.data, expected)


def test_edge_weight_goes_before_edge_attr():
    data = Data(
        edge_index=PATH_INDEX, num_nodes=3, edge_attr=torch.ones(4), edge_weight=torch.full((4,), 2)
    )
    assert_array_equal(as_graph(data).adjacency.data, [2, 2, 2, 2])


def test_repeated_pyg_edges_are_added_up():
    data = Data(edge_index=torch.tensor([[0, 0], [1, 1]]), num_nodes=2)
    assert as_graph(data).adjacency[0, 1] == 2


@pytest.mark.parametrize("edge_index", [PATH_INDEX, torch.zeros(2, 0, dtype=torch.long)])
def test_isolated_pyg_nodes_are_kept(edge_index):
    graph = as_graph(Data(edge_index=edge_index, num_nodes=5))
    assert graph.n_nodes == 5
    assert graph.adjacency.nnz == edge_index.shape[1]


@pytest.mark.parametrize("edge_index", [PATH_INDEX, torch.tensor([[0], [-1]])])
def test_pyg_node_numbers_must_exist(edge_index):
    with pytest.raises(ValueError, match=r"node numbers outside 0 \.\. 1 \(num_nodes is 2\)"):
        as_graph(Data(edge_index=edge_index, num_nodes=2))


def test_pyg_weights_must_match_the_edges():
    data = Data(edge_index=PATH_INDEX, num_nodes=3, edge_weight=torch.ones(3))
    with pytest.raises(ValueError, match="edge_weight"):
        as_graph(data)


@pytest.mark.parametrize("obj", [Data(x=torch.eye(3)), PATH])
def test_from_pyg_wants_an_edge_index(obj):
    with pytest.raises(TypeError, match="expected a torch_geometric Data with edge_index"):
        Graph.from_pyg(obj)


@pytest.mark.parametrize("convert", [as_graph, Graph.from_pyg])
def test_heterogeneous_data_are_told_the_way_out(convert):
    data = HeteroData()
    data["paper"].x = torch.eye(3)
    data["paper", "cites", "paper"].edge_index = PATH_INDEX
    with pytest.raises(TypeError, match=r"to_homogeneous\(\)"):
        convert(data)


# What is no graph, mostly because scikit-learn has sliced it


@pytest.mark.parametrize("kind", [nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph])
def test_a_sliced_networkx_graph_is_explained(kind):
    part, _ = train_test_split(kind(nx.path_graph(10)), random_state=0)
    with pytest.raises(
        TypeError, match=r"scikit-learn sliced a networkx graph; pass Graph\.from_networkx\(G\)"
    ):
        as_graph(part)


def test_a_sliced_adjacency_is_explained():
    part, _ = train_test_split(sp.eye_array(240, format="csr"), train_size=192, random_state=0)
    with pytest.raises(
        ValueError,
        match=r"adjacency must be square, .* got \(192, 240\)\. Pass Graph\(adjacency, X\), .* "
        r"scikit-learn splits it by nodes",
    ):
        as_graph(part)


@pytest.mark.parametrize("obj", [np.ones((5, 2)), torch.ones(5, 2)])
def test_a_feature_matrix_is_explained(obj):
    with pytest.raises(TypeError, match=r"of shape \(5, 2\).*make_pipeline\(KNNGraph\(\), "):
        as_graph(obj)


@pytest.mark.parametrize("obj", [None, "graph", 3, [], [1, 2], (PATH,), (PATH, None, None)])
def test_other_objects_are_refused(obj):
    with pytest.raises(
        TypeError, match=rf"expected a Graph, a networkx graph,.*got {type(obj).__name__}"
    ):
        as_graph(obj)


def test_a_wrong_pair_is_refused():
    with pytest.raises(ValueError, match="X has 2 rows, but the adjacency has 3 nodes"):
        as_graph((PATH, np.ones((2, 2))))


def test_importing_the_package_does_not_import_torch_geometric():
    code = "import sys, sklearn_ltd; sys.exit('torch_geometric' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("kind", [list, tuple])
def test_several_attributes_name_the_features(kind):
    G = nx.path_graph(3)
    nx.set_node_attributes(G, {n: {"age": n, "salary": 2 * n} for n in G})
    graph = Graph.from_networkx(G, X=kind(["age", "salary"]))
    assert list(graph.feature_names) == ["age", "salary"]


@pytest.mark.parametrize("convert", [pd.DataFrame.to_numpy, lambda df: df.iloc[::-1]])
def test_features_may_come_beside_the_networkx_graph(convert):
    people = pd.DataFrame({"age": [1, 2, 3]}, index=["a", "b", "c"])
    graph = Graph.from_networkx(nx.path_graph(["a", "b", "c"]), convert(people))
    assert_array_equal(graph.X.ravel(), [1, 2, 3])


def test_attributes_that_hold_vectors_name_no_features():
    G = nx.path_graph(3)
    nx.set_node_attributes(G, {n: {"age": n, "place": [n, 1.0]} for n in G})
    graph = Graph.from_networkx(G, X=["age", "place"])
    assert graph.shape == (3, 3)
    assert graph.feature_names is None


def test_features_as_nested_lists():
    G = nx.path_graph(3)
    graph = Graph.from_networkx(G, [[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    assert graph.X.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert graph.feature_names is None
