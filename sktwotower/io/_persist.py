"""How a model is written to a file, and read from it.

Input: a fitted estimator, or a path.
Output: a file, or the estimator.
"""

import sktwotower

from . import _registry
from ._atomic import replaced_file
from ._container import ReadFile, WrittenFile
from ._values import Reader, Writer
from ._versions import check_versions, versions

__all__ = ["dump", "load"]

FORMAT, FORMAT_VERSION = "sktwotower model", 1


def dump(model, path, *, vector_dtype="float32"):
    with replaced_file(path) as file, WrittenFile(file) as written:
        spec = Writer(written, _registry, vector_dtype).write(model, "model")
        meta = {"format": FORMAT, "format_version": FORMAT_VERSION}
        written.finish(meta | {"versions": versions(), "model": spec})


def load(path, *, trusted=(), towers=None, mmap=False, verify=True):
    with ReadFile(path, mmap, verify) as file:
        check_versions(file.meta, FORMAT_VERSION)
        return Reader(file, _registry, trusted, towers).read(file.meta["model"], "model")
