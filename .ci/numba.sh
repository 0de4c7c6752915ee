# What numba has compiled, kept between runs. The functions of pynndescent, which builds
# neighbor graphs, compile for a minute and a half of one core in a new environment; with
# what is kept, for less than half a minute.
#
# numba writes what it has compiled next to the modules of pynndescent, and reads it if
# these have the same time. .ci/run and the workflow read this file.

# Where it is kept.
NUMBA_KEPT="${NUMBA_KEPT:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/sktwotower/numba}"

# Print the folder of pynndescent in the environment that is active, and the one for its
# versions among what is kept.
numba_folders() {
    python - "$NUMBA_KEPT" <<'PYTHON'
import sys
from importlib import metadata, util
from pathlib import Path

versions = [metadata.version(name) for name in ("pynndescent", "numba", "numpy")]
name = "-".join([f"{sys.version_info.major}.{sys.version_info.minor}", *versions])
print(Path(util.find_spec("pynndescent").origin).parent)
print(Path(sys.argv[1], name))
PYTHON
}

# Let the environment have what is kept.
restore_compiled() {
    local folders
    mapfile -t folders < <(numba_folders)
    find "${folders[0]}" -name '*.py' -exec touch -d 2020-01-01 {} +
    mkdir -p "${folders[0]}/__pycache__" "${folders[1]}"
    find "${folders[1]}" -name '*.nb?' -exec cp {} "${folders[0]}/__pycache__" \;
}

# Keep what the environment has compiled.
keep_compiled() {
    local folders
    mapfile -t folders < <(numba_folders)
    find "${folders[0]}/__pycache__" -name '*.nb?' -exec cp {} "${folders[1]}" \;
}
