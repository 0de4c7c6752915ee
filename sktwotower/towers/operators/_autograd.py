"""Operators of the towers with gradients that cost only what a batch touches.

Input: sparse rows (n, p) with a table (p, width), or vectors (n, d).
Output: weighted sums of table rows (n, width), or unit vectors (n, d).
"""

import functools

import torch
from scipy import sparse
from torch.nn import functional

from ._devices import on_cpu

# Write sparse rows out as a dense matrix if more than this share of it is stored: a
# dense product is then faster than gathering table rows.
MIN_DENSE_SHARE = 1 / 100
# Round the number of rows up to a multiple of it: oneDNN compiles a kernel for each new
# shape, which takes several times as long as the product.
SHAPE_STEP = 128
# Fewer multiplications take less time in float32 than that kernel.
MIN_BFLOAT16_PRODUCTS = 1 << 24

# How sparse tensors are made of places that are distinct and ascend.
COALESCED = {"is_coalesced": True, "check_invariants": False}


@functools.cache
def has_bfloat16_products(kind="cpu"):
    """Return whether bfloat16 is multiplied in hardware by a kind of device.

    CPUs do so by AMX or AVX512_BF16, and GPUs since about 2020.
    """
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind != "cpu":
        return False
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))


def product_dtype(tensor, n_products, wanted=None):
    """Return the dtype in which to multiply matrices such as ``tensor`` in training.

    It is ``wanted`` if given. Otherwise it is bfloat16 for float32 on a device with
    bfloat16 products, which are four to six times as fast on a CPU, if there are many
    products of two numbers, and the tensor's own dtype everywhere else.
    """
    if wanted is not None:
        return wanted
    if tensor.dtype != torch.float32 or n_products < MIN_BFLOAT16_PRODUCTS:
        return tensor.dtype
    if has_bfloat16_products(tensor.device.type):
        return torch.bfloat16
    return tensor.dtype


def weighted_sum(table, rows, dtype=None):
    """Return the product (n, width) of ``SparseRows`` (n, p) and a table (p, width).

    With ``dtype`` bfloat16 the product is a dense one of that type if enough values are
    stored to make it faster.
    """
    if len(table) == 0:
        return table.new_zeros(len(rows), table.shape[1])
    if rows.is_identity:
        return table
    dense = len(rows.indices) > MIN_DENSE_SHARE * len(rows) * rows.n_columns
    if dense and dtype == torch.bfloat16:
        return _DenseProduct.apply(table, rows, dtype)
    learns = table.requires_grad and torch.is_grad_enabled()
    if learns and on_cpu(table) and not rows.values.requires_grad:
        return _BagSum.apply(table, rows)
    return _bag_sum(table, rows)


def _bag_sum(table, rows):
    """Return weighted sums of table rows, (n, width)."""
    return functional.embedding_bag(
        rows.indices,
        table,
        rows.offsets,
        mode="sum",
        per_sample_weights=rows.values.to(table.dtype),
        include_last_offset=True,
    )


def padded(matrix, dtype):
    """Convert (n, d) to ``dtype``; append rows of zeros for bfloat16 (`SHAPE_STEP`)."""
    if dtype != torch.bfloat16:
        return matrix.to(dtype)
    n = -(-len(matrix) // SHAPE_STEP) * SHAPE_STEP
    rows = matrix.new_empty(n, matrix.shape[1], dtype=dtype)
    rows[: len(matrix)] = matrix
    rows[len(matrix) :].zero_()
    return rows


def row_sums(matrix, dtype):
    """Return the sums (n,) of the rows of (n, m) in ``dtype``.

    Rows in bfloat16, `padded`, are added in parts, whose sums are rounded only once.
    """
    if matrix.dtype != torch.bfloat16:
        return matrix.sum(1).to(dtype)
    return matrix.unflatten(1, (-1, SHAPE_STEP)).sum(2).to(dtype).sum(1)


def ascend(positions):
    """Return whether positions (n,) are distinct and in ascending order."""
    return bool((positions[1:] > positions[:-1]).all())


def embedding_rows(table, rows):
    """Return the part of a table that ``rows`` touch, if it is small, and new rows.

    The columns of the new rows are those of the part. The gradient of the table is then
    a sparse tensor with the touched rows only.
    """
    if rows.touched is None:
        return table, rows
    columns, places, is_identity = rows.touched
    part = rows.with_columns(places, len(columns))
    part.is_identity = is_identity
    return _TakeRows.apply(table, columns), part


def unit_rows(vectors):
    """Scale the rows of (n, d) to length one, except rows of zeros."""
    learns = vectors.requires_grad and torch.is_grad_enabled()
    if learns:
        return _UnitRows.apply(vectors)
    unit, _ = _unit_rows(vectors)
    return unit


def _unit_rows(vectors):
    """Return rows (n, d) of length one, and their lengths before, (n, 1)."""
    norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True).clamp_min_(1e-12)
    return vectors / norms, norms


class _BagSum(torch.autograd.Function):
    """Sum of table rows, with the gradient as a sum by the transposed matrix.

    On a CPU this is three to four times as fast as the gradient of ``embedding_bag``,
    which adds one row at a time.
    """

    @staticmethod
    def forward(ctx, table, rows):
        ctx.rows = rows
        return _bag_sum(table, rows)

    @staticmethod
    def backward(ctx, grad):
        rows = ctx.rows
        arrays = rows.values.numpy(), rows.indices.numpy(), rows.offsets.numpy()
        matrix = sparse.csr_matrix(arrays, (len(rows), rows.n_columns)).T.tocsr()
        columns = rows.from_csr(matrix)
        columns.values = torch.from_numpy(matrix.data)  # in their own type
        return _bag_sum(grad.contiguous(), columns), None


class _DenseProduct(torch.autograd.Function):
    """Product with the sparse matrix written out as a dense one."""

    @staticmethod
    def forward(ctx, table, rows, dtype):
        table_rows = padded(table, dtype)
        width = len(table_rows)
        dense = rows.values.new_zeros(len(rows), width, dtype=dtype)
        places = rows.row_numbers() * width + rows.indices
        dense.put_(places, rows.values.to(dtype), accumulate=True)
        ctx.save_for_backward(dense)
        ctx.n_columns = rows.n_columns
        return torch.mm(dense, table_rows).to(table.dtype)

    @staticmethod
    def backward(ctx, grad):
        (dense,) = ctx.saved_tensors
        table_grad = torch.mm(dense.T, grad.to(dense.dtype))[: ctx.n_columns]
        return table_grad.to(grad.dtype), None, None


class _TakeRows(torch.autograd.Function):
    """Rows of a table, whose gradient holds these rows only."""

    @staticmethod
    def forward(ctx, table, columns):
        ctx.save_for_backward(columns)
        ctx.shape = table.shape
        return table.index_select(0, columns)

    @staticmethod
    def backward(ctx, grad):
        (columns,) = ctx.saved_tensors
        rows = torch.sparse_coo_tensor(columns[None], grad, ctx.shape, **COALESCED)
        if not on_cpu(grad):
            # Of what is in use elsewhere autograd makes a copy, which is marked as
            # coalesced too; to look whether its rows ascend is to wait for the device.
            ctx.rows = rows
        return rows, None


class _UnitRows(torch.autograd.Function):
    """x / |x|, with half the passes over memory that torch's own operators need."""

    @staticmethod
    def forward(ctx, vectors):
        unit, norms = _unit_rows(vectors)
        ctx.save_for_backward(unit, norms)
        return unit

    @staticmethod
    def backward(ctx, grad):
        unit, norms = ctx.saved_tensors
        along = torch.linalg.vecdot(grad, unit)[:, None]
        return torch.addcmul(grad, unit, along, value=-1).div_(norms)
