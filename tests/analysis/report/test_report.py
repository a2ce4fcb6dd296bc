import datetime
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest
from example_analysis import CONTROLS, PARAMETERS, make_analysis, make_result

from analysis.compression.headlines import headlines
from analysis.compression.rates import AMORTIZED_OVER, total_bits_per_weight
from analysis.measuring.results import declared
from analysis.pages.numbers import count, shown_unit, significant
from analysis.report.page import render

MADE_ON = datetime.date(2026, 11, 20)
NASTY = "</script><img src=x onerror=alert(1)> & <b>"


class Page(HTMLParser):
    """The parts of a page that a test asks for."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.tags, self.texts, self._open = [], [], [], [], []
        self.scripts = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "srcset", "action"):
                self.links.append(value)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        inside = self._open[-1] if self._open else ""
        (self.scripts if inside == "script" else self.texts if inside != "style" else []).append(data)

    @property
    def text(self):
        return re.sub("[ \n]+", " ", " ".join(self.texts))

    @property
    def data(self):
        return json.loads(next(s for s in self.scripts if s.startswith("{")))


def opened(analysis):
    return Page(render(analysis, made_on=MADE_ON))


@pytest.fixture(scope="module")
def page():
    return opened(make_analysis())


def test_is_one_file_that_asks_for_nothing_else(page):
    assert all(link.startswith("#") or link == "data:," for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert sum("plotly.js v" in script for script in page.scripts) == 1
    styles = re.findall(r"<style>(.*?)</style>", render(make_analysis(), made_on=MADE_ON), re.DOTALL)
    assert len(styles) == 1
    assert "url(" not in styles[0]
    assert "@import" not in styles[0]


def test_same_analysis_gives_the_same_file():
    assert render(make_analysis(), made_on=MADE_ON) == render(make_analysis(), made_on=MADE_ON)


def test_shows_the_facts_of_the_zoo(page):
    for fact in (
        "digits-mlp-diverse",
        "digest 1a2b3c4d1a2b3c4d",
        "2\u202f000",
        "1\u202f210 weights each",
        "86.1 ± 10.4 %",
        "80.3 %",
        "Left out, for their weights or losses are not finite: 2 held-out networks and 3 training snapshots.",
        "20 November 2026",
        "zooscale generate digits-mlp-diverse --members 2000",
        "zooscale search digits-tradeoff --zoo digits-mlp-diverse-1a2b3c4d --trials 16 --epochs 5"
        " --set trainables=neuron-autoencoder --set spaces=neuron-autoencoder --set latent=8",
        "zooscale analyze --zoo digits-mlp-diverse-1a2b3c4d --members 120 --study digits-tradeoff-9f8e7d6c",
    ):
        assert fact in page.text


def test_shows_every_metric_with_its_unit(page):
    for name, metric in declared(make_analysis().results).items():
        unit = shown_unit(metric)
        said = f"{metric.label} {f'({unit}) ' if unit else ''}{name} {metric.description}"
        assert said.replace(" ", "") in page.text.replace(" ", "")


def test_tables_give_the_amortized_rates(page):
    head = next(h for h in headlines(make_analysis().results) if h.codec == "autoencoder")
    for models in AMORTIZED_OVER:
        total = total_bits_per_weight(head.rates["97 % agreement"], head.shared_bytes, PARAMETERS, models)
        assert significant(total) in page.text
    assert count(math.ceil(head.break_even_models)) in page.text
    assert f"N = {count(1000)}" in page.text


def test_escapes_all_text():
    evil = [
        make_result(NASTY, "classical", NASTY, 1.0, 0.975),
        make_result(NASTY + "2", "learned", NASTY, 0.5, 0.98, trial=0),
    ]
    trials = pd.DataFrame({"trial": [0, 1], "state": [NASTY, "FAIL"], NASTY: [NASTY, 1]})
    analysis = make_analysis(evil)
    (study,) = analysis.studies
    facts = {**study.facts, "importances": {NASTY: {NASTY: 0.5, "latent": 0.5}}}
    analysis = replace(analysis, studies=(replace(study, facts=facts, trials=trials),))
    analysis.summary["dataset"] = NASTY
    page = opened(analysis)
    assert not [tag for tag, attrs in page.tags if tag == "img" or "onerror" in attrs]
    assert page.text.count("onerror=alert(1)") >= 8
    names = [trace["name"] for trace in page.data["figures"]["agreement"]["data"]]
    assert all("<" not in name for name in names)


def test_pareto_rows_link_to_their_trials(page):
    linked = {int(link.removeprefix("#trial-")) for link in page.links if link.startswith("#trial-")}
    front = {result.trial for result in make_analysis().pareto if result.trial is not None}
    assert front
    assert front <= linked
    assert {f"trial-{number}" for number in range(16)} <= set(page.ids)


def test_parameters_that_never_vary_are_named_once(page):
    headings = [attrs for tag, attrs in page.tags if tag == "th"]
    assert headings
    assert "canonical = True" in page.text
    assert page.text.count("canonical = True") == 1
    assert "note" not in page.text.split()


def test_says_that_nothing_diverged():
    analysis = make_analysis()
    analysis.summary.update(test_members_diverged=0, training_snapshots_diverged=0)
    assert "No network was left out" in opened(analysis).text


def test_names_the_codecs_that_do_not_know_the_architecture():
    analysis = make_analysis()
    assert "such networks" not in opened(analysis).text
    analysis.summary["codecs_left_out"] = ["function-metric"]
    assert "Not measured, for it does not know such networks: function-metric." in opened(analysis).text


def test_without_a_study_there_is_no_search():
    page = opened(make_analysis(study=False))
    assert "search" not in page.ids
    assert "zooscale search" not in page.text
    assert "importances" not in page.data["figures"]


def test_a_single_codec_and_missing_values_are_enough():
    lonely = make_result(
        "pruning",
        "classical",
        "keep=0.1",
        1.5,
        0.5,
        agreement_translation_1=math.nan,
        excess_agreement=None,
        accuracy_r2=None,
    )
    page = opened(make_analysis([lonely], study=False, random_results=[]))
    assert "not reached by any codec" in page.text
    assert page.ids.count("fidelity-0") == 1
    assert "fidelity-1" not in page.ids
    assert "–" in page.text
    assert "None" not in page.text
    assert "nan" not in page.text.lower().split()


def test_only_controls_still_give_a_report():
    controls = [make_result(name, "control", "", 0.0004, value, constant=True) for name, value in CONTROLS]
    page = opened(make_analysis(controls, study=False))
    assert "already agrees on 71.2 %" in page.text


def test_no_results_are_refused():
    with pytest.raises(ValueError, match="no results"):
        render(make_analysis([], study=False))


def test_says_at_once_that_there_are_no_intervals():
    alone = make_result("uniform", "classical", "step=1", 2.0, 0.97)
    bare = {name: replace(one, low=None, high=None) for name, one in alone.metrics.items()}
    told = {"test_groups": 1, "intervals": "There are no intervals: all share one minibatch order."}
    few = make_analysis([replace(alone, metrics=bare)], study=False)
    few.summary.update(told)
    page = opened(few)
    assert page.text.index(told["intervals"]) < page.text.index("Codecs compared")
    assert "are 95 % intervals" not in page.text
    several = opened(make_analysis([alone], study=False))
    assert "Bars are 95 % intervals." in several.text
    assert "Small figures are 95 % intervals." in several.text
