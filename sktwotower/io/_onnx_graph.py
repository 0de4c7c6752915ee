"""A model in the format of ONNX, built one operator after the other.

Input: names of values so far, and constants as arrays.
Output: names of values; at the end the whole model as bytes.
"""

import numpy as np

from sktwotower._tables._messages import imported

OPERATORS, FORMAT = 18, 9
# Protocol buffers, in which ONNX is written, hold less than 2 GiB.
MAX_BYTES = 2**31 - 2**20


def import_onnx():
    """Return the package onnx; raise ``ImportError`` that says how to install it."""
    message = "export_onnx needs onnx: pip install 'sktwotower[onnx]'."
    for module in ("checker", "helper", "numpy_helper"):
        imported(f"onnx.{module}", message)
    return imported("onnx", message)


class Graph:
    """Operators of a model, each of which is called by its name in ONNX."""

    def __init__(self):
        self.onnx = import_onnx()
        self.inputs, self.nodes, self.constants, self.n_bytes = [], [], [], 0
        self.n_nodes = 0

    def input(self, name, dtype, size):
        """Add an input of shape (size,), a name or a number; return its name."""
        self.inputs.append(self._value(name, dtype, [size]))
        return name

    def __call__(self, operator, *inputs, **attributes):
        """Add an operator; return the name of its first output.

        ``inputs``: names of values, or arrays.
        """
        return self.outputs(1, operator, *inputs, **attributes)[0]

    def outputs(self, n, operator, *inputs, **attributes):
        """Add an operator; return the names of its n outputs."""
        names = [f"{operator}_{self.n_nodes}_{i}" for i in range(n)]
        self.n_nodes += 1
        inputs = [x if isinstance(x, str) else self._put(x) for x in inputs]
        node = self.onnx.helper.make_node(operator, inputs, names, **attributes)
        self.nodes.append(node)
        return names

    def stacked(self, n, dtype, build):
        """Add a loop; return the outputs of its n passes in one array (n, ...).

        ``n``: the name of a number, of shape (). ``build``: takes the name of the
        number of a pass, from 0 on, and returns that of its output, of ``dtype``.
        """
        outside, self.nodes = self.nodes, []
        number, going = (f"{name}_{self.n_nodes}" for name in ("pass", "going"))
        output, still = build(number), self("Identity", going)
        inputs = self._value(number, np.int64, []), self._value(going, bool, [])
        outputs = self._value(still, bool, []), self._value(output, dtype, None)
        body = self.onnx.helper.make_graph(self.nodes, number, inputs, outputs)
        self.nodes = outside
        return self("Loop", n, "", body=body)

    def cast(self, value, dtype):
        """Convert to a numpy dtype."""
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self("Cast", value, to=int(kind))

    def filled(self, value, size):
        """Return an array (size,) filled with a number; ``size``: a name, (1,)."""
        value = self.onnx.numpy_helper.from_array(np.asarray(value).reshape(1))
        return self("ConstantOfShape", size, value=value)

    def _value(self, name, dtype, shape):
        """Return the type of a value, as inputs and outputs declare it."""
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.onnx.helper.make_tensor_value_info(name, kind, shape)

    def _put(self, array):
        array = np.ascontiguousarray(array)
        self.n_bytes += array.nbytes
        name = f"constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def finish(self, vectors, n_columns, name, about):
        """Return the checked model as bytes.

        ``vectors``: the output (n, n_columns). ``about``: a dict of text, its metadata.
        """
        if self.n_bytes > MAX_BYTES:
            raise ValueError(
                f"An ONNX file holds at most 2 GiB, but these towers have "
                f"{self.n_bytes / 2**30:.1f} GiB. Export their vectors instead: "
                "export_vectors."
            )
        helper = self.onnx.helper
        self.nodes.append(helper.make_node("Identity", [vectors], ["vectors"]))
        output = self._value("vectors", np.float32, ["n", n_columns])
        graph = helper.make_graph(
            self.nodes, name, self.inputs, [output], self.constants
        )
        operators = [helper.make_opsetid("", OPERATORS)]
        model = helper.make_model(graph, opset_imports=operators, ir_version=FORMAT)
        helper.set_model_props(model, about)
        self.onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()
