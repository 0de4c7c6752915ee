"""The built documentation in a browser: headless Chromium.

Skipped without selenium, Chromium and ChromeDriver, or without built pages. They are
looked for in ``docs/_build``, or in the folder that the variable ``SITE`` names.
"""

import functools
import json
import os
import shutil
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = Path(os.environ.get("SITE", ROOT / "docs" / "_build")).resolve()
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

webdriver = pytest.importorskip("selenium.webdriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (BROWSER and DRIVER and (SITE / "index.html").exists()),
        reason="needs Chromium, ChromeDriver and built pages",
    ),
]
MAIN = "reference/sktwotower.TwoTowerRecommender.html"
PAGES = [
    "index.html",
    "guide/index.html",
    "guide/tune.html",
    "larger_than_memory.html",
    "examples/index.html",
    "examples/1_quickstart.html",
    "reference/index.html",
    MAIN,
    "reference/sktwotower.plots.RecallCurveDisplay.html",
    "results.html",
    "protocols.html",
    "reproduce.html",
    "changelog.html",
]
FLAGS = """
--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync
--disable-background-networking --disable-component-update --window-size=1300,1000
""".split()
BROKEN, FAINT, WIDE = (
    (Path(__file__).parent / f"{name}.js").read_text("utf-8")
    for name in ("broken", "faint", "wide")
)
OPEN = "document.querySelectorAll('article details').forEach((e) => (e.open = true))"
CUT = """
return [...document.querySelectorAll("article pre")]
  .filter((e) => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1)
  .map((e) => e.textContent.slice(0, 60));
"""
PHONE = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    logs = {"browser": "ALL", "performance": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def server():
    """Serve the pages on a port of this machine; yield its address."""
    handler = functools.partial(Silent, directory=SITE)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(params=["disk", "server"])
def address(request):
    """Return where pages lie: on the disk, or behind a server."""
    if request.param == "server":
        return request.getfixturevalue("server")
    return SITE.as_uri()


def wait(browser, script, seconds=60):
    """Return what a script returns, as soon as it is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds).until(lambda b: b.execute_script(script))


def use_theme(browser, theme):
    feature = {"name": "prefers-color-scheme", "value": theme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def faint_texts(browser):
    """Return texts that can hardly be read, when colors have stopped to fade in."""
    for _ in range(20):
        found = browser.execute_script(FAINT)
        if not found:
            break
        time.sleep(0.2)
    return found


def troubles(browser, address):
    """Return errors of scripts, and requests that failed or left the pages."""
    found = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        name, values = message["method"], message["params"]
        if name == "Network.loadingFailed" and not values.get("canceled"):
            found.append(values["errorText"])
        if name == "Network.responseReceived" and values["response"]["status"] >= 400:
            found.append(values["response"]["url"])
        if name == "Network.requestWillBeSent":
            url, asked_by = values["request"]["url"], values["documentURL"]
            ours = url.startswith((address, "data:", "blob:"))
            if asked_by.startswith(address) and not ours:
                found.append(url)
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_pages_load_without_errors_and_can_be_read(browser, page, theme):
    address = SITE.as_uri()
    browser.get_log("browser"), browser.get_log("performance")  # those of other tests
    use_theme(browser, theme)
    browser.get(f"{address}/{page}")
    wait(browser, "return document.readyState === 'complete'")
    root = browser.find_element("tag name", "html")
    assert root.get_attribute("data-theme") == theme
    assert faint_texts(browser) == []
    assert troubles(browser, address) == []


@pytest.fixture
def phone(browser):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("page", PAGES)
def test_pages_fit_on_a_phone(phone, page):
    phone.get(f"{SITE.as_uri()}/{page}")
    wait(phone, "return document.readyState === 'complete'")
    assert phone.execute_script("return document.documentElement.clientWidth") == 400
    assert phone.execute_script(WIDE) == []
    assert phone.execute_script(BROKEN) == []


@pytest.mark.parametrize("page", [*PAGES, "guide/versions.html", "guide/start.html"])
def test_lines_of_code_are_not_cut_on_a_desk(browser, page):
    browser.set_window_size(1400, 900)
    browser.get(f"{SITE.as_uri()}/{page}")
    wait(browser, "return document.readyState === 'complete'")
    browser.execute_script(OPEN)
    assert browser.execute_script(CUT) == []


def test_formulas_are_drawn(browser):
    browser.get(f"{SITE.as_uri()}/{MAIN}")
    formulas = "document.querySelectorAll('mjx-container svg')"
    wait(browser, f"return {formulas}.length >= 5")
    assert "\\(" not in browser.find_element("tag name", "article").text


def test_search_leads_to_a_method(browser, address):
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(f"{address}/index.html")
    browser.find_element("css selector", "button.search-button__button").click()
    fields = "[...document.querySelectorAll('input[name=q]')]"
    visible = wait(browser, f"return {fields}.find((e) => e.checkVisibility())")
    visible.send_keys("recommend\n")
    links = "[...document.querySelectorAll('ul.search li > a')]"
    hits = f"{links}.length > 4 && {links}.map((e) => e.href)"
    hits = wait(browser, f"return {hits}")
    entry = "#sktwotower.TwoTowerRecommender.recommend"
    (hit,) = [hit for hit in hits[:5] if hit.endswith(entry)]
    browser.get(hit)
    assert browser.current_url.partition("?")[0].startswith(f"{address}/{MAIN}")
    signature = browser.find_element("id", entry[1:]).text
    assert signature.startswith("recommend(")
    assert troubles(browser, address) == []


def test_class_pages_open_with_an_example_and_unfold(browser):
    browser.set_window_size(1400, 900)
    for name in ("TwoTowerRecommender", "TwoStageRecommender"):
        page = f"{SITE.as_uri()}/reference/sktwotower.{name}.html"
        browser.get(page)
        example = browser.find_element("css selector", "article div.highlight")
        assert example.location["y"] < 900
        assert not browser.find_elements("css selector", "details.fold[open]")
        anchor = f"sktwotower.{name}-time"
        browser.find_element("css selector", f'article li a[href="#{anchor}"]').click()
        assert wait(browser, "return document.querySelector('details.fold[open]')")
        assert browser.find_element("id", anchor).is_displayed()
