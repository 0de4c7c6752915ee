"""Which Pythons are declared, and that .ci/run runs the tests with each of them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BASH = shutil.which("bash")
needs_bash = pytest.mark.skipif(BASH is None, reason="needs bash")


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.fixture
def declared():
    """Return the versions of the classifiers, such as "3.11", the oldest first."""
    return sorted(re.findall(r"Python :: (3\.\d+)", read("setup.py")), key=minor)


def minor(version):
    return int(version.removeprefix("3."))


def test_the_declared_pythons_are_consecutive(declared):
    oldest, newest = minor(declared[0]), minor(declared[-1])
    assert declared == [f"3.{number}" for number in range(oldest, newest + 1)]
    assert f'python_requires=">={declared[0]}"' in read("setup.py")


def test_readme_names_the_declared_pythons(declared):
    readme = read("README.md")
    assert f"![Python {declared[0]} to {declared[-1]}]" in readme
    assert f"/badge/python-{declared[0]}_to_{declared[-1]}-" in readme


def test_the_linter_knows_the_oldest_python(declared):
    target = re.search(r'^target-version = "py3(\d+)"$', read("pyproject.toml"), re.M)
    assert f"3.{target[1]}" == declared[0]


def test_the_workflow_has_each_declared_python(declared):
    workflow = read(".github/workflows/tests.yml")
    (listed,) = re.findall(r"python-version: \|\n((?: +3\.\d+\n)+)", workflow)
    assert sorted(listed.split(), key=minor) == declared


def test_other_jobs_and_images_have_a_declared_python(declared):
    found = re.findall(r"^FROM python:(3\.\d+)", read("examples/Dockerfile"), re.M)
    for name in ("docs", "site", "tests"):
        text = read(f".github/workflows/{name}.yml")
        found += re.findall(r'python-version: "(.+)"', text)
    assert len(found) == 4 and set(found) <= set(declared)


def test_the_workflows_run_each_part_of_ci():
    parts = re.search(r"^PARTS=\((.+)\)$", read(".ci/run"), re.M)[1].split()
    workflow = read(".github/workflows/tests.yml")
    of_tests = re.search(r"^ +part: \[(.+)\]$", workflow, re.M)[1].split(", ")
    assert {*of_tests, "docs"} == set(parts)
    assert "run: .ci/run docs\n" in read(".github/workflows/docs.yml")


def test_ci_knows_the_declared_pythons(declared):
    line = re.search(r"^DECLARED_PYTHONS=\((.+)\)$", read(".ci/pythons.sh"), re.M)
    assert line[1].split() == declared


def write_script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{BASH}\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def add_python(folder, version):
    """Write what runs as a Python does that prints its path."""
    write_script(folder / f"python{version}", 'echo "$0"')


def plan(folder):
    """Return what .ci/run would do if PATH had this folder only."""
    script = "set -euo pipefail; . .ci/pythons.sh; find_pythons; print_plan"
    env = {"PATH": str(folder)}
    return subprocess.run(
        [BASH, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True
    )


@needs_bash
def test_the_oldest_and_the_newest_python_run_the_readmes_command(tmp_path):
    for version in ("3.11", "3.12", "3.13"):
        add_python(tmp_path, version)
    assert plan(tmp_path).stdout.splitlines() == [
        f"Python 3.11 ({tmp_path}/python3.11): README's second command",
        f"Python 3.12 ({tmp_path}/python3.12): the fast tests",
        f"Python 3.13 ({tmp_path}/python3.13): README's second command",
    ]


@needs_bash
def test_pyenv_has_a_python_whose_shim_fails(tmp_path):
    add_python(tmp_path, "3.11")
    for version in ("3.12", "3.13"):
        write_script(tmp_path / f"python{version}", "exit 127")
    write_script(tmp_path / "pyenv", f'[ "$1" = root ] && echo "{tmp_path}/its root"')
    of_pyenv = tmp_path / "its root" / "versions" / "3.13.2" / "bin"
    add_python(of_pyenv, "3.13")
    assert plan(tmp_path).stdout.splitlines() == [
        "Python 3.12 is missing: nothing is tested with it.",
        f"Python 3.11 ({tmp_path}/python3.11): README's second command",
        f"Python 3.13 ({of_pyenv}/python3.13): README's second command",
    ]


@needs_bash
def test_one_python_or_none(tmp_path):
    none = plan(tmp_path)
    assert none.returncode == 1
    assert "None of Python 3.11 3.12 3.13 is on PATH or among pyenv's" in none.stderr
    add_python(tmp_path, "3.12")
    assert plan(tmp_path).stdout.splitlines() == [
        "Python 3.11 is missing: nothing is tested with it.",
        "Python 3.13 is missing: nothing is tested with it.",
        f"Python 3.12 ({tmp_path}/python3.12): README's second command",
        "The machine has one of the declared Pythons only: all is run with it.",
    ]


@needs_bash
@pytest.mark.parametrize("user", [0, 1000])
@pytest.mark.parametrize("network", [True, False])
def test_only_root_installs_the_newest_python_if_it_can(tmp_path, user, network):
    folder = tmp_path / "bin"
    add_python(folder, "3.11")
    add_python(tmp_path / "archive", "3.13")
    move = f"{shutil.which('mv')} {tmp_path}/archive/python3.13 {folder}"
    install = f'[[ "$*" == *" install python3.13 python3.13-venv" ]] && {move}'
    write_script(folder / "apt-get", install if network else "exit 100")
    write_script(folder / "id", f"echo {user}")
    write_script(folder / "timeout", 'shift\n"$@"')
    done = plan(folder)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    if user == 0 and network:
        assert last == f"Python 3.13 ({folder}/python3.13): README's second command"
    else:
        assert "Python 3.13 is missing: nothing is tested with it." in done.stdout
        assert last.startswith("The machine has one of the declared Pythons only")


# What a program of an environment does here: it notes how it was called.
PROGRAM = """
name=$(basename "$0")
echo "$(cat "$VIRTUAL_ENV/python") $name $*" >>"$TOOLS/calls"
if [ "$name" = "$FAILS" ]; then
    exit 3
elif [ "$name" = sktwotower ]; then
    mkdir sktwotower_output
    echo 1 | tee sktwotower_output/model.sktt >sktwotower_output/report.png
elif [ "$1" = - ]; then
    mkdir -p "$TOOLS/pynndescent/__pycache__"
    printf '%s\n' "$TOOLS/pynndescent" "$2/versions"
fi
"""
PROGRAMS = [
    "codespell",
    "jupyter",
    "pip",
    "pytest",
    "python",
    "ruff",
    "sktwotower",
    "sphinx-build",
]
# What a Python does here: it prints its path, or makes an environment. The one that is
# called $LACKS_PIP has neither ensurepip nor pip; that of others is noted.
PYTHON = """
name=$(basename "$0")
folder=${!#}
if [ "$1" = - ]; then
    echo "$0"
elif [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$folder/bin"
    cp "$TOOLS"/programs/* "$folder/bin"
    echo "$name" >"$folder/python"
    echo "export VIRTUAL_ENV=$folder" >"$folder/bin/activate"
    cat "$TOOLS/activate" >>"$folder/bin/activate"
elif [ "$name" = "$LACKS_PIP" ]; then
    exit 1
elif [ "$1 $2 $3" = "-m pip --python" ]; then
    served=$(cat "$(dirname "$4")/../python")
    echo "$name for $served: ${*:5}" >>"$TOOLS/calls"
fi
"""
ACTIVATE = """
PATH_BEFORE=$PATH
PATH=$VIRTUAL_ENV/bin:$PATH
deactivate() {
    PATH=$PATH_BEFORE
    unset VIRTUAL_ENV
}
"""


@pytest.fixture
def run_ci(tmp_path):
    """Return a function that runs .ci/run where no Python and no program is real."""
    for name in PROGRAMS:
        write_script(tmp_path / "programs" / name, PROGRAM)
    for version in ("3.11", "3.12", "3.13"):
        write_script(tmp_path / "bin" / f"python{version}", PYTHON)
    (tmp_path / "activate").write_text(ACTIVATE)
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def run(*parts, fails="", lacks_pip=""):
        env = {
            "FAILS": fails,
            "LACKS_PIP": lacks_pip,
            "NUMBA_KEPT": str(tmp_path / "kept"),
            "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
            "TMPDIR": str(temporary),
            "TOOLS": str(tmp_path),
        }
        command = [BASH, ".ci/run", *parts]
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True
        )
        assert list(temporary.iterdir()) == []  # no environment is left
        return done, (tmp_path / "calls").read_text().splitlines()

    return run


def calls_of(python, calls):
    """Return the calls in environments of a Python."""
    start = f"{python} "
    return [call.removeprefix(start) for call in calls if call.startswith(start)]


@needs_bash
@pytest.mark.slow
def test_ci_runs_the_readmes_command_on_the_oldest_and_the_newest(run_ci):
    done, calls = run_ci("style", "tests", "pythons")
    assert done.returncode == 0, done.stderr
    command = re.search(r"^pip install .* && pytest$", read("README.md"), re.M)
    install, test = command[0].replace("'", "").split(" && ")
    oldest = calls_of("python3.11", calls)
    place = oldest.index(install)
    assert "ruff check ." in oldest[:place]
    assert oldest[place + 1] == f"{test} "
    assert calls_of("python3.12", calls) == [
        "pip install -q .[test]",
        "pytest -m not slow",
    ]
    newest = calls_of("python3.13", calls)
    assert newest[newest.index(install) + 1] == f"{test} "
    for step in ("the main job", "Python 3.13: README's second command"):
        assert re.search(rf"^ +\d+ s  {step}$", done.stdout, re.M)
    assert "Failed" not in done.stdout


@needs_bash
@pytest.mark.slow
def test_ci_runs_all_parts_and_ends_with_the_first_step_that_fails(run_ci):
    done, calls = run_ci(fails="sphinx-build")
    assert done.returncode != 0
    assert done.stdout.splitlines()[-1] == "Failed: the pages of the site"
    assert " sphinx-build " in calls[-1]
    assert [call for call in calls if call.startswith("python3.13 pytest")]


@needs_bash
@pytest.mark.slow
def test_a_part_that_does_not_exist_is_named(run_ci):
    run_ci("style")
    done, calls = run_ci("style", "tets")
    assert done.returncode == 2 and "tets is not a part. There are: " in done.stderr
    assert len(calls) == 4  # of the first run


@needs_bash
@pytest.mark.slow
def test_a_python_without_ensurepip_gets_pip_from_another(run_ci):
    done, calls = run_ci("pythons", lacks_pip="python3.13")
    assert done.returncode == 0, done.stderr
    assert "python3.11 for python3.13: install -q pip" in calls
