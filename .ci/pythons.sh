# Which Pythons are tested, where the machine has them, and new environments of them.
# .ci/run reads this file.

# All that setup.py declares, the oldest first.
DECLARED_PYTHONS=(3.11 3.12 3.13)

# Print the path of a Python of version $1, if the machine has one that runs. A shim of
# pyenv has the right name, but fails if its version was not chosen.
find_python() {
    local version=$1
    local candidates=()
    mapfile -t candidates < <(type -ap "python$version")
    if type -P pyenv >/dev/null; then
        candidates+=("$(pyenv root)/versions/$version".*"/bin/python$version")
    fi
    local candidate
    for candidate in "${candidates[@]}"; do
        if "$candidate" - "$version" 2>/dev/null <<'PYTHON'; then
import sys
import ssl, venv  # a small Python of Debian lacks them

if sys.argv[1] != f"{sys.version_info.major}.{sys.version_info.minor}":
    sys.exit(1)
print(sys.executable)
PYTHON
            return 0
        fi
    done
    return 1
}

# Try to install Python $1 by apt-get, as Debian and Ubuntu do. It is no error if that
# fails, for example without a network.
install_python() {
    local packages=("python$1" "python$1-venv")
    local options=(-q -y -o Acquire::Retries=1 -o Acquire::http::Timeout=20)
    if ! type -P apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        return 0
    fi
    export DEBIAN_FRONTEND=noninteractive
    timeout 300 apt-get "${options[@]}" install "${packages[@]}" && return 0
    timeout 300 apt-get "${options[@]}" update || return 0
    timeout 300 apt-get "${options[@]}" install "${packages[@]}" || return 0
}

# Set the arrays `versions` and `pythons` to the declared Pythons that the machine has,
# and say which of them are missing.
find_pythons() {
    local newest=${DECLARED_PYTHONS[-1]}
    if ! find_python "$newest" >/dev/null; then
        install_python "$newest"
    fi
    versions=()
    pythons=()
    local version python
    for version in "${DECLARED_PYTHONS[@]}"; do
        if python=$(find_python "$version"); then
            versions+=("$version")
            pythons+=("$python")
        else
            echo "Python $version is missing: nothing is tested with it."
        fi
    done
    if [ "${#versions[@]}" = 0 ]; then
        echo "None of Python ${DECLARED_PYTHONS[*]} is on PATH or among pyenv's." >&2
        echo "Install one, for example by: apt-get install python3 python3-venv" >&2
        return 1
    fi
}

# Print what is run with each Python that was found.
print_plan() {
    local last=$((${#versions[@]} - 1))
    local i what
    for i in "${!versions[@]}"; do
        what="the fast tests"
        if [ "$i" = 0 ] || [ "$i" = "$last" ]; then
            what="README's second command"
        fi
        echo "Python ${versions[i]} (${pythons[i]}): $what"
    done
    if [ "$last" = 0 ]; then
        echo "The machine has one of the declared Pythons only: all is run with it."
    fi
}

# Make a virtual environment of the Python $1 in the folder $2. Without ensurepip, which
# Debian packages by itself, pip of another Python installs pip there.
new_environment() {
    local python=$1 folder=$2
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv "$folder"
        return
    fi
    "$python" -m venv --without-pip "$folder"
    local other
    for other in "$python" "${pythons[@]}"; do
        if "$other" -m pip --version >/dev/null 2>&1; then
            "$other" -m pip --python "$folder/bin/python" install -q pip
            return
        fi
        if "$other" -c 'import ensurepip' 2>/dev/null; then
            "$other" -m venv "$folder/other"
            "$folder/other/bin/pip" --python "$folder/bin/python" install -q pip
            rm -r "$folder/other"
            return
        fi
    done
    echo "$python has neither ensurepip nor pip, and no other Python has." >&2
    echo "On Debian: apt-get install $(basename "$python")-venv" >&2
    return 1
}
