"""The page in a real browser: give a photograph, move a slider, compare, by keyboard alone."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flatshot.evaluation.dataset import CocoDataset
from flatshot.runtime.detector import Detector
from tests.evaluation.conftest import write_dataset

uvicorn = pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

from flatshot.cli.serve import _listen  # noqa: E402
from flatshot.serve.app import make_app  # noqa: E402
from flatshot.serve.tryout import Tryout  # noqa: E402

pytestmark = pytest.mark.slow

SHOWN = "document.querySelectorAll('.frame img[src]').length > 0"


@pytest.fixture(scope="module")
def address(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with two models and six images, served as the command serves it."""
    dataset = CocoDataset(write_dataset(tmp_path_factory.mktemp("served") / "set"))
    listener = _listen(0)
    port = listener.getsockname()[1]
    app = make_app(Tryout({"one": detector, "two": detector.fork()}, dataset), port)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join(30)
    listener.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page with its first photograph; what the console says is a failure."""
    context = browser.new_context(bypass_csp=True)  # for axe-core alone
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto(address)
    page.wait_for_function(SHOWN)
    yield page
    # Chromium itself notes every refusal; the page shows it in words.
    assert [text for text in told if "400 (Bad Request)" not in text] == []
    context.close()


def rows(page: Any, model: int) -> int:
    """How many objects are listed for a model."""
    return int(page.locator("#models section").nth(model).locator("tbody tr").count())


def test_a_slider_moves_what_is_drawn(page: Any) -> None:
    """Fewer boxes at most: fewer rows and fewer boxes, for both models."""
    page.locator("#nms_score_threshold").fill("0.01")
    page.locator("#max_detections").fill("3")
    page.wait_for_function("document.querySelectorAll('tbody tr').length <= 6")
    assert rows(page, 0) == rows(page, 1) == page.locator(".frame svg").first.locator("g").count()


def test_by_keyboard_alone(page: Any) -> None:
    """Step through the data set and move a slider without a pointer."""
    page.locator("#next").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.getElementById('status').textContent.startsWith('001.png')")
    page.locator("#max_detections").focus()
    before = page.locator("#max_detections_value").inner_text()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#max_detections_value").inner_text() != before


def test_a_file_is_given(page: Any, photograph: bytes, tmp_path: Path) -> None:
    """A photograph of the user's; then one that is none, which is said and leaves the first."""
    for name, content in (("mine.jpg", photograph), ("broken.jpg", b"no image")):
        (tmp_path / name).write_bytes(content)
    page.set_input_files("#file", tmp_path / "mine.jpg")
    page.wait_for_function("document.getElementById('status').textContent.startsWith('mine.jpg')")
    page.set_input_files("#file", tmp_path / "broken.jpg")
    page.wait_for_selector("#status.wrong")
    assert page.evaluate(SHOWN)


def test_what_was_found_can_be_saved(page: Any) -> None:
    """As JSON and as a picture."""
    for button, suffix in ((".json", ".json"), (".picture", ".png")):
        with page.expect_download() as download:
            page.locator(f"#models section {button}").first.click()
        assert download.value.suggested_filename.endswith(f"-found{suffix}")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1400, "light")])
def test_no_fault_that_axe_knows(browser: Any, address: str, width: int, scheme: str) -> None:
    """At the width of a phone and of a desk."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="group 'browser'")
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    page.goto(address)
    page.wait_for_function(SHOWN)
    time.sleep(0.2)  # the last answer is drawn
    assert axe.Axe().run(page).response["violations"] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()
