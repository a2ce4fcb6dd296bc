"""Several studies of one zoo in one analysis: one table, means over all, and what cannot be analyzed together."""

import dataclasses
import html
import re
import shlex

import pytest
from encoder_study import write_encoders
from example_study import write_study

from analysis.analyze import analyze
from analysis.kept_rows import KeptRows
from analysis.plan import plan_analysis
from analysis.reading.zoo_matrix import ZooMatrix
from analysis.report.page import render
from analysis.report.reproduce import commands
from analysis.statistics.intervals import Bootstrap
from cluster.verbs.analyze import Analyze
from trainables.study_files import StudyRecord
from zoo.generation.build import generate_zoo
from zoo.storage.errors import ZooError
from zoo.storage.store import Store

STATISTICS, WEIGHTS = "weight-statistics", "weights"
FEW = Bootstrap(replicates=20)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("several"))


@pytest.fixture(scope="module")
def studies(store, small_zoo):
    """Both have the statistics; one of them in two fits."""
    cheap = write_encoders(store, small_zoo, {STATISTICS: 2}, "cheap")
    return cheap, write_encoders(store, small_zoo, {STATISTICS: 1, WEIGHTS: 1}, "costly")


@pytest.fixture(scope="module")
def both(small_zoo, studies):
    return analyze(small_zoo, *studies, bootstrap=FEW)


@pytest.fixture(scope="module")
def keep(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="module")
def alone(small_zoo, studies, keep):
    return analyze(small_zoo, studies[0], keep=keep, bootstrap=FEW)


@pytest.fixture(scope="module")
def other_zoo(small_recipe, tmp_path_factory):
    return generate_zoo(dataclasses.replace(small_recipe, seed=1), Store(tmp_path_factory.mktemp("other")))


def told(result):
    """What was measured, whatever it is called."""
    return repr(dataclasses.replace(result, name="", study=None))


def test_all_rows_stand_in_one_table_and_say_their_study(both, alone, studies):
    names = list(dict.fromkeys(r.name for r in both.results if r.family == "learned"))
    assert names == [f"{STATISTICS} (cheap)", f"{STATISTICS} (costly)", WEIGHTS], "of each study the best first"
    assert {(r.name, r.study, r.trial) for r in both.results if r.family == "learned"} == {
        (names[0], studies[0].name, 0),
        (names[1], studies[1].name, 0),
        (names[2], studies[1].name, 1),
    }
    of_first = {told(r) for r in both.results if r.study in (None, studies[0].name)}
    assert of_first == {told(r) for r in alone.results}, "as it is measured alone; baselines once"
    assert {r.study for r in alone.results} == {None}


def test_means_and_leads_are_over_the_encoders_of_all_studies(both):
    for means in both.summary["means"]:
        named = [each["name"] for each in means["means"]]
        assert {f"{STATISTICS} (cheap) 0", f"{STATISTICS} (costly) 0", f"{WEIGHTS} 1"} <= set(named)
        (same,) = (each for each in means["means"] if each["name"].startswith(STATISTICS) and "lead" in each)
        assert same["lead"] == pytest.approx(0, abs=1e-12), "they are fits with one seed"


def test_a_further_study_costs_only_its_rows(small_zoo, studies, alone, both, keep):
    plan, kept = plan_analysis(small_zoo, *studies, bootstrap=FEW), KeptRows(keep, small_zoo.name)
    missing = [row for row in plan.rows if row not in kept]
    assert {row.study for row in missing} == {studies[1].name}
    assert len(plan.rows) - len(missing) == len(alone.results)
    found = [kept.measured(row) for row in plan.rows if row.study == studies[0].name]
    assert found == [r for r in both.results if r.study == studies[0].name]


def test_studies_of_the_same_name_are_told_apart_by_their_digests(small_zoo, studies, tmp_path):
    store, twins = Store(tmp_path), []
    for digest in ("0123abcd", "4567abcd"):
        for path in studies[0].folder.store.list(studies[0].folder.path()):
            data = studies[0].folder.store.read(path)
            store.put(path.replace(studies[0].name, f"cheap-{digest}"), data)
        twins.append(StudyRecord.open(store, f"cheap-{digest}"))
    rows = plan_analysis(small_zoo, *twins).rows
    assert {row.name for row in rows if row.family == "learned"} == {f"{STATISTICS} ({study.name})" for study in twins}


def test_each_zoo_is_a_source_with_each_of_its_studies(small_zoo, other_zoo, studies, tmp_path):
    store = Store(tmp_path)
    others = [
        write_encoders(store, other_zoo, {STATISTICS: 1}, name, **settings)
        for name, settings in (("cheap", {"trials": 3}), ("costly", {}))
    ]
    analysis = analyze(small_zoo, *studies, on=[other_zoo], studies_on=[others], bootstrap=FEW, members=8)
    matrix = ZooMatrix.of(analysis.results, (small_zoo.name, other_zoo.name), "test_accuracy")
    assert {f"{STATISTICS} (cheap)", f"{STATISTICS} (costly)"} <= set(matrix.cells)
    assert matrix.margin(*(f"{STATISTICS} ({name})" for name in ("cheap", "costly")), FEW).estimate == pytest.approx(0)
    assert f" --study {','.join(study.name for study in studies)} --crosswise" in commands(analysis.summary)
    (different,) = (text for text in analysis.summary["other_settings"] if "trials" in text)
    assert different.startswith(
        f"{studies[0].name} is compared with {others[0].name}, which has other settings: trials"
    )
    assert different in html.unescape(render(analysis))
    with pytest.raises(ValueError, match=f"1 study on {other_zoo.name} for 2 on {small_zoo.name}"):
        plan_analysis(small_zoo, *studies, on=[other_zoo], studies_on=[others[:1]])


def test_of_studies_of_one_name_those_with_the_same_settings_belong_together(small_zoo, other_zoo, tmp_path):
    store = Store(tmp_path)
    of_zoo = {
        zoo: {
            seeds: write_encoders(store, zoo, {STATISTICS: seeds}, "compared", f"{number}{seeds}abcdef", trials=seeds)
            for seeds in (1, 2)
        }
        for number, zoo in enumerate((small_zoo, other_zoo))
    }
    own, others = (list(found.values()) for found in of_zoo.values())
    assert [study.counterpart(other_zoo).name for study in own] == [study.name for study in others]
    plan = plan_analysis(small_zoo, *own, on=[other_zoo], studies_on=[[s.counterpart(other_zoo) for s in own]])
    names = {(row.study, row.name) for row in plan.rows if row.family == "learned"}
    assert names == {
        (study.name, f"{STATISTICS} ({first.name})")
        for first, second in zip(own, others, strict=True)
        for study in (first, second)
    }


def test_the_report_has_a_search_for_each_and_says_how_all_is_made_again(both, studies):
    page = render(both)
    anchors = re.findall(r'id="(trial-[^"]+)"', page)
    cheap, costly = (study.name for study in studies)
    assert anchors == [f"trial-0-of-{cheap}", f"trial-0-of-{costly}", f"trial-1-of-{costly}"]
    *_, cheap, costly, again = commands(both.summary).splitlines()
    assert (shlex.split(cheap)[2], shlex.split(costly)[2]) == ("cheap", "costly")
    assert "--seeds 2" in cheap
    assert "--seeds" not in costly
    assert again.endswith(f"--study {studies[0].name},{studies[1].name}")
    assert "studies cheap, costly" in page


def test_the_verb_takes_them_with_commas(small_zoo, store, studies):
    verb = Analyze(zoo=small_zoo.uri, study="cheap, costly", store=store.uri, members=12)
    names = tuple(study.name for study in studies)
    planned = verb.plan()
    assert (planned.studies, planned.trials) == (names, (0, 0, 1))
    done = verb.run()
    assert done.studies == names
    assert done.report == planned.report
    assert f"{STATISTICS} (costly) 0" in done.text
    assert verb.plan().kept == done.rows
    assert verb.plan().report != dataclasses.replace(verb, study="cheap").plan().report
    with pytest.raises(ValueError, match=r"--study is ' ,'; name a study, or several with commas"):
        dataclasses.replace(verb, study=" ,").plan()


def test_what_cannot_be_analyzed_together_is_refused(small_zoo, other_zoo, studies, tmp_path):
    store = Store(tmp_path)
    for digest in ("0123abcd", "4567abcd"):
        write_study(store, small_zoo, f"small-search-{digest}")
    codecs = [StudyRecord.open(store, f"small-search-{digest}") for digest in ("0123abcd", "4567abcd")]
    with pytest.raises(ValueError, match=r"several kinds \(cheap-\w+ of encoders, small-search-0123abcd of codecs\)"):
        plan_analysis(small_zoo, studies[0], codecs[0])
    with pytest.raises(
        ValueError, match=r"of codecs takes one study, not 2 \(small-search-0123abcd, small-search-4567"
    ):
        plan_analysis(small_zoo, *codecs)
    with pytest.raises(ValueError, match=r"study cheap-\w+ is named 2 times; name each study once"):
        plan_analysis(small_zoo, studies[0], studies[1], studies[0])
    with pytest.raises(ZooError, match=rf"study other-\w+ is of zoo {other_zoo.name}, not of {small_zoo.name}"):
        plan_analysis(small_zoo, studies[0], write_encoders(store, other_zoo, {STATISTICS: 1}, "other"))
