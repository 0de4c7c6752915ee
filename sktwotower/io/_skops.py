"""Transformers and other estimators of scikit-learn, or of the user, through skops.

Input: an estimator, or the bytes that skops wrote of it.
Output: the other one of both; only listed types are made.
"""

import io
from zipfile import ZIP_STORED, ZipFile

import numpy as np
from joblib import Memory
from scipy import sparse
from sklearn.base import BaseEstimator

from sktwotower._records import cannot_write, refuse, require
from sktwotower._records._checks import refusing, values_of
from sktwotower._records._kinds import Codec, Kind
from sktwotower._records._registry import add_codec, kind_of, nested_types
from sktwotower._tables._messages import imported

# Parts of scikit-learn's estimators that some versions of skops do not know: lists.
HARMLESS = ["sklearn.compose._column_transformer._RemainderColsList"]


def is_foreign(value):
    """Return whether a value is an estimator of another package."""
    if isinstance(value, type):
        return False
    if isinstance(value, BaseEstimator):
        return True
    return hasattr(value, "fit") and hasattr(value, "get_params")


def _skops(place):
    """Return the module of skops; raise ``ImportError`` if it is not installed."""
    return imported(
        "skops.io",
        f"{place} is an estimator of another package. Files hold such ones in the "
        "format of skops: pip install 'sktwotower[io]'.",
    )


def _write(value, writer, place):
    """Return what JSON holds for an estimator; its bytes are a member."""
    skops = _skops(place)
    for inner in _objects_in(value):
        reason = _files_of(inner)
        if reason is not None:
            raise cannot_write(value, place, f" ({reason})")
    try:
        data = skops.dumps(value)
    except Exception as error:  # of skops and of the estimator
        raise cannot_write(value, place, f", which skops refuses: {error}") from None
    return {"member": writer.file.add_bytes(data)}


def _read(spec, reader, place):
    """Return the estimator of a member, if all its types are trusted."""
    (member,) = values_of(spec, ["member"], place, "skops")
    skops = _skops(place)
    data = reader.file.bytes_of(member)
    _check_archive(data, place)
    with refusing(place, "an estimator that skops can read"):
        made = skops.loads(data, trusted=trusted_types(reader))
    _check_made(made, place)
    return made


def trusted_types(reader):
    """Return the types that skops may make beyond those it trusts itself."""
    return [*reader.trusted, *HARMLESS, *nested_types()]


def check_trusted(reader):
    """Raise ``ValueError`` that lists the types of a file that are not trusted."""
    unknown = untrusted_types(reader)
    if unknown:
        raise ValueError(
            f"The file holds types that are not trusted: {', '.join(unknown)}. If you "
            "know them and the origin of the file, name them: "
            f"sktwotower.io.load(path, trusted={unknown})."
        )


def untrusted_types(reader):
    """Return the names of the types of a file that are not trusted, sorted."""
    unknown = set()
    for name in reader.file.members:
        if name.startswith("objects/"):
            skops = _skops("A part of the file")
            data = reader.file.bytes_of(name)
            _check_archive(data, name)
            with refusing(name, "an estimator that skops can read"):
                unknown.update(skops.get_untrusted_types(data=data))
    for trusted in trusted_types(reader):
        if isinstance(trusted, type):
            trusted = f"{trusted.__module__}.{trusted.__qualname__}"
        unknown.discard(trusted)
    return sorted(unknown)


def _check_archive(data, place):
    """Refuse members that are compressed or occur twice."""
    with refusing(place, "a zip file"), ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
    for info in infos:
        fits = info.compress_type == ZIP_STORED and info.file_size == info.compress_size
        require(fits, place, "a zip file without compressed members", info.filename)
    fits = len({info.filename for info in infos}) == len(infos)
    require(fits, place, "a zip file without members that occur twice")


def _check_made(made, place):
    """Refuse, at any depth, what is not what it says, and what uses other files.

    skops makes sparse matrices and vocabularies of their parts as they are.
    """
    for inner in _objects_in(made):
        if sparse.issparse(inner):
            with refusing(place, "an estimator with valid sparse matrices"):
                if not hasattr(inner, "check_format"):  # conversion checks it
                    inner = inner.tocsr()
                inner.check_format(full_check=True)
        reason = _files_of(inner)
        if reason is not None:
            refuse(place, f"an estimator that uses no other files: {reason}")
        if hasattr(inner, "__dict__") and not isinstance(inner, type):
            kind = kind_of(inner)
            if isinstance(kind, Kind):
                kind.check_object(inner, place)


def _objects_in(value):
    """Yield a value and all that it holds, at any depth."""
    waiting = [value]
    known = {}
    while waiting:
        value = waiting.pop()
        if id(value) in known:
            continue
        known[id(value)] = value  # kept: another one must not get its address
        yield value
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            waiting += value
        elif isinstance(value, np.ndarray) and value.dtype == object:
            waiting += value.ravel().tolist()
        if hasattr(value, "__dict__") and not isinstance(value, type):
            waiting += vars(value).values()


def _files_of(value):
    """Return which attribute lets an object use files, or None."""
    state = {}
    if not isinstance(value, type):
        state = getattr(value, "__dict__", {})
    if isinstance(value, Memory) or state.get("memory") is not None:
        return f"memory of {type(value).__name__} is a folder of pickles"
    source = state.get("input")
    if isinstance(source, str) and source in ("file", "filename"):
        return f"input={source!r} of {type(value).__name__} reads what cells name"
    return None


add_codec(Codec(_read, _write, "skops", is_foreign))
