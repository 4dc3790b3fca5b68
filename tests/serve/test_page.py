"""The page in headless Chromium: what people see, by keyboard, in light and dark, on a phone, without other hosts."""

import base64
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import LABELS
from serve.conftest import CANARY, Running

pytestmark = pytest.mark.slow

DESKTOP, PHONE = (1200, 900), (390, 844)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage")  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium with a new profile; downloads go into `browser.downloads`."""
    selenium = pytest.importorskip("selenium.webdriver")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("chromium and chromium-driver are not installed: apt-get install chromium chromium-driver")
    options = selenium.ChromeOptions()
    options.binary_location = binary
    downloads = tmp_path_factory.mktemp("downloads")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    one = selenium.Chrome(options, selenium.ChromeService(driver))
    one.downloads = downloads
    yield one
    one.quit()


class Page:
    """The page, as somebody sees and uses it."""

    def __init__(self, browser: Any, server: Running) -> None:
        self.browser = browser
        self.at = f"http://127.0.0.1:{server.port}/"
        browser.get(self.at)
        self.until(lambda: "Gives" in self.text("#about"))

    def find(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements("css selector", selector))

    def text(self, selector: str) -> str:
        return str(self.find(selector).text)

    def until(self, condition: Callable[[], object], seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.find("body").text
            time.sleep(0.05)

    def write(self, text: str) -> None:
        self.browser.execute_script("arguments[0].value = arguments[1]", self.find("#text"), text)


@pytest.fixture
def page(browser: Any, server: Running) -> Page:
    browser.get_log("performance")
    return Page(browser, server)


def test_a_text_gets_its_label_and_probabilities(page: Page, server: Running) -> None:
    page.write("baba cece didi")
    page.find("#text-form .first").click()
    page.until(lambda: page.all(".verdict"))
    expected = server.post("/v1/predict", {"texts": ["baba cece didi"]}).json["results"][0]
    assert page.text(".verdict") == expected["label"]
    names = [one.text for one in page.all(".score span:first-child")]
    assert names == list(expected["probabilities"])
    assert page.text(".score .number") == f"{100 * expected['probability']:.1f} %"
    assert not page.all("#answer .warn")


def test_what_was_cut_is_told(page: Page) -> None:
    page.write("baba " * 100)
    page.find("#text-form .first").click()
    page.until(lambda: page.all("#answer .warn"))
    assert page.text("#answer .warn") == "The text has 102 tokens; the model reads at most 64 and did not see the rest."


def test_words_that_matter_are_marked_in_their_places(page: Page) -> None:
    text = "baba 🫀 cece <b>didi</b> gugu"
    page.write(text)
    page.find("#explain").click()
    page.until(lambda: page.all(".marked"))
    assert page.text(".marked") == text
    assert [one.text for one in page.all(".marked mark")] == text.split()
    assert page.all(".marked mark.for, .marked mark.against")
    assert page.all(".strongest li")


def test_faults_are_told_and_nothing_is_shown(page: Page) -> None:
    page.find("#text-form .first").click()
    page.until(lambda: page.find("#problem").is_displayed())
    assert page.text("#problem") == "There is no text yet."
    page.write("a\0b")
    page.find("#text-form .first").click()
    page.until(lambda: "NUL" in page.text("#problem"))
    assert not page.all(".verdict")


def test_all_of_it_works_by_keyboard(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    seen = []
    for _ in range(5):
        ActionChains(page.browser).send_keys(Keys.TAB).perform()
        seen.append(page.browser.switch_to.active_element.get_attribute("id") or "submit")
        if seen[-1] == "text":
            ActionChains(page.browser).send_keys("baba cece").perform()
    assert seen[:4] == ["text", "submit", "explain", "file"]
    page.find("#text").send_keys(Keys.CONTROL, Keys.ENTER)
    page.until(lambda: page.all(".verdict"))


def test_a_file_is_classified_and_downloaded(page: Page, browser: Any, server: Running, tmp_path: Path) -> None:
    texts = ["baba cece", 'di"di, gugu', "two\nlines", "", "fofo " * 100, *(f"baba {i}" for i in range(70))]
    lines = "".join(f'{i};"{text.replace(chr(34), 2 * chr(34))}"\r\n' for i, text in enumerate(texts))
    path = tmp_path / "notes.csv"
    path.write_bytes(f"\ufeffid;Text\r\n{lines}".encode())
    page.find("#file").send_keys(str(path))
    page.until(lambda: page.find("#file-form").is_displayed())
    assert "notes.csv: 75 rows." in page.text("#file-about")
    assert page.find("#column").get_property("value") == "1"
    page.find("#file-form .first").click()
    page.until(lambda: page.find("#export").is_displayed())
    assert page.text("#progress-text") == "75 of 75 rows, 1 cut at 64 tokens, 1 without an answer."
    assert len(page.all("tbody tr")) == 75
    page.find("#export").click()
    page.until(lambda: list(browser.downloads.glob("*.csv")))
    rows = (browser.downloads / "notes.labels.csv").read_text().splitlines()
    answers = server.post("/v1/predict", {"texts": texts, "on_error": "skip"}).json["results"]
    assert rows[0] == "row,label,probability,truncated,n_tokens,error"
    assert [row.split(",")[1] for row in rows[1:]] == [one["label"] or "" for one in answers]
    assert rows[4] == "4,,,false,0,is empty"
    page.all("tbody button")[1].click()
    page.until(lambda: page.all(".verdict"))
    assert page.find("#text").get_property("value") == texts[1]


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"text\n", "no row below its header"), (b'text\n"open', "A quote is opened and never closed"), (b"", "no row")],
)
def test_files_that_cannot_be_read(page: Page, tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "notes.csv"
    path.write_bytes(content)
    page.find("#file").send_keys(str(path))
    page.until(lambda: page.find("#problem").is_displayed())
    assert what in page.text("#problem")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_it_can_be_read_everywhere(page: Page, browser: Any, size: tuple[int, int], scheme: str) -> None:
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.write("baba cece didi " * 8)
        page.find("#explain").click()
        page.until(lambda: page.all(".strongest li"))
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        low = [(one.tag_name, one.text, ratio) for one in page.all("h1, h2, p, label, button, .score span, .marked")
               if one.is_displayed() and (ratio := contrast(browser, one)) < 4.5]  # fmt: skip
        assert low == []
        small = [one.text for one in page.all("button, .button") if one.is_displayed() and one.rect["height"] < 44]
        assert small == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


CONTRAST = """
const parse = (color) => { const c = color.match(/[\\d.]+/g).map(Number); return c.length < 4 ? [...c, 1] : c; };
const light = (c) => c.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
let back = arguments[0];
while (back && parse(getComputedStyle(back).backgroundColor)[3] === 0) back = back.parentElement;
const [a, b] = [parse(getComputedStyle(arguments[0]).color), parse(getComputedStyle(back).backgroundColor)].map(light);
return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
"""


def contrast(browser: Any, element: Any) -> float:
    """Of a text and what is behind it, as WCAG counts; 4.5 is enough for small text."""
    return float(browser.execute_script(CONTRAST, element))


def test_it_asks_its_own_server_alone_and_keeps_nothing(page: Page, browser: Any) -> None:
    page.write(CANARY)
    page.find("#explain").click()
    page.until(lambda: page.all(".strongest li, .marked"))
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]
    assert len(urls) >= 5
    assert [url for url in urls if not url.startswith((page.at, "data:"))] == []
    assert CANARY not in " ".join(urls)
    stored = browser.execute_script("return localStorage.length + sessionStorage.length + document.cookie.length")
    assert stored == 0
    faults = [one for one in browser.get_log("browser") if one["level"] == "SEVERE" and "422" not in one["message"]]
    assert faults == []


def test_a_key_is_asked_for_by_the_browser(browser: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    from serve.conftest import running

    from medclf.serve.keys import add_key
    from medclf.serve.options import ServeOptions

    key = add_key(tmp_path / "keys", "ward")
    with running(ServeOptions((str(tiny_bundle),), api_key_file=tmp_path / "keys")) as server:
        token = base64.b64encode(f"me:{key}".encode()).decode()
        browser.execute_cdp_cmd("Network.enable", {})
        browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"authorization": f"Basic {token}"}})
        try:
            page = Page(browser, server)
            page.write("baba")
            page.find("#text-form .first").click()
            page.until(lambda: page.all(".verdict"))
            assert page.text(".verdict") in LABELS
        finally:
            browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})
