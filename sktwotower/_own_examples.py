"""Examples of inherited methods, rewritten for the class that inherits them.

Input: a class, an expression that makes one in an example, and what examples print.
Output: the same class, whose inherited methods have docstrings of their own.
"""

import functools
import inspect
import re
import textwrap
from types import FunctionType

__all__ = ["own_examples"]

# A line with a prompt, its indentation, and the lines that it prints.
PROMPT = r"(?:>>>|\.\.\.)"
PRINTED = re.compile(
    rf"^(( *){PROMPT} .*\n)((?:(?! *{PROMPT}) *\S.*\n)+)", flags=re.MULTILINE
)


def own_examples(made, outputs=None):
    """Return a decorator that shows a class in the examples of its inherited methods.

    A method inherited from another class is copied, with a docstring in which the
    examples are those of this class. scikit-learn, pickle and ``inspect`` see a method
    that the class defines, and pytest runs the examples in the class's own module.

    Parameters
    ----------
    made : str
        Replaces the expression that makes an object of a class with the same ending
        (Recommender, Split), with ``.fit(X)`` if it is followed by that.
    outputs : dict of str to str, default=None
        What the example of a method prints: one block for each output, with a blank
        line between blocks; or, if it contains ``>>>``, the whole example. Outputs of
        other methods are the same as those of the base class.
    """
    outputs = outputs or {}

    def decorate(cls):
        bases = [vars(base) for base in reversed(cls.__mro__[1:])]
        inherited = {name: method for base in bases for name, method in base.items()}
        for name in inherited.keys() - vars(cls).keys():
            method = inherited[name]
            if inspect.isfunction(method) and ">>> " in (method.__doc__ or ""):
                doc = _own_doc(method.__doc__, cls.__name__, made, outputs.get(name))
                setattr(cls, name, _copied(method, cls, doc))
        return cls

    return decorate


def _copied(method, cls, doc):
    """Return a copy of a function as a method of another class."""
    own = FunctionType(
        method.__code__,
        method.__globals__,
        method.__name__,
        method.__defaults__,
        method.__closure__,
    )
    functools.update_wrapper(own, method)
    del own.__wrapped__  # a wrapper it is not
    own.__kwdefaults__ = method.__kwdefaults__
    own.__module__, own.__doc__ = cls.__module__, doc
    own.__qualname__ = f"{cls.__qualname__}.{method.__name__}"
    return own


def _own_doc(doc, name, made, output):
    """Return a docstring with the examples of a class."""
    text, title, examples = doc.partition("Examples\n")
    if output is not None and ">>> " in output:
        indent = re.search(r"^( *)-+$", examples, re.MULTILINE)[1]
        rule = f"{indent}{'-' * len('Examples')}\n"
        return text + title + rule + _indented(output, indent) + indent
    ending = re.search("[A-Z][a-z]+$", name)[0]
    named = re.compile(rf"\b[A-Z]\w*{ending}\b(\([^()]*\)(?:\.fit\(X\))?)?")
    imported = ", ".join(sorted(set(re.findall(rf"\b[A-Z]\w*{ending}\b", made))))
    examples = named.sub(lambda match: made if match[1] else imported, examples)
    blocks = iter(re.split(r"\n *\n", output.strip("\n")) if output else [])

    def reprinted(match):
        prompt, indent, printed = match.groups()
        block = next(blocks, None)
        return prompt + (printed if block is None else _indented(block, indent))

    return text + title + PRINTED.sub(reprinted, examples)


def _indented(block, indent):
    return textwrap.indent(textwrap.dedent(block).strip("\n") + "\n", indent)
