"""The differentiable products against dense computations, to second order."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from sklearn_ltd import _sparse, _torch
from sklearn_ltd._sparse import EdgePattern, SelectedRows, SparseMatrix


@pytest.fixture
def matrix():
    rng = np.random.RandomState(0)
    return sp.random_array((6, 5), density=0.5, random_state=rng, format="csr")


@pytest.fixture
def product(matrix):
    return SparseMatrix.from_scipy(matrix, dtype=torch.float64)


def double(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_product_equals_the_dense_one(matrix, product):
    x = double(5, 3)
    torch.testing.assert_close(product @ x, torch.from_numpy(matrix.toarray()) @ x)
    torch.testing.assert_close(product.T @ double(6, 2) * 0, torch.zeros(5, 2).double())


@pytest.mark.parametrize("shape", [(3,), (6, 3)])
def test_a_product_is_scaled_and_added_to(matrix, product, shape):
    x, added = double(5, 3), double(*shape)
    expected = 0.9 * torch.from_numpy(matrix.toarray()) @ x + added
    torch.testing.assert_close(product.product(x, added, 0.9), expected)


LARGE = {  # for the span of `limit` numbers
    "input": (lambda: double(5, 8)[:, :3], 39),
    "view of a larger one": (lambda: double(5, 2, 8)[:, 0, :3], 79),
    "result": (lambda: double(5, 3), 17),
}


@pytest.mark.parametrize("shape", [None, (3,), (6, 3)])
@pytest.mark.parametrize("large", LARGE)
def test_products_that_are_too_large_for_mkl_take_another_way(product, large, shape, monkeypatch):
    make, limit = LARGE[large]
    x, added = make(), None if shape is None else double(*shape)
    expected = product.product(x, added, 0.7)
    monkeypatch.setattr(_sparse, "_MKL_SPAN", limit + 1)
    monkeypatch.setattr(_sparse, "_multiply_rows", None)
    torch.testing.assert_close(product.product(x, added, 0.7), expected)
    monkeypatch.undo()
    monkeypatch.setattr(_sparse, "_MKL_SPAN", limit)
    monkeypatch.setattr(torch, "addmm", None)
    torch.testing.assert_close(product.product(x, added, 0.7), expected)


@pytest.mark.parametrize("added", [None, torch.ones(1)])
@pytest.mark.parametrize("width", [2, 20])
def test_rows_that_are_not_copied_give_the_products_of_a_copy(product, added, width):
    x, rows = double(9, width).detach(), torch.tensor([8, 0, 3, 3, 5])
    selected = SelectedRows(x, rows, check=None)
    assert selected.shape == (5, width)
    expected = product.product(x[rows], added, 0.7)
    for _ in range(2):
        torch.testing.assert_close(product.product(selected, added, 0.7), expected)
        torch.testing.assert_close(selected @ x.t(), x[rows] @ x.t())  # makes a copy
    torch.testing.assert_close(selected[1:3], x[rows][1:3])


@pytest.mark.parametrize("shape", [None, (3,), (6, 3)])
def test_product_has_all_derivatives(product, shape):
    inputs = [double(5, 3)] + ([] if shape is None else [double(*shape)])
    for fixed in range(2 ** len(inputs) - 1):  # all of the inputs, or one of two
        arguments = [x.detach() if fixed >> i & 1 else x for i, x in enumerate(inputs)]

        def cube(*inputs):
            return product.product(*inputs, alpha=0.9) ** 3

        assert torch.autograd.gradcheck(cube, arguments, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(cube, arguments, check_fwd_over_rev=True)


@pytest.mark.parametrize("shape", [(0, 5), (6, 0), (6, 5)])
@pytest.mark.parametrize("k", [0, 1, 3])
def test_products_of_nothing_are_what_is_added(shape, k):
    x, added = double(shape[1], k), double(k)
    out = SparseMatrix.from_scipy(sp.csr_array(shape), dtype=torch.float64).product(x, added)
    torch.testing.assert_close(out, added.expand(shape[0], k))
    out.sum().backward()
    torch.testing.assert_close(x.grad, torch.zeros_like(x))
    torch.testing.assert_close(added.grad, torch.full_like(added, shape[0]))


def test_a_symmetric_matrix_is_stored_once():
    matrix = sp.csr_array(np.array([[0, 1.0], [1, 0]]))
    product = SparseMatrix.from_scipy(matrix)
    assert product.matrix is product.transpose


def test_a_transpose_is_made_where_it_is_needed(product):
    x = double(5, 3)
    with torch.no_grad():
        product @ x
    out = product @ x
    assert "transpose" not in vars(product)
    out.sum().backward()
    torch.testing.assert_close(product.transpose.to_dense(), product.to_dense().T)


def test_dropout_zeroes_the_same_entries_of_matrix_and_transpose(product):
    torch.manual_seed(0)
    dropped = product.dropout(0.5, training=True)
    torch.testing.assert_close(dropped.T.to_dense(), dropped.to_dense().T)
    kept = dropped.to_dense() != 0
    assert 0 < kept.sum() < (product.to_dense() != 0).sum()
    torch.testing.assert_close(dropped.to_dense()[kept], 2 * product.to_dense()[kept])
    assert product.dropout(0.5, training=False) is product


def dense_attention(pattern, target, source):
    scores = torch.nn.functional.leaky_relu(target[:, None] + source[None], 0.2)
    return torch.where(pattern, scores, -torch.inf).softmax(1)


@pytest.fixture
def edges():
    pattern = np.random.RandomState(1).random_sample((5, 5)) < 0.5
    np.fill_diagonal(pattern, True)
    return pattern


def test_attention_equals_the_dense_one_for_every_head(edges):
    target, source, x = double(5, 2), double(5, 2), double(5, 2, 3)
    pattern = EdgePattern(sp.csr_array(edges))
    attention = pattern.softmax(target, source, 0.2)
    out = pattern.weighted_sum(attention, x)
    mask = torch.from_numpy(edges)
    for head in range(2):
        dense = dense_attention(mask, target[:, head], source[:, head])
        torch.testing.assert_close(attention[:, head], dense[mask])
        torch.testing.assert_close(out[:, head], dense @ x[:, head])


@pytest.mark.parametrize("block", [1, 4, 1000])
def test_gradients_of_attention_are_those_of_the_dense_one(edges, block, monkeypatch):
    """To the last digits, and in blocks of edges as well."""
    monkeypatch.setattr(_torch, "_BLOCK", block)
    pattern, mask = EdgePattern(sp.csr_array(edges)), torch.from_numpy(edges)
    scores, weights = (double(5, 2), double(5, 2)), double(int(mask.sum()), 2).detach()
    found = torch.autograd.grad((pattern.softmax(*scores, 0.2) * weights).sum(), scores)
    heads = [dense_attention(mask, *(s[:, head] for s in scores))[mask] for head in range(2)]
    expected = torch.autograd.grad((torch.stack(heads, 1) * weights).sum(), scores)
    for ours, theirs in zip(found, expected):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 4)])
def test_attention_of_no_edges_is_zero(shape, heads):
    pattern = EdgePattern(sp.csr_array(shape))
    weights, x = double(0, heads), double(shape[1], heads, 3)
    out = pattern.weighted_sum(weights, x)
    torch.testing.assert_close(out, torch.zeros_like(out).reshape(shape[0], heads, 3))
    out.sum().backward()
    assert weights.grad.shape == (0, heads)
    torch.testing.assert_close(x.grad, torch.zeros_like(x))


def test_attention_stays_finite_for_large_scores(edges):
    pattern = EdgePattern(sp.csr_array(edges))
    scores = torch.tensor([[1e4, -1e4, 0, 500, 88]], dtype=torch.float32).t()
    attention = pattern.softmax(scores, scores, 0.2)
    assert torch.isfinite(attention).all()


@pytest.mark.parametrize("block", [4, 1000])
@pytest.mark.parametrize("n_columns", [2, 9])
def test_attention_has_all_derivatives(edges, n_columns, block, monkeypatch):
    monkeypatch.setattr(_torch, "_BLOCK", block)
    pattern = EdgePattern(sp.csr_array(edges))

    def attend(target, source, x):
        return pattern.weighted_sum(pattern.softmax(target, source, 0.2), x)

    inputs = double(5, 2), double(5, 2), double(5, 2, n_columns)
    assert torch.autograd.gradcheck(attend, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(attend, inputs)
