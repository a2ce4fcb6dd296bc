import math
from dataclasses import replace

import pytest
from example_analysis import METRICS, PARAMETERS, make_analysis, make_result
from markupsafe import escape

from analysis.compression.headlines import headlines
from analysis.measuring.results import declared
from analysis.pages.numbers import counted, significant
from analysis.report.findings import cards, sentences
from analysis.report.page import render
from analysis.report.tables import amortization_table, break_even_cell, headline_table, trials_table


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.1934, 3, "0.193"),
        (0.00095, 2, "0.00095"),
        (9.996, 3, "10.0"),
        (0, 3, "0"),
        (32, 3, "32.0"),
        (1620.4, 3, "1\u202f620"),
        (170_612, 2, "170\u202f000"),
        (-2.5, 2, "\u22122.5"),
        (math.inf, 3, "∞"),
        (1.24e-9, 2, "1.2e\u22129"),
    ],
)
def test_numbers_are_written_with_significant_digits(value, digits, text):
    assert significant(value, digits) == text


def test_every_metric_of_a_result_is_in_the_glossary():
    analysis = make_analysis()
    page = render(analysis).replace("<wbr>", "")
    for name, metric in declared(analysis.results).items():
        assert f"<dt>{metric.label} " in page
        assert f"<code>{name}</code>" in page
        assert str(escape(metric.description)) in page


def test_values_take_agreements_place_where_there_are_no_classes():
    results = [
        without_classes("uniform", "classical", "step=1", 2.0, output_r2=0.97, output_error=0.17),
        without_classes("uniform", "classical", "step=0.1", 4.0, output_r2=0.995, output_error=0.07),
        without_classes("mean weights", "control", "", 0.0, output_r2=0.2, output_error=0.9),
    ]
    found = headlines(results)
    said = sentences(results, found)
    assert said[0].startswith(
        "At an output R² of 0.99 the best conventional codec (uniform) needs the fewest bits: 3.4"
    )
    assert "already keeps an output R² of 0.200" in said[1]
    assert not any("agree" in sentence for sentence in said)
    assert [card.title for card in cards(results, found)] == [
        "Bits per weight at an output R² of 0.99", "R² of outputs of the zero-rate controls",
    ]  # fmt: skip


def without_classes(codec, family, setting, rate, **values):
    of_classes = {name: None for name in METRICS if name.startswith(("accuracy", "kl", "agreement_"))}
    result = make_result(codec, family, setting, rate, 0.9, **(of_classes | values))
    kept = {name: value for name, value in result.metrics.items() if name != "agreement"}
    return replace(result, metrics=kept)


def test_names_the_winner_whoever_it_is():
    analysis = make_analysis()
    first, second, *_ = sentences(analysis.results, analysis.headlines)
    assert first.startswith("At 97 % agreement the function-metric codec needs the fewest bits: 0.289 per weight")
    assert "best autoencoder needs 0.380" in first
    assert "best conventional codec (uniform) needs 2.54" in first
    assert second.startswith("At 1 pp mean |Δaccuracy| the function-metric codec")

    better = [
        *analysis.results,
        make_result("autoencoder", "learned", "", 0.11, 0.975, trial=15),
    ]
    first = sentences(better, headlines(better))[0]
    assert first.startswith("At 97 % agreement the best autoencoder needs the fewest bits: 0.11")
    best = [row.name for row in cards(better, headlines(better))[0].rows if row.best]
    assert best == ["Best autoencoder"]


def test_says_that_intervals_of_single_fits_leave_out_seeds():
    fitted_once = [make_result("autoencoder", "learned", "", 0.1, 0.98)]
    several = [make_result("autoencoder", "learned", "", 0.1, 0.98, fits=3)]
    said = "intervals leave out how much seeds differ"
    assert any(said in sentence for sentence in sentences(fitted_once, headlines(fitted_once)))
    assert not any(said in sentence for sentence in sentences(several, headlines(several)))


def test_says_who_does_not_reach_the_target():
    results = [
        make_result("autoencoder", "learned", "latent 8", 0.1, 0.94, trial=2),
        make_result("uniform", "classical", "step=1", 2.0, 0.99),
    ]
    said = sentences(results, headlines(results))[0]
    assert "best conventional codec (uniform) needs the fewest bits: 2.00" in said
    assert "best autoencoder does not reach it: the nearest, autoencoder · latent 8 · trial 2, agrees on 94.0 %" in said
    row = next(r for r in cards(results, headlines(results))[0].rows if r.name == "Best autoencoder")
    assert row.value == "not reached"
    assert not row.best


@pytest.mark.parametrize("told", [{"feasible": [True] * 14 + [False, False]}, {"state": ["infeasible"] * 16}])
def test_trials_that_break_a_limit_are_marked(told):
    analysis = make_analysis()
    (study,) = analysis.studies
    trials = study.trials.assign(**told)
    broken = [14] if "feasible" in told else list(range(16))  # trial 15 failed, and had no figures to break a limit
    table, _ = trials_table(trials, declared(analysis.results))
    assert [place for place, row in enumerate(table.rows) if row.faint] == broken
    assert [row.cells[1].text for row in table.rows if row.faint] == ["infeasible"] * len(broken)
    assert "feasible" not in [column.title for column in table.columns]
    study.facts["study"]["limits"] = {"shared_bytes": 30_000.0, "agreement": 0.9}
    page = render(replace(analysis, studies=(replace(study, trials=trials),)))
    assert f"{counted(len(broken), 'trial')} of 16 break" in page
    assert "(shared bytes at most 30\u202f000 bytes, agreement at least 90.0 %)" in page


def test_break_even_is_a_whole_number_at_the_target_that_it_is_for():
    results = [
        make_result("uniform", "classical", "step=1", 3.0, 0.98, accuracy_shift_pp=0.5),
        make_result("pca", "classical", "components=9", 2.0, 0.9, shared=100_000, accuracy_shift_pp=0.4),
    ]
    headline = headlines(results)[1]
    exact = 8 * 100_000 / PARAMETERS  # a bit per weight saved
    assert headline.break_even_models == pytest.approx(exact)
    written = "662"
    assert math.ceil(exact) == int(written)
    assert break_even_cell(headline).text == written
    compared = headline_table([headline], "kl").rows[0].cells[-1]
    assert (compared.text, compared.interval) == (written, "at 1 pp mean |Δaccuracy|")
    # Where 97 % agreement is not reached, nothing is said of how many networks it takes.
    *rates, break_even = amortization_table([headline], "97 % agreement", PARAMETERS).rows[0].cells[1:]
    assert {cell.text for cell in (*rates, break_even)} == {"not reached"}
    assert "from N* = 662 networks" not in render(make_analysis(results, study=False))


def test_values_of_trials_are_written_for_people():
    (study,) = make_analysis().studies
    table, constants = trials_table(study.trials, declared(make_analysis().results))
    cells = {column.title: [row.cells[place].text for row in table.rows] for place, column in enumerate(table.columns)}
    assert cells["latent"][:2] == ["16", "32"]
    assert cells["latent"][15] == cells["agreement"][15] == "–"
    assert cells["agreement"][0] == "79.0"
    assert cells["shared bytes"][0] == "150\u202f000"
    assert cells["failure"][15].startswith("ValueError: loss is not finite; ")
    assert len(cells["failure"][15]) == 60
    assert constants == (("canonical", "True"),)
