import itertools
import math

import pytest
from browser_pages import CRAMPED, FAINT, resize, until
from browser_pages import browser as open_browser
from example_analysis import PARAMETERS, TRIALS, make_analysis, make_result

from analysis.compression.rates import total_bits_per_weight
from analysis.report.page import render
from analysis.report.sections import SLIDER_END, STEPS_PER_DECADE


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


class Watched:
    """Opens analyses as files and keeps what their pages asked for and complained about."""

    def __init__(self, browser, folder):
        self.context = browser.new_context(viewport={"width": 1280, "height": 800})
        self.folder = folder
        self.requests, self.messages = [], []

    def open(self, analysis):
        path = self.folder / "report.html"
        path.write_text(render(analysis), encoding="utf-8")
        page = self.context.new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("dialog", lambda dialog: (self.messages.append(dialog.message), dialog.dismiss()))
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready=true]", timeout=100_000)
        return page

    def must_be_silent(self):
        assert self.messages == []
        assert self.requests
        assert [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture
def show(browser, tmp_path):
    """Opens an analysis of the test's own."""
    watched = Watched(browser, tmp_path)
    yield watched.open
    watched.context.close()
    watched.must_be_silent()


@pytest.fixture(scope="module")
def usual(browser, tmp_path_factory):
    watched = Watched(browser, tmp_path_factory.mktemp("report"))
    yield watched, watched.open(make_analysis())
    watched.context.close()


@pytest.fixture
def page(usual):
    """The report of the usual analysis, opened once for all tests; each leaves it as it likes."""
    watched, page = usual
    yield page
    watched.must_be_silent()


def drawn(page, figure, selector):
    return page.locator(f'[data-figure="{figure}"] {selector}').count()


def trace(page, figure, name):
    return page.evaluate(
        """([figure, name]) => {
            const found = document.querySelector(`[data-figure="${figure}"]`).data.find((t) => t.name === name);
            return { x: Array.from(found.x), y: Array.from(found.y), color: found.marker && found.marker.color };
        }""",
        [figure, name],
    )


def slide(page, step):
    page.locator("#copies").fill(str(step))


def test_charts_are_drawn_and_the_page_fits(page, tmp_path):
    for figure in ("agreement", "accuracy_shift_pp", "amortized"):
        assert drawn(page, figure, "svg .scatterlayer .trace") > 10
        assert drawn(page, figure, ".scatterlayer .point") > 30
        assert drawn(page, figure, ".errorbar") > 30
        assert drawn(page, figure, ".legend .traces") > 10
    assert drawn(page, "importances", ".barlayer .point") == 6
    assert drawn(page, "fidelity", ".scatterlayer .point") == 2 * 120
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280

    screenshot = tmp_path / "report.png"
    page.screenshot(path=screenshot, full_page=True)
    assert screenshot.stat().st_size > 100_000


def test_charts_offer_nothing_that_sends_data_away(page):
    titles = page.locator(".modebar-btn").evaluate_all("(all) => all.map((button) => button.dataset.title)")
    assert "Zoom" in titles
    assert set(titles) == {"Save as SVG", "Save as PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"}


def test_the_page_forbids_itself_the_network(browser, tmp_path):
    watched = Watched(browser, tmp_path)
    page = watched.open(make_analysis([make_result("uniform", "classical", "", 2.0, 0.97)], study=False))
    watched.must_be_silent()
    assert page.evaluate("fetch('http://localhost:9/').then(() => 'sent', () => 'refused')") == "refused"
    watched.context.close()
    assert "Content Security Policy" in watched.messages[0]


def test_labels_do_not_lie_on_each_other(page):
    for figure in ("agreement", "accuracy_shift_pp", "amortized"):
        for labels in (".xaxislayer-above text", ".yaxislayer-above text", ".legendtext"):
            boxes = page.locator(f'[data-figure="{figure}"] {labels}').evaluate_all(
                "(texts) => texts.map((t) => t.getBoundingClientRect().toJSON())"
            )
            assert len(boxes) > 3
            for number, one in enumerate(boxes):
                for other in boxes[:number]:
                    apart_x = one["left"] >= other["right"] or other["left"] >= one["right"]
                    # A line's box is taller than its letters.
                    apart_y = one["top"] >= other["bottom"] - 2 or other["top"] >= one["bottom"] - 2
                    assert apart_x or apart_y


@pytest.mark.parametrize("step", [0, 3 * STEPS_PER_DECADE, 5 * STEPS_PER_DECADE, SLIDER_END])
def test_slider_moves_every_codec_to_its_amortized_rate(page, step):
    slide(page, 17)
    elsewhere = trace(page, "amortized", "autoencoder")["x"]
    slide(page, step)
    models = math.inf if step == SLIDER_END else 10 ** (step / STEPS_PER_DECADE)
    expected = [total_bits_per_weight(rate, shared, PARAMETERS, models) for _, rate, _, shared in TRIALS]
    moved = trace(page, "amortized", "autoencoder")["x"]
    assert moved == pytest.approx(expected)
    assert moved != pytest.approx(elsewhere)
    assert trace(page, "amortized", "uniform")["x"] == [0.55, 1.02, 1.6, 2.45, 3.4, 5.2]
    # The fixed charts stay as they are.
    assert trace(page, "agreement", "autoencoder")["x"] == [rate for _, rate, _, _ in TRIALS]
    number = {1: "1", 1e3: "1\u202f000", 1e5: "100\u202f000"}.get(models, "∞")
    assert page.locator("#copies-value").inner_text() == number


def test_slider_names_who_wins_at_its_n(page):
    slide(page, SLIDER_END)
    assert "function-metric" in page.locator("#copies-best").inner_text()
    slide(page, 0)
    assert "kmeans" in page.locator("#copies-best").inner_text()
    # One network cannot pay for a decoder, so nothing learned is on the front.
    front = trace(page, "amortized", "Pareto front")
    assert not set(trace(page, "amortized", "autoencoder")["x"]) & set(front["x"])


def test_slider_answers_to_the_keyboard(page):
    slide(page, 0)
    page.locator("#copies").focus()
    seen = []
    for _ in range(5):
        page.keyboard.press("ArrowRight")
        seen.append(page.locator("#copies-value").inner_text())
    assert seen == ["2", "3", "4", "6", "10"]
    assert page.locator("#copies").get_attribute("aria-valuetext").endswith("networks")


def test_choosing_a_codec_shows_its_networks(page):
    analysis = make_analysis()

    def chosen():
        return page.evaluate(
            "() => { const t = document.getElementById('fidelity-0').data.find((t) => t.meta.role === 'members');"
            " return { x: t.x, y: t.y }; }"
        )

    for codec in ("sz3", "constant member"):
        index = next(number for number, result in enumerate(analysis.results) if result.name == codec)
        page.locator("#fidelity-0-select").select_option(str(index))
        result = analysis.results[index]
        assert chosen()["x"] == pytest.approx(list(result.values["accuracy_original"]), abs=1e-5)
        assert chosen()["y"] == pytest.approx(list(result.values["accuracy_reconstructed"]), abs=1e-5)
        shown = page.locator("#fidelity-0-summary").inner_text()
        assert f"agreement {100 * result.value('agreement'):.1f} %" in shown
    assert len(set(chosen()["y"])) == 1


def test_tables_sort_by_number_with_absent_values_last(page):
    table = page.locator("#findings table.sortable")

    def column():
        return table.locator("tbody tr td:nth-child(2)").all_inner_texts()

    table.locator("thead button").nth(1).click()
    assert column()[:2] == ["0.289", "0.380"]
    assert column()[-1] == "not reached"
    table.locator("thead button").nth(1).click()
    assert column()[0] == "27.1"
    assert column()[-1] == "not reached"
    assert table.locator("thead th").nth(1).get_attribute("aria-sort") == "descending"


@pytest.mark.parametrize("width", [390, 1280])
def test_links_to_trials_show_their_row(page, width):
    resize(page, width)
    for trial in (12, 3):
        page.locator("#pareto a", has_text=f"trial {trial}").click()
        assert page.evaluate("location.hash") == f"#trial-{trial}"
        assert page.locator("tr:target th").inner_text() == str(trial)
        # Neither the line of contents nor the table's heading lies over it.
        until(
            page,
            """() => {
                const row = document.querySelector("tr:target").getBoundingClientRect();
                const bars = ["nav", "#search thead"].map((bar) => document.querySelector(bar).getBoundingClientRect());
                return bars.every((bar) => row.top >= bar.bottom - 1) && row.bottom <= innerHeight;
            }""",
        )
    resize(page, 1280)


@pytest.mark.parametrize("width", [390, 1280])
def test_long_settings_leave_room_for_what_was_measured(show, width):
    setting = ", ".join(f"setting_{number}={number / 7:.4f}" for number in range(8))
    page = show(make_analysis([make_result("uniform", "classical", setting, 2.0, 0.97)], study=False))
    resize(page, width)
    shares = page.evaluate(
        """() => [...document.querySelectorAll(".scroll")].map((scroll) =>
            scroll.querySelector("th.first").clientWidth / scroll.clientWidth)"""
    )
    assert max(shares) < 0.6


def test_is_legible_on_light_and_dark_ground(page):
    assert page.evaluate(FAINT) == []
    page.emulate_media(color_scheme="dark")
    until(page, "() => document.querySelector('.legendtext').style.fill === 'rgb(207, 215, 224)'")
    assert page.evaluate(FAINT) == []
    page.emulate_media(color_scheme="light")
    until(page, "() => document.querySelector('.legendtext').style.fill === 'rgb(27, 36, 48)'")


def test_what_a_chart_is_saved_as_is_called_as_the_chart_is(page):
    for ending in ("svg", "png"):
        page.locator("#agreement").hover()
        with page.expect_download() as download:
            page.locator("#agreement .modebar-btn", has=page.locator("svg")).and_(
                page.locator(f"[data-title='Save as {ending.upper()}']")
            ).click()
        assert download.value.suggested_filename == f"agreement.{ending}"


def test_a_single_codec_without_a_study_is_drawn(show):
    page = show(
        make_analysis([make_result("uniform", "classical", "step=1", 2.0, 0.97)], study=False, random_results=[])
    )
    assert drawn(page, "agreement", ".scatterlayer .point") == 1
    slide(page, 0)
    assert trace(page, "amortized", "uniform")["x"] == [2.0]


def test_text_is_shown_and_never_run(show):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    page = show(
        make_analysis([make_result(evil, "classical", evil, 2.0, 0.97)], study=False, random_results=[]),
    )
    assert page.locator("#results tbody th").inner_text().splitlines() == [evil, evil]
    assert page.locator("img").count() == 0


def test_a_phone_shows_charts_above_their_legends_and_tables_in_boxes(page):
    resize(page, 390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    until(page, f"() => ({CRAMPED})().length === 0")
    labels = page.locator(".ticks span").evaluate_all(
        "(all) => all.map((tick) => tick.getBoundingClientRect().toJSON())"
    )
    assert all(one["right"] < other["left"] for one, other in itertools.pairwise(labels))
    # A table's first figure is in sight.
    for table in ("pareto", "results"):
        box = page.locator(f"#{table} tbody tr:first-child td").first.bounding_box()
        assert box["x"] + box["width"] <= 390
    resize(page, 1280)
    until(page, "() => !document.querySelector('#agreement').narrow")
    legend, plot = (page.locator(f"#agreement {part}").bounding_box() for part in (".legend", ".nsewdrag"))
    assert legend["x"] >= plot["x"] + plot["width"]


def test_stays_within_a_narrow_window_and_on_paper(page, tmp_path):
    page.locator("#fidelity-0-select").select_option("0")
    resize(page, 760)
    assert page.evaluate("document.documentElement.scrollWidth") <= 760
    paper = tmp_path / "report.pdf"
    page.pdf(path=paper, format="A4")
    resize(page, 1280)
    shown = page.evaluate(
        "() => ['fidelity-0', 'fidelity-1'].map((id) => document.querySelector(`#${id} .point`).style.fill)"
    )
    assert shown[0] != shown[1]
    assert paper.read_bytes().startswith(b"%PDF")
