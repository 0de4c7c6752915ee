"""Links of names that Sphinx alone does not find.

Input: names in single backticks, such as `retrieval_report` on a page of another
module, `sklearn.compose.ColumnTransformer` or `GridSearchCV`.
Output: links to the page of ours, or to the page of the other package. Addresses are
composed, so that building the pages needs no network.
"""

import re

from docutils import nodes

ADDRESSES = {
    "sklearn": "https://scikit-learn.org/stable/modules/generated/{}.html",
    "matplotlib": "https://matplotlib.org/stable/api/_as_gen/{}.html",
}
SHORT = {
    "ColumnTransformer": "sklearn.compose.ColumnTransformer",
    "GridSearchCV": "sklearn.model_selection.GridSearchCV",
    "ShuffleSplit": "sklearn.model_selection.ShuffleSplit",
    "clone": "sklearn.base.clone",
}
# Methods that several classes have: the page of the first that has it.
OWNERS = ["sktwotower.TwoTowerRecommender", "sktwotower.TowerVectorizer"]


def address(name):
    """Return the address of a name of another package, None for any other name."""
    full = re.sub(r"\._\w+", "", SHORT.get(name, name))  # without private modules
    pattern = ADDRESSES.get(full.partition(".")[0])
    return pattern.format(full) if pattern and "." in full else None


def own_name(name, objects):
    """Return the full name of an object or method of ours; None if there is none."""
    found = [f"{owner}.{name}" for owner in OWNERS if f"{owner}.{name}" in objects]
    if name[:1].isupper() and "." in name:  # Class.method
        found += [full for full in objects if full.endswith(f".{name}")]
    tops = [full for full in objects if full.endswith(f".{name}") and is_top(full)]
    return [*tops, *found, None][0]


def is_top(full):
    """Return whether a full name is that of a class or function."""
    return full.rpartition(".")[0].rpartition(".")[2].islower()


def resolve(app, env, node, content):
    """Return the link of a name that was not found."""
    if node.get("refdomain") != "py":
        return None
    name, domain = node["reftarget"], env.get_domain("py")
    if url := address(name):
        return nodes.reference("", "", content, refuri=url, internal=False)
    if full := own_name(name, domain.objects):
        return domain.resolve_xref(
            env, node["refdoc"], app.builder, "obj", full, node, content
        )
    return None


def setup(app):
    """Ask when Sphinx has found nothing."""
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
