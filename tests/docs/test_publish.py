"""The folder of all versions of the documentation, and its menu."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("publish", ROOT / "docs" / "publish.py")
publish = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(publish)


@pytest.fixture
def add(tmp_path):
    """Return a function that publishes one page, which says its version."""

    def add(version, text=None):
        built = tmp_path / "built"
        built.mkdir(exist_ok=True)
        (built / "index.html").write_text(text or version)
        publish.publish(built, tmp_path / "site", version)
        return tmp_path / "site"

    return add


def menu(site):
    entries = json.loads((site / "switcher.json").read_text())
    assert all(e["url"] == f"{publish.URL}/{e['version']}/" for e in entries)
    return {entry["name"]: entry["version"] for entry in entries}


def test_before_any_tag_the_site_is_that_of_main(add):
    site = add("dev")
    assert menu(site) == {"dev": "dev"}
    assert 'url=dev/"' in (site / "index.html").read_text()


def test_the_newest_tag_is_stable(add):
    for version in ("dev", "v0.9.0", "v0.10.0"):
        site = add(version)
    site = add("v0.9.1")  # a fix of an old version
    expected = {"dev": "dev", "v0.10.0 (stable)": "stable"}
    assert menu(site) == expected | {"v0.9.1": "v0.9.1", "v0.9.0": "v0.9.0"}
    assert (site / "stable" / "index.html").read_text() == "v0.10.0"
    assert 'url=stable/"' in (site / "index.html").read_text()


def test_pages_of_before_are_gone(add):
    site = add("dev")
    (site / "dev" / "old.html").touch()
    assert add("dev", "new") == site
    assert not (site / "dev" / "old.html").exists()
    assert (site / "dev" / "index.html").read_text() == "new"


def test_other_names_are_refused(add):
    with pytest.raises(ValueError, match="dev or a tag such as v0.1.0, got 'main'"):
        add("main")


def test_the_workflow_and_the_settings_name_the_version_alike():
    workflow = (ROOT / ".github" / "workflows" / "site.yml").read_text()
    settings = (ROOT / "docs" / "conf.py").read_text()
    assert 'publish.py built site "$SITE_VERSION"' in workflow
    assert 'environ.get("SITE_VERSION")' in settings and publish.URL in settings
