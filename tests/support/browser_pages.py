"""A browser for the tests of pages, and waiting for what they draw after some time."""

import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = shutil.which("chromium")
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Charts are as wide as the place that the page gives them.
FITTED = """[...document.querySelectorAll("[data-figure]")].every((chart) =>
    Math.abs(chart.querySelector(".main-svg").clientWidth - chart.clientWidth) < 2)"""


@contextmanager
def browser():
    """Chromium; tests are skipped where it is not installed."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


def until(page, condition):
    """Waits, at most 20 s, until a JavaScript condition holds (pages' policy forbids ``wait_for_function``)."""
    for _ in range(400):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"still not so after 20 s: {condition}")


def resize(page, width):
    """Makes the window so wide and waits until all charts fit."""
    page.set_viewport_size({"width": width, "height": 800})
    until(page, f"() => innerWidth === {width} && {FITTED}")
