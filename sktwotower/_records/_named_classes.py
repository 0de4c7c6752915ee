"""Classes of the user, of which a file holds the name and not the code.

Input: the name of a class in a file, and what the caller of `load` trusts.
Output: the class, or None.
"""

from pkgutil import resolve_name


def name_of_class(cls):
    """Return the name of a class as `sktwotower.io.load` takes it."""
    return f"{cls.__module__}.{cls.__qualname__}"


def trusted_class(module, qualname, trusted, what, otherwise):
    """Return what a name stands for, or None if it is not trusted.

    Nothing is imported unless it is trusted.

    Parameters
    ----------
    module, qualname : str
        Where the class is.
    trusted : list of str and type
        As in `sktwotower.io.load`.
    what : str
        What errors call the class, such as "loss".
    otherwise : str
        What follows if it is left out of ``trusted``, for errors.
    """
    name = f"{module}.{qualname}"
    for each in trusted:
        if isinstance(each, type) and name_of_class(each) == name:
            return each
    if name not in trusted:
        return None
    try:
        return resolve_name(f"{module}:{qualname}")
    except Exception as error:  # of the module's code
        raise ValueError(
            f"The {what} {name}, which trusted= names, cannot be imported: "
            f"{type(error).__name__}: {error}. Pass the class itself, "
            f"trusted=[{qualname.rpartition('.')[2]}], or leave it out: then "
            f"{otherwise}."
        ) from error
