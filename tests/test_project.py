"""Files of the project that must agree with one another."""

import ast
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import sktwotower
from tests.versions import number

ROOT = Path(__file__).parents[1]


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def metadata():
    """Return the literal arguments of ``setup`` in setup.py."""
    calls = [
        n for n in ast.walk(ast.parse(read("setup.py"))) if isinstance(n, ast.Call)
    ]
    (call,) = [node for node in calls if getattr(node.func, "id", "") == "setup"]
    wanted = {"install_requires", "extras_require"}
    return {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg in wanted}


def bounds(requirements):
    """Return the lowest version of each package."""
    return {name: low for name, low, _ in map(parsed, requirements)}


def parsed(requirement):
    """Return the name, the lowest version and the first one that is not allowed."""
    name, _, versions = requirement.partition(">=")
    lowest, _, end = versions.partition(",<")
    return name, lowest, end or None


def pins(file="lowest"):
    text = read(f".ci/{file}.txt")
    return dict(re.findall(r"^([\w-]+)==(\S+)$", text, re.MULTILINE))


def test_the_lowest_versions_are_those_that_setup_allows():
    setup = metadata()
    lowest = bounds(setup["install_requires"] + setup["extras_require"]["test"])
    assert set(pins()) == set(lowest)
    for package, version in pins().items():
        assert f"{version}.".startswith(f"{lowest[package]}."), package


def test_the_newest_versions_are_allowed_and_the_end_is_near():
    newest = pins("newest")
    assert set(newest) == set(pins())
    for requirement in metadata()["install_requires"]:
        name, lowest, end = parsed(requirement)
        assert number(lowest) <= number(newest[name]) < number(end), requirement
        # the end is one step above what was run
        digits = number(end)
        below = (*digits[:-1], digits[-1] - 1)
        assert number(newest[name])[: len(digits)] == below, requirement


def test_extras_agree_on_the_lowest_versions():
    extras = metadata()["extras_require"]
    found = {}
    for requirement in {r for name in extras if name != "dev" for r in extras[name]}:
        package, version, _ = parsed(requirement)
        found.setdefault(package, []).append(version)
    assert {p: versions for p, versions in found.items() if len(versions) > 1} == {}


def test_ci_runs_the_readmes_test_command_and_the_lowest_versions():
    command = re.findall(
        r"^pip install .*&& pytest.*$", read("README.md"), re.MULTILINE
    )
    steps = map(str.strip, read(".ci/run").splitlines())
    assert len(command) == 1 and command[0] in steps
    assert ".ci/lowest.txt" in read(".ci/run")


def test_the_package_index_gets_links_with_whole_addresses(monkeypatch):
    given = {}
    tools = SimpleNamespace(
        find_packages=lambda **options: [],
        setup=lambda **arguments: given.update(arguments),
    )
    monkeypatch.setitem(sys.modules, "setuptools", tools)
    runpy.run_path(str(ROOT / "setup.py"))
    text, url = given["long_description"], given["url"]
    links = re.findall(r"\]\(([^)]+)\)|\bsrc(?:set)?=\"([^\"]+)\"", text)
    links = [link or picture for link, picture in links]
    assert all(link.startswith("https://") for link in links)
    assert f"{url}/blob/main/docs/guide/start.md" in links
    for name in ("two_towers", "narrow/two_towers", "results_light"):
        assert f"{url}/raw/main/docs/_static/{name}.svg" in links


def test_linters_have_one_version():
    dev = dict(r.split("==") for r in metadata()["extras_require"]["dev"] if "==" in r)
    assert set(dev) == {"codespell", "ruff"}
    hooks = read(".pre-commit-config.yaml")
    for package, version in dev.items():
        assert re.search(rf"/{package}\S*\n +rev: v{re.escape(version)}\n", hooks)
        assert f"{package}=={version}" in read(".ci/run")


def test_the_citation_is_of_this_version():
    assert f"\nversion: {sktwotower.__version__}\n" in read("CITATION.cff")


def test_the_changelog_has_all_versions():
    headings = re.findall(r"^## (\S+),", read("CHANGELOG.md"), re.MULTILINE)
    added = re.findall(r'^\["(.+?)"\]$', read("docs/added_in.toml"), re.MULTILINE)
    assert sktwotower.__version__ in headings
    assert set(added) <= set(headings)


def test_the_citation_of_readme_is_that_of_the_file():
    citation = read("CITATION.cff")
    said = dict(re.findall(r"(\w+) = \{+([^{}]+)\}+", read("README.md")))
    for key in ("title", "version", "url"):
        line = rf'^{key}: "?{re.escape(said[key])}"?$'
        assert re.search(line, citation, re.MULTILINE)
    assert f"- name: {said['author']}" in citation
    assert said["year"] in read("LICENSE")


def test_the_paper_is_short_and_has_its_references():
    paper, entries = read("paper/paper.md"), read("paper/paper.bib")
    text = paper.split("---\n", 2)[2].partition("# References")[0]
    assert len(text.split()) <= 1000
    cited = set(re.findall(r"@([a-z]+\d{4})", text))
    assert cited == set(re.findall(r"^@\w+\{(\w+),$", entries, re.MULTILINE))


def test_a_release_is_refused_where_the_versions_differ(tmp_path):
    files = [".ci/release", "sktwotower/__init__.py", "CITATION.cff", "README.md"]
    for name in [*files, "docs/guide/compare.md", "CHANGELOG.md"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@y"]
    for call in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *call], cwd=tmp_path, check=True)

    def said(version):
        call = [tmp_path / ".ci" / "release", version]
        done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1
        return done.stderr

    assert "__init__.py has another version" in said("99.0.0")
    version = sktwotower.__version__
    if "Not published yet" in read("CHANGELOG.md"):
        assert "calls it not published yet" in said(version)
    (tmp_path / "README.md").write_text("changed")
    assert "the checkout has changes" in said(version)
