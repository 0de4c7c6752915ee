"""Functions that numba compiles, and when that pays.

Input: a function of arrays.
Output: the same function, compiled when it is first called.
"""

# From so many events on, a fit takes long enough that compiled functions pay: importing
# numba takes half a second, and compiling one of them about as long, once on a machine.
COMPILED_FROM = 100_000


def compiled(function):
    """Return a function compiled by numba, kept on disk where a folder can be written.

    Sums may be taken in any order, and products be added without a rounding between.
    """
    from numba import njit  # it is imported by the fits that need it

    options = {"fastmath": {"reassoc", "contract"}, "nogil": True}
    try:
        return njit(function, cache=True, **options)
    except RuntimeError:  # neither the package's folder nor the home is writable
        return njit(function, **options)
