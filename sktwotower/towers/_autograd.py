"""Enters: sparse rows (n, p) with a table (p, width), or vectors (n, d).

Leaves: weighted sums of table rows (n, width), unit vectors (n, d), and gradients that
cost no more than what a batch touches. Next: towers.py.
"""

import functools

import torch
from scipy import sparse
from torch.nn import functional

__all__ = ["embedding_rows", "padded", "product_dtype", "unit_rows", "weighted_sum"]

# A row of a dense product costs about as much as this share of it in a gather.
DENSE_FROM = 1 / 100
# Sizes of matrices that change from batch to batch are rounded up to a multiple: for
# each new shape oneDNN compiles a kernel, which takes longer than the product.
SHAPE_STEP = 512
# A table of which fewer rows are touched gets a gradient of those rows alone.
SPARSE_BELOW = 1 / 4


@functools.cache
def has_bfloat16_products():
    """Return whether the CPU multiplies bfloat16 in hardware (AMX or AVX512_BF16)."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))


def product_dtype(tensor, wanted=None):
    """Return the dtype in which to multiply matrices such as ``tensor`` in training.

    ``wanted`` if it is given; else bfloat16 for float32 on a CPU that multiplies it,
    where it is two to four times as fast, and the tensor's own dtype everywhere else.
    """
    if wanted is not None:
        return wanted
    short = tensor.dtype == torch.float32 and tensor.device.type == "cpu"
    return torch.bfloat16 if short and has_bfloat16_products() else tensor.dtype


def weighted_sum(table, rows, dtype=None):
    """Multiply ``SparseRows`` (n, p) by a dense table (p, width); gives (n, width).

    ``dtype``: bfloat16 if the sum may be computed as a dense product of that type,
    which is what happens where enough of the matrix is stored to make it faster.
    """
    if len(table) == 0:
        return table.new_zeros(len(rows), table.shape[1])
    if rows.is_identity:
        return table
    full = len(rows.indices) > DENSE_FROM * len(rows) * rows.n_columns
    if full and dtype == torch.bfloat16:
        return _DenseProduct.apply(table, rows, dtype)
    if table.device.type == "cpu" and table.requires_grad:
        return _BagSum.apply(table, rows)
    return _bag_sum(table, rows.indices, rows.offsets, rows.values)


def _bag_sum(table, indices, offsets, values):
    return functional.embedding_bag(
        indices,
        table,
        offsets,
        mode="sum",
        per_sample_weights=values.to(table.dtype),
        include_last_offset=True,
    )


def padded(matrix, dtype):
    """Convert (n, d) to ``dtype``; bfloat16 gets rows of zeros up to a round number."""
    if dtype != torch.bfloat16:
        return matrix.to(dtype)
    n = -(-len(matrix) // SHAPE_STEP) * SHAPE_STEP
    rows = matrix.new_zeros(n, matrix.shape[1], dtype=dtype)
    rows[: len(matrix)] = matrix
    return rows


def embedding_rows(table, rows):
    """Take the rows of a table that ``rows`` touch, if they are few.

    Gives the smaller table and ``rows`` with its columns. The gradient of the table is
    a sparse tensor with these rows only.
    """
    if len(rows.indices) > SPARSE_BELOW * rows.n_columns:
        return table, rows
    columns, places = torch.unique(rows.indices, return_inverse=True)
    return _TakeRows.apply(table, columns), rows.with_columns(places, len(columns))


def unit_rows(vectors):
    """Scale the rows of (n, d) to length one; a row of zeros stays as it is."""
    return _UnitRows.apply(vectors)


class _BagSum(torch.autograd.Function):
    """Sum of table rows, whose gradient is such a sum as well, by the transposed rows.

    On a CPU that is three to four times as fast as the gradient of ``embedding_bag``,
    which adds one row at a time.
    """

    @staticmethod
    def forward(ctx, table, rows):
        ctx.rows = rows
        return _bag_sum(table, rows.indices, rows.offsets, rows.values)

    @staticmethod
    def backward(ctx, grad):
        rows = ctx.rows
        parts = (part.numpy() for part in (rows.values, rows.indices, rows.offsets))
        shape = len(rows), rows.n_columns
        columns = sparse.csr_matrix(tuple(parts), shape).tocsc()
        indices, offsets = (
            torch.as_tensor(part, dtype=torch.int64)
            for part in (columns.indices, columns.indptr)
        )
        values = torch.from_numpy(columns.data)
        return _bag_sum(grad.contiguous(), indices, offsets, values), None


class _DenseProduct(torch.autograd.Function):
    """Product with the sparse matrix written out, for short rows of many values."""

    @staticmethod
    def forward(ctx, table, rows, dtype):
        table_rows = padded(table, dtype)
        width = len(table_rows)
        dense = rows.values.new_zeros(len(rows) * width)
        dense.index_add_(0, rows.row_numbers() * width + rows.indices, rows.values)
        dense = dense.view(len(rows), width).to(dtype)
        ctx.save_for_backward(dense)
        ctx.n_columns = rows.n_columns
        return torch.mm(dense, table_rows).to(table.dtype)

    @staticmethod
    def backward(ctx, grad):
        (dense,) = ctx.saved_tensors
        table_grad = torch.mm(dense.T, grad.to(dense.dtype))[: ctx.n_columns]
        return table_grad.to(grad.dtype), None, None


class _TakeRows(torch.autograd.Function):
    """Rows of a table; the gradient holds these rows only."""

    @staticmethod
    def forward(ctx, table, columns):
        ctx.save_for_backward(columns)
        ctx.shape = table.shape
        return table.index_select(0, columns)

    @staticmethod
    def backward(ctx, grad):
        (columns,) = ctx.saved_tensors
        rows = torch.sparse_coo_tensor(
            columns[None],
            grad,
            ctx.shape,
            is_coalesced=True,
            check_invariants=False,
        )
        return rows, None


class _UnitRows(torch.autograd.Function):
    """x / |x|: half the passes over memory of the composition of torch's operators."""

    @staticmethod
    def forward(ctx, vectors):
        norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        norms = norms.clamp_min_(1e-12)
        unit = vectors / norms
        ctx.save_for_backward(unit, norms)
        return unit

    @staticmethod
    def backward(ctx, grad):
        unit, norms = ctx.saved_tensors
        along = torch.linalg.vecdot(grad, unit)[:, None]
        return torch.addcmul(grad, unit, along, value=-1).div_(norms)
