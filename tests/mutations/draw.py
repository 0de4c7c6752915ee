"""Draw small faults of the package, one an expression, and write them to a list.

Call: ``python -m tests.mutations.draw``. It writes ``list.jsonl``: the file, the line
as it is, and the line with a fault. Faults are comparisons and sums turned around,
another bound, the other axis, a minimum in place of a maximum, a condition less.
"""

import ast
import copy
import json
import random
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("list.jsonl")
N_FAULTS = 200
# Rooms in which a fault changes what a user gets, and not only what a user reads.
ROOMS = (
    "_records",
    "_tables",
    "baselines",
    "features",
    "inspection",
    "io",
    "item_weights",
    "metrics",
    "model_selection",
    "neighbors",
    "recommender",
    "retrieval",
    "runtime",
    "towers",
    "two_stage",
)
COMPARED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
NAMES = {
    "max": "min",
    "min": "max",
    "maximum": "minimum",
    "minimum": "maximum",
    "argmax": "argmin",
    "flatnonzero": "nonzero",
    "cumsum": "cumprod",
    "any": "all",
    "all": "any",
}


def changed(node):
    """Return a faulty copy of an expression, or None if there is none."""
    other = copy.deepcopy(node)
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
        other.ops[0] = COMPARED[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp) and type(node.op) in COMPUTED:
        if isinstance(node.left, ast.Constant) and isinstance(node.left.value, str):
            return None
        other.op = COMPUTED[type(node.op)]()
    elif isinstance(node, ast.BoolOp):
        other.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return other.operand
    elif isinstance(node, ast.Attribute) and node.attr in NAMES:
        other.attr = NAMES[node.attr]
    elif isinstance(node, ast.Name) and node.id in NAMES:
        other.id = NAMES[node.id]
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        other.value = node.value + 1
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        other.value = not node.value
    else:
        return None
    return other


def faults_of(path):
    """Return the faults of a file: those of expressions that stand on one line."""
    text = path.read_text("utf-8")
    lines, tree = text.splitlines(), ast.parse(text)
    faults = []
    in_functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    for node in {id(n): n for f in in_functions for n in ast.walk(f)}.values():
        if not hasattr(node, "lineno") or node.lineno != node.end_lineno:
            continue
        line, other = lines[node.lineno - 1], changed(node)
        if other is None or lines.count(line) > 1:
            continue
        faulty = (
            line[: node.col_offset] + ast.unparse(other) + line[node.end_col_offset :]
        )
        if faulty != line:
            name = path.relative_to(ROOT).as_posix()
            faults.append({"file": name, "line": line, "faulty": faulty})
    return faults


def main():
    """Draw at most three faults of a file, and so many of all."""
    rng = random.Random(0)
    drawn = []
    for room in ROOMS:
        for path in sorted((ROOT / "sktwotower" / room).rglob("*.py")):
            faults = faults_of(path)
            drawn += rng.sample(faults, min(3, len(faults)))
    rng.shuffle(drawn)
    kept = sorted(drawn[:N_FAULTS], key=lambda fault: fault["file"])
    LIST.write_text("".join(json.dumps(fault) + "\n" for fault in kept), "utf-8")
    print(f"{len(kept)} faults of {len({fault['file'] for fault in kept})} files")


if __name__ == "__main__":
    main()
