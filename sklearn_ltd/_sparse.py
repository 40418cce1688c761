"""Sparse products on torch that can be differentiated any number of times.

The hypergradient of LTD differentiates a gradient.  Torch's own sparse products
transpose anew in every backward pass, and some of them have no second derivative.
Here a product and its adjoint are the same operation on two stored matrices, so
that every order, and forward mode, is available.  The functions take their context in
`forward`: the newer `setup_context` costs as much as a small product at each call.
"""

import warnings
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch
from torch.autograd import Function

from ._torch import _FEW, _on_cpu, block_size, dropout
from ._whole import same_entries

_MKL_SPAN = 2**31 - 1  # numbers that a dense matrix extends over; with more, MKL crashes
_ALIGNED = 16  # entries; some products on GPUs read values 16 bytes at a time
_NARROW = 8  # columns, with fewer of which a CPU's sampled product takes up to nine times as long


def csr_tensor(matrix, device, dtype):
    """A scipy CSR matrix as a torch CSR tensor that owns its memory."""
    return _csr(
        _index(matrix.indptr, matrix, device),
        _index(matrix.indices, matrix, device),
        torch.tensor(matrix.data.astype(np.float64), device=device, dtype=dtype),
        matrix.shape,
    )


def _index(array, matrix, device):
    """Indices into a matrix or its values as a tensor, of 32 bits where that is enough."""
    dtype = np.int32 if max(*matrix.shape, matrix.nnz) < 2**31 else np.int64
    return torch.from_numpy(array.astype(dtype)).to(device)


def _take(x, rows):
    """``x[rows]`` for `x` of two dimensions; several times faster than by indexing on a CPU."""
    if x.shape[1] != 1:
        return x.index_select(0, rows)
    out = x.new_empty(len(rows), 1)
    torch.index_select(x.flatten(), 0, rows, out=out.view(-1))
    return out


def _transpose(x, out):
    """Fill `out` with ``x.t()``, on a CPU in blocks that stay in its cache."""
    short, long = sorted((0, 1), key=lambda dim: x.shape[dim])
    size = block_size(x, 2 * x.shape[short])
    for block, part in zip(out.split(size, short), x.split(size, long)):
        block.copy_(part.t())
    return out


def _csr(indptr, indices, values, shape):
    return torch.sparse_csr_tensor(indptr, indices, values, shape, check_invariants=False)


def _multiply(matrix, x, added=None, alpha=1):
    """``alpha * matrix @ x + added`` for a CSR tensor; the operator fills and copies the result."""
    shape = matrix.shape[0], x.shape[1]
    if _on_cpu(x) and max(_span(x), shape[0] * shape[1]) > _MKL_SPAN:
        return _multiply_rows(matrix, x, None, added, alpha)
    out = x.new_empty(shape)
    if added is None:
        return torch.addmm(out, matrix, x, beta=0, alpha=alpha, out=out)
    return torch.addmm(added, matrix, x, alpha=alpha, out=out)


def _span(x):
    return max(n * stride for n, stride in zip(x.shape, x.stride()))


def _multiply_rows(matrix, x, rows, added=None, alpha=1):
    """``alpha * matrix @ x[rows] + added`` on a CPU, without a copy of the rows; None: all."""
    indptr, columns = matrix.crow_indices(), matrix.col_indices()
    if rows is not None:
        columns = rows.index_select(0, columns)
    out = torch.nn.functional.embedding_bag(
        columns,
        x,
        indptr.to(columns.dtype),
        mode="sum",
        per_sample_weights=matrix.values(),
        include_last_offset=True,
    )
    if alpha != 1:
        out *= alpha
    if added is not None:
        out += added
    return out


class _Product(Function):
    """``alpha * matrix @ x + added`` for a constant `matrix`; linear, hence its own tangent."""

    @staticmethod
    def forward(ctx, x, matrix, added, alpha):
        ctx.constants = matrix, alpha
        ctx.shape = None if added is None else added.shape
        return matrix.multiply(x, added, alpha)

    @staticmethod
    def backward(ctx, grad):
        matrix, alpha = ctx.constants
        needs_x, _, needs_added, _ = ctx.needs_input_grad
        # In this order: the second derivative adds the smaller part to the larger one in place.
        grad_added = grad.sum_to_size(ctx.shape) if needs_added else None
        grad_x = _Product.apply(grad, matrix.T, None, alpha) if needs_x else None
        return grad_x, None, grad_added, None

    @staticmethod
    def jvp(ctx, x, _matrix, added, _alpha):
        matrix, alpha = ctx.constants
        if x is None:
            return added.expand(matrix.shape[0], -1)
        return _Product.apply(x, matrix, added, alpha)


class SparseMatrix:
    """A constant sparse matrix together with its transpose.

    ``matrix @ x`` multiplies a dense tensor of shape (n_columns, k) and can be
    differentiated with respect to `x` to any order, in both modes.

    Parameters
    ----------
    matrix : torch.Tensor
        In CSR layout.
    transpose : torch.Tensor, default=None
        In CSR layout; None: made where it is needed.
    """

    def __init__(self, matrix, transpose=None):
        self.matrix = matrix
        if transpose is not None:
            self.transpose = transpose

    @classmethod
    def from_scipy(cls, matrix, device="cpu", dtype=torch.float32):
        matrix = sp.csr_array(matrix)
        if not matrix.has_sorted_indices:
            matrix = matrix.sorted_indices()
        product = cls(csr_tensor(matrix, device, dtype))
        if not _on_cpu(product.matrix):  # which would be waited for later on
            product.transpose = product._transpose_of(matrix)
        return product

    @cached_property
    def transpose(self):
        return self._transpose_of(self._to_scipy(self.matrix.values().cpu().numpy()))

    def _transpose_of(self, matrix):
        transpose = matrix.T.tocsr()
        if same_entries(matrix, transpose):
            return self.matrix
        return csr_tensor(transpose, self.device, self.matrix.dtype)

    @property
    def T(self):
        return SparseMatrix(self.transpose, self.matrix)

    @property
    def shape(self):
        return tuple(self.matrix.shape)

    @property
    def n_entries(self):
        return self.matrix.values().numel()

    @property
    def device(self):
        return self.matrix.device

    def multiply(self, x, added=None, alpha=1):
        """The bare `product`, outside autograd."""
        return _multiply(self.matrix, x, added, alpha)

    def product(self, x, added=None, alpha=1):
        """``alpha * matrix @ x + added`` in one pass.

        `added` has the shape of the result or of a row.
        """
        if isinstance(x, SelectedRows):
            return x.multiplied(self, added, alpha)
        return _Product.apply(x, self, added, alpha)

    def __matmul__(self, x):
        return self.product(x)

    def __getitem__(self, rows):
        """Some of the rows, by a slice."""
        matrix = self._to_scipy(self.matrix.values().cpu().numpy())[rows]
        return SparseMatrix.from_scipy(matrix, self.device, self.matrix.dtype)

    def _to_scipy(self, values):
        columns, indptr = self.matrix.col_indices(), self.matrix.crow_indices()
        return sp.csr_array((values, columns.cpu().numpy(), indptr.cpu().numpy()), self.shape)

    @cached_property
    def _transpose_order(self):
        """Where each stored value of the transpose stands in the matrix."""
        positions = self._to_scipy(np.arange(1, self.n_entries + 1))
        return _index(positions.T.tocsr().data - 1, positions, self.device)

    def dropout(self, p, training):
        """Zero each stored entry with probability `p` and rescale the others."""
        if not training or p == 0:
            return self
        values = dropout(self.matrix.values(), p, training)
        return SparseMatrix(
            _with_values(self.matrix, values),
            _with_values(self.transpose, values.index_select(0, self._transpose_order)),
        )

    def to_dense(self):
        return self.matrix.to_dense()


class SelectedRows:
    """Rows of a dense matrix, of which a copy is made only where a layer needs all of them.

    It stands for node features where layers call `dropout` or `to_dense`, slice it, multiply it by
    a matrix, or a `SparseMatrix` by it.  Gradients do not reach it.

    Parameters
    ----------
    matrix : torch.Tensor of shape (n, d)
        On a CPU, and possibly on disk.
    rows : torch.Tensor of shape (m,)
    check : callable
        ``check(x, rows)`` raises ValueError if ``x = matrix[rows]`` is not finite.
    """

    def __init__(self, matrix, rows, check):
        self.matrix = matrix
        self.rows = rows
        self.check = check
        self._copy = None

    @property
    def shape(self):
        return len(self.rows), self.matrix.shape[1]

    def __getitem__(self, part):
        if self._copy is not None:
            return self._copy[part]
        rows = self.rows[part]
        x = self.matrix.index_select(0, rows)
        if not x.sum().isfinite():
            self.check(x, rows)
        return x

    def to_dense(self):
        if self._copy is None:
            self._copy = self[:]
        return self._copy

    def multiplied(self, left, added=None, alpha=1):
        """``alpha * left @ self + added`` for a `SparseMatrix`."""
        if self._copy is not None or self.shape[1] < _FEW:
            return left.product(self.to_dense(), added, alpha)
        out = _multiply_rows(left.matrix, self.matrix, self.rows, added, alpha)
        if not out.sum().isfinite():
            self.to_dense()  # tells where
        return out

    def __matmul__(self, weight):
        return self.to_dense() @ weight

    def dropout(self, p, training):
        return dropout(self.to_dense(), p, training)


# Torch warns once per process that the layout is new, and that memory of numpy may be read-only,
# as features on disk are; let it do so here, unheard.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    _csr(torch.tensor([0, 0]), torch.tensor([], dtype=torch.long), torch.tensor([]), (1, 1))
    torch.from_numpy(np.broadcast_to(np.float32(0), 1))


def _with_values(matrix, values):
    return _csr(matrix.crow_indices(), matrix.col_indices(), values, matrix.shape)


class EdgePattern:
    """The places of a graph's edges, for edge weights that are computed.

    Row `i` lists the sources of the edges that end at node `i`.  Edge values have shape
    (n_edges, heads), in the order of that list; all heads share the places.

    Parameters
    ----------
    pattern : scipy sparse array of shape (n_targets, n_sources)
        Its stored entries are the edges; their values are not read.
    """

    def __init__(self, pattern, device="cpu"):
        pattern = sp.csr_array(pattern)
        pattern.sort_indices()
        positions = sp.csr_array(
            (np.arange(1, pattern.nnz + 1), pattern.indices, pattern.indptr), shape=pattern.shape
        )
        transpose = positions.T.tocsr()
        order = transpose.data - 1
        inverse = np.empty_like(order)
        inverse[order] = np.arange(len(order))
        forward = _Half(pattern, inverse, device)
        backward = _Half(transpose, order, device)
        forward.T, backward.T = backward, forward
        rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
        rows, in_order = (_index(a, pattern, device) for a in (rows, np.arange(pattern.nnz)))
        self._half = forward
        self._targets = _Ends(rows, forward.indptr, in_order)
        self._sources = _Ends(forward.columns, backward.indptr, backward.order)

    def weighted_sum(self, weights, x):
        """``out[i, h] = sum over edges e = (j -> i) of weights[e, h] * x[j, h]``.

        Parameters
        ----------
        weights : torch.Tensor of shape (n_edges, heads)
        x : torch.Tensor of shape (n_sources, heads, k)

        Returns
        -------
        out : torch.Tensor of shape (n_targets, heads, k)
        """
        return _WeightedSum.apply(weights, x, self._half)

    def softmax(self, target_scores, source_scores, slope):
        """Attention of each edge among the edges with the same target, head by head.

        ``softmax over e of leaky_relu(target_scores[i] + source_scores[j])``; scores have shape
        (n_targets, heads) and (n_sources, heads), the attention (n_edges, heads).
        """
        return _Attention.apply(target_scores, source_scores, self._targets, self._sources, slope)


class _Half:
    """An edge pattern read along its rows; `T` is the same one read along its columns."""

    def __init__(self, pattern, order, device):
        self.shape = pattern.shape
        self.indptr = _index(pattern.indptr, pattern, device)
        self.columns = _index(pattern.indices, pattern, device)
        self.order = _index(order, pattern, device)

    def new_rows(self, like, heads):
        """Memory for the values of each head, (heads, n_edges), whose rows begin `_ALIGNED`."""
        n_edges = len(self.columns)
        return like.new_empty(heads, n_edges + -n_edges % _ALIGNED)[:, :n_edges]

    def by_head(self, values):
        """Values (n_edges, heads) as rows for `with_values`."""
        if values.shape[1] == 1:
            return values.t().contiguous()
        return _transpose(values, self.new_rows(values, values.shape[1]))

    def with_values(self, values):
        return _csr(self.indptr, self.columns, values, self.shape)


class _Ends:
    """Where each edge ends, or starts, and which edges do so at each node.

    Parameters
    ----------
    nodes : torch.Tensor of shape (n_edges,)
    indptr, edges : torch.Tensor of shape (n_nodes + 1,) and (n_edges,)
        Those of node `i` are ``edges[indptr[i] : indptr[i + 1]]``.
    """

    def __init__(self, nodes, indptr, edges):
        self.nodes = nodes
        self.indptr = indptr
        self.edges = edges

    def gather(self, x):
        return _take(x, self.nodes)

    def update(self, values, change, x):
        """``change(values, gather(x))`` in place, on a CPU in blocks that stay in its cache."""
        size = block_size(values, values.shape[1])
        for part, nodes in zip(values.split(size), self.nodes.split(size)):
            change(part, _take(x, nodes))

    def sum(self, values):
        ones = values.new_ones(len(values))
        shape = len(self.indptr) - 1, len(values)
        return _multiply(_csr(self.indptr, self.edges, ones, shape), values)


class _WeightedSum(Function):
    @staticmethod
    def forward(ctx, weights, x, half):
        ctx.half = half
        ctx.save_for_backward(weights, x)
        ctx.save_for_forward(weights, x)
        heads = enumerate(half.by_head(weights))
        return torch.stack([_multiply(half.with_values(w), x[:, head]) for head, w in heads], 1)

    @staticmethod
    def backward(ctx, grad):
        weights, x = ctx.saved_tensors
        half = ctx.half
        grad_weights = _EdgeDot.apply(grad, x, half) if ctx.needs_input_grad[0] else None
        grad_x = None
        if ctx.needs_input_grad[1]:
            grad_x = _WeightedSum.apply(_Permute.apply(weights, half.T), grad, half.T)
        return grad_weights, grad_x, None

    @staticmethod
    def jvp(ctx, weights_tangent, x_tangent, _):
        weights, x = ctx.saved_tensors
        parts = []
        if weights_tangent is not None:
            parts.append(_WeightedSum.apply(weights_tangent, x, ctx.half))
        if x_tangent is not None:
            parts.append(_WeightedSum.apply(weights, x_tangent, ctx.half))
        return sum(parts)


class _EdgeDot(Function):
    """``out[e, h] = <a[target of e, h], b[source of e, h]>``, the weighted sum's adjoint."""

    @staticmethod
    def forward(ctx, a, b, half):
        ctx.half = half
        ctx.save_for_backward(a, b)
        if _on_cpu(a) and 1 < a.shape[2] < _NARROW:
            a, b = (torch.nn.functional.pad(x, (0, _NARROW - x.shape[2])) for x in (a, b))
        products = half.new_rows(a, a.shape[1]).zero_()
        for head, values in enumerate(products):
            out = half.with_values(values)
            torch.sparse.sampled_addmm(out, a[:, head], b[:, head].t(), beta=0.0, out=out)
        if len(products) == 1:
            return products.t()
        return _transpose(products, a.new_empty(products.shape[::-1]))

    @staticmethod
    def backward(ctx, grad):
        a, b = ctx.saved_tensors
        half = ctx.half
        grad_a = _WeightedSum.apply(grad, b, half)
        grad_b = _WeightedSum.apply(_Permute.apply(grad, half.T), a, half.T)
        return grad_a, grad_b, None


class _Gather(Function):
    """Node values to the edges that end, or start, at the node."""

    @staticmethod
    def forward(ctx, x, ends):
        ctx.ends = ends
        return ends.gather(x)

    @staticmethod
    def backward(ctx, grad):
        return _Sum.apply(grad, ctx.ends), None

    @staticmethod
    def jvp(ctx, tangent, _):
        return _Gather.apply(tangent, ctx.ends)


class _Sum(Function):
    """Edge values summed at the node where the edges end, or start."""

    @staticmethod
    def forward(ctx, values, ends):
        ctx.ends = ends
        return ends.sum(values)

    @staticmethod
    def backward(ctx, grad):
        return _Gather.apply(grad, ctx.ends), None

    @staticmethod
    def jvp(ctx, tangent, _):
        return _Sum.apply(tangent, ctx.ends)


class _Attention(Function):
    """See `EdgePattern.softmax`; in place, as new memory takes longer than the numbers in it."""

    @staticmethod
    def forward(ctx, target_scores, source_scores, targets, sources, slope):
        out = sources.gather(source_scores)
        targets.update(out, torch.Tensor.add_, target_scores)
        rises = out > 0
        torch.nn.functional.leaky_relu_(out, slope)
        highest = torch.segment_reduce(out, "max", offsets=targets.indptr.long())
        targets.update(out, torch.Tensor.sub_, highest)
        out.exp_()
        targets.update(out, torch.Tensor.div_, targets.sum(out))
        ctx.ends, ctx.slope = (targets, sources), slope
        ctx.save_for_backward(out, rises)
        ctx.save_for_forward(out, rises)
        return out

    @staticmethod
    def backward(ctx, grad):
        out, rises = ctx.saved_tensors
        change = _Attention._centered(out, grad, ctx.ends[0])
        change *= _Attention._slopes(rises, ctx.slope, out)
        needed = ctx.needs_input_grad[:2]
        sums = (_Sum.apply(change, ends) if n else None for n, ends in zip(needed, ctx.ends))
        return *sums, None, None, None

    @staticmethod
    def jvp(ctx, target_tangent, source_tangent, *_):
        out, rises = ctx.saved_tensors
        tangents = zip((target_tangent, source_tangent), ctx.ends)
        change = sum(
            _Gather.apply(tangent, ends) for tangent, ends in tangents if tangent is not None
        )
        change = change * _Attention._slopes(rises, ctx.slope, out)
        return _Attention._centered(out, change, ctx.ends[0])

    @staticmethod
    def _centered(out, change, targets):
        """``out * (change - its mean at the target)``: the derivative of the softmax."""
        weighted = out * change
        totals = _Gather.apply(_Sum.apply(weighted, targets), targets)
        return weighted.addcmul_(out, totals, value=-1)

    @staticmethod
    def _slopes(rises, slope, like):
        return rises.view(torch.uint8).to(like.dtype).mul_(1 - slope).add_(slope)


class _Permute(Function):
    """Edge values from the order of ``half.T`` to the order of `half`."""

    @staticmethod
    def forward(ctx, values, half):
        ctx.half = half
        return _take(values, half.order)

    @staticmethod
    def backward(ctx, grad):
        return _Permute.apply(grad, ctx.half.T), None

    @staticmethod
    def jvp(ctx, tangent, _):
        return _Permute.apply(tangent, ctx.half)
