"""Cases of one promise that are one test.

    @for_each("text, length", [("", 0), ("tea", 3)])
    def test_lengths(text, length):
        assert len(text) == length

It is written as `pytest.mark.parametrize` is. pytest collects, sets up and reports one
item instead of one for each case. All cases are run; what fails says in which.

Cases share the fixtures of the test: where they write into one, or take part of a
second each, `pytest.mark.parametrize` remains.
"""

import functools
import inspect
import reprlib

import pytest

SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 80
FAILURES = (Exception, pytest.fail.Exception)


def for_each(names, cases, ids=None):
    """Let a test call its function for each case.

    ``names``: arguments of the function, in one text or a list. ``cases``: a value for
    each, or a tuple if there are several names. ``ids``: what to call the cases in
    messages, in place of their values.
    """
    names = names.replace(" ", "").split(",") if isinstance(names, str) else [*names]
    named = [dict(zip(names, values_of(case, names), strict=True)) for case in cases]
    labels = labels_of(named, ids)
    assert named, "there are no cases"

    def decorate(test):
        @functools.wraps(test)
        def of_all(**fixtures):
            failed = []
            for values, label in zip(named, labels, strict=True):
                try:
                    test(**values, **fixtures)
                except FAILURES as error:
                    error.add_note(f"in the case {label}")
                    failed.append(error)
            report(failed, len(named))

        of_all.__signature__ = signature_without(names, test)
        return of_all

    return decorate


def report(failed, n_cases):
    """Raise what has failed, one error or a group of them."""
    if len(failed) == 1:
        raise failed[0]
    if failed:
        message = f"{len(failed)} of {n_cases} cases"
        raise BaseExceptionGroup(message, failed)


def values_of(case, names):
    """Return the value of each name in a case."""
    if isinstance(case, type(pytest.param())):
        assert not case.marks, "a case with marks is a test of its own: parametrize"
        return case.values
    return [case] if len(names) == 1 else case


def labels_of(named, ids):
    """Return a text for each case."""
    if callable(ids):
        ids = [", ".join(str(ids(v)) for v in values.values()) for values in named]
    if ids is None:
        ids = [
            ", ".join(f"{name}={SHORT.repr(v)}" for name, v in values.items())
            for values in named
        ]
    ids = [str(label) for label in ids]
    assert len(ids) == len(named), "ids are one for each case"
    return ids


def signature_without(names, test):
    """Return the signature that pytest sees: fixtures only."""
    signature = inspect.signature(test)
    parameters = dict(signature.parameters)
    for name in names:
        del parameters[name]
    return signature.replace(parameters=parameters.values())
