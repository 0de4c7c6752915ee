"""A model in the format of ONNX, built one operator after the other.

Input: values so far, and constants as arrays.
Output: values; at the end the whole model as bytes.
"""

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from sktwotower._tables._messages import imported

VERSION = 18
FORMAT = 9
# Operators of ONNX by the name of the function of numpy.
OPERATORS = {
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "floor_divide": "Div",  # of integers that are not negative
    "matmul": "MatMul",
    "maximum": "Max",
    "minimum": "Min",
    "less": "Less",
    "exp": "Exp",
    "sqrt": "Sqrt",
    "concatenate": "Concat",
}
# Protocol buffers, in which ONNX is written, hold less than 2 GiB.
MAX_BYTES = 2**31 - 2**20


class Value(NDArrayOperatorsMixin):
    """A value of a ``Graph``; what numpy computes of it are further operators.

    Constants are converted to its dtype.
    """

    def __init__(self, graph, name, dtype):
        self.graph = graph
        self.name = name
        self.dtype = np.dtype(dtype)

    def __array_ufunc__(self, ufunc, method, *inputs):
        """Add the operator of a function of numpy, such as that of ``+``."""
        inputs = _alike(inputs)
        dtype = bool if ufunc is np.less else inputs[0].dtype
        return self.graph(OPERATORS[ufunc.__name__], *inputs, dtype=dtype)

    def __array_function__(self, function, types, args, attributes):
        """Add the operator of ``numpy.concatenate``."""
        return self.graph(OPERATORS[function.__name__], *_alike(*args), **attributes)

    def astype(self, dtype):
        """Convert to a dtype of numpy."""
        if self.dtype == dtype:
            return self
        return self.graph.cast(self, dtype)

    def sum(self, axis, keepdims=True):
        """Return sums along an axis, which is kept."""
        return self.graph("ReduceSum", self, np.array([axis]))

    def erf(self):
        """Return the error function; ONNX has it in float32 everywhere."""
        return self.graph("Erf", self.astype(np.float32)).astype(self.dtype)

    def column(self):
        """Return the value with a further axis, the second."""
        return self.graph("Unsqueeze", self, np.array([1]))


def _alike(inputs):
    """Return values and constants, converted to the dtype of the values."""
    values = [value for value in inputs if isinstance(value, Value)]
    dtype = np.result_type(*(value.dtype for value in values))
    converted = []
    for value in inputs:
        if isinstance(value, Value):
            converted.append(value.astype(dtype))
        else:
            converted.append(np.asarray(value, dtype))
    return converted


class Graph:
    """Operators of a model, each of which is called by its name in ONNX."""

    def __init__(self):
        message = "export_onnx needs onnx: pip install 'sktwotower[onnx]'."
        for module in ("checker", "helper", "numpy_helper"):
            imported(f"onnx.{module}", message)
        self.onnx = imported("onnx", message)
        self.inputs = []
        self.nodes = []
        self.constants = []
        self.n_bytes = 0  # of the constants
        self.n_nodes = 0

    def input(self, name, dtype, size):
        """Add an input of shape (size,), a name or a number; return its ``Value``."""
        self.inputs.append(self._declared(name, dtype, [size]))
        return Value(self, name, dtype)

    def __call__(self, operator, *inputs, **attributes):
        """Add an operator; return its first output; see `outputs`."""
        (output,) = self.outputs(1, operator, *inputs, **attributes)
        return output

    def outputs(self, n, operator, *inputs, dtype=None, **attributes):
        """Add an operator; return its n outputs, each a ``Value``.

        ``inputs``: values, arrays, or "" for none. ``dtype``: that of the outputs;
        None: that of the first input.
        """
        names = [f"{operator}_{self.n_nodes}_{i}" for i in range(n)]
        self.n_nodes += 1
        if dtype is None:
            dtype = inputs[0].dtype
        input_names = [self._name(value) for value in inputs]
        node = self.onnx.helper.make_node(operator, input_names, names, **attributes)
        self.nodes.append(node)
        return [Value(self, name, dtype) for name in names]

    def stacked(self, n, dtype, build):
        """Add a loop; return the outputs of its n passes in one array (n, ...).

        ``n``: a number, of shape (). ``build``: takes the number of a pass, from 0 on,
        and returns its output, of ``dtype``.
        """
        # What is called from here on belongs to the body of the loop.
        outer_nodes = self.nodes
        self.nodes = []
        number = f"pass_{self.n_nodes}"
        goes_on = f"going_{self.n_nodes}"
        output = build(Value(self, number, np.int64))
        # ONNX asks for a condition to go on, which is passed from pass to pass.
        still = self("Identity", Value(self, goes_on, bool))
        inputs = [
            self._declared(number, np.int64, []),
            self._declared(goes_on, bool, []),
        ]
        outputs = [
            self._declared(still.name, bool, []),
            self._declared(output.name, dtype, None),
        ]
        body = self.onnx.helper.make_graph(self.nodes, number, inputs, outputs)
        self.nodes = outer_nodes
        return self("Loop", n, "", body=body, dtype=dtype)

    def cast(self, value, dtype):
        """Convert to a numpy dtype."""
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self("Cast", value, to=int(kind), dtype=dtype)

    def _declared(self, name, dtype, shape):
        """Return the type of a value, as inputs and outputs declare it."""
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.onnx.helper.make_tensor_value_info(name, kind, shape)

    def _name(self, value):
        """Return the name of a value, or of an array, which is added; "" for none."""
        if isinstance(value, str):
            return value
        if isinstance(value, Value):
            return value.name
        array = np.ascontiguousarray(value)
        self.n_bytes += array.nbytes
        name = f"constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def finish(self, vectors, n_columns, name, about):
        """Return the checked model as bytes.

        ``vectors``: the output (n, n_columns), a ``Value``. ``about``: its metadata, a
        dict of text.
        """
        if self.n_bytes > MAX_BYTES:
            raise ValueError(
                "An ONNX file holds at most 2 GiB, but these towers have "
                f"{self.n_bytes / 2**30:.1f} GiB. Export vectors: export_vectors."
            )
        helper = self.onnx.helper
        self.nodes.append(helper.make_node("Identity", [vectors.name], ["vectors"]))
        last = self._declared("vectors", np.float32, ["n", n_columns])
        graph = helper.make_graph(self.nodes, name, self.inputs, [last], self.constants)
        operators = [helper.make_opsetid("", VERSION)]
        model = helper.make_model(graph, opset_imports=operators, ir_version=FORMAT)
        helper.set_model_props(model, about)
        self.onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()
