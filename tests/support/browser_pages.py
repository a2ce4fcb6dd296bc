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
# Texts, of the page and of its charts, whose contrast with the ground that they stand on is below 4.5 (WCAG 2, AA).
FAINT = """() => {
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const luminance = ([red, green, blue]) =>
        [red, green, blue]
            .map((part) => part / 255)
            .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
            .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (element) => {
        const [red, green, blue, opacity = 1] = channels(getComputedStyle(element).backgroundColor);
        return opacity > 0.9 || element === document.body ? [red, green, blue] : ground(element.parentElement);
    };
    const found = new Set();
    for (const element of document.querySelectorAll("body *:not(script):not(option):not(optgroup)")) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!own || !element.getClientRects().length) continue;
        const style = getComputedStyle(element);
        if (Number(style.opacity) === 0 || element.closest(".modebar")) continue;
        const ink = luminance(channels(element.ownerSVGElement ? style.fill : style.color));
        const paper = luminance(ground(element.closest("[data-figure]") ?? element));
        const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
        const told = `${element.tagName} ${contrast.toFixed(2)}: ${element.textContent.trim().slice(0, 40)}`;
        if (contrast < 4.5) found.add(told);
    }
    return [...found];
}"""
# Charts of which plot and legend do not fit: a plot less than half as wide as its place, a legend beside or over it.
CRAMPED = """() => [...document.querySelectorAll("[data-figure]")].filter((chart) => {
    const plots = [...chart.querySelectorAll(".nsewdrag")].map((plot) => plot.getBoundingClientRect());
    const legend = chart.querySelector(".legend")?.getBoundingClientRect();
    const apart = (plot) => !legend || legend.top >= plot.bottom || legend.bottom <= plot.top + 4;
    return plots.some((plot) => plot.width < chart.clientWidth / 2 || !apart(plot));
}).map((chart) => chart.id)"""


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
