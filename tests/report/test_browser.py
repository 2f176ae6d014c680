"""The pages in a real browser: no request, no console message, no fault that axe-core knows.

It needs a Chromium on the machine and the dependency group `browser`.
"""

from pathlib import Path
from typing import Any

import pytest

from flatshot.report.page import report
from tests.report.studies import found_boxes, study, write_set

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The page of one run and that of two, with names that must be escaped."""
    folder = tmp_path_factory.mktemp("pages")
    names = ["cat & dog", "<b>bold</b>", "a rather long name of a class, longer than most"]
    dataset = write_set(folder / "set", names, images=12)
    runs = [
        study(dataset, found_boxes(dataset, k, s), n) for k, s, n in ((0.8, 1, "a"), (0.5, 2, "b"))
    ]
    made = []
    for name, shown in (("one", runs[:1]), ("two", runs)):
        made.append(folder / f"{name}.html")
        made[-1].write_text(report(shown))
    return made


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "light"), (1280, "dark")])
def test_pages_are_sound(browser: Any, pages: list[Path], width: int, scheme: str) -> None:
    """At each width and in both colours; folded parts open; the page never scrolls sideways."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="group 'browser'")
    for path in pages:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            bypass_csp=True,  # axe-core is put into the page; the policy has its own test
        )
        page = context.new_page()
        told: list[str] = []
        page.on("console", lambda message, told=told: told.append(message.text))
        page.on("pageerror", lambda error, told=told: told.append(str(error)))
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        assert axe.Axe().run(page).response["violations"] == []
        assert told == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        context.close()


def test_nothing_is_requested(browser: Any, pages: list[Path]) -> None:
    """The page asks for nothing but itself, with its policy in force."""
    for path in pages:
        page = browser.new_page()
        asked: list[str] = []
        told: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("console", lambda message, told=told: told.append(message.text))
        page.goto(path.as_uri())
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
        assert told == []
        page.close()


def test_tables_sort_by_keyboard(browser: Any, pages: list[Path]) -> None:
    """The heads of the classes' table are buttons that sort by their column."""
    page = browser.new_page()
    page.goto(pages[0].as_uri())
    button = page.locator("table[data-sort] thead button", has_text="objects").first
    button.focus()
    page.keyboard.press("Enter")
    numbers = page.eval_on_selector_all(
        "table[data-sort]:first-of-type tbody tr td:nth-child(2) data",
        "all => all.map(data => Number(data.value))",
    )
    assert numbers == sorted(numbers, reverse=True)
    page.close()


def test_boxes_can_be_hidden(browser: Any, pages: list[Path]) -> None:
    """Without a script: the boxes to be shown are ticked."""
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(pages[0].as_uri())
    box = page.locator(".gallery .ms").first
    assert box.is_visible()
    page.locator("#show-ms").uncheck()
    assert not box.is_visible()
    page.close()
