"""``analyze``: measure, write tables and the report, say the headline figures."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from analysis.analyze import ON_RANDOM, TEST_MEMBERS, Analysis, analyze, chosen_architecture
from analysis.evaluation import SHIFTED
from analysis.evaluators.registry import chosen_evaluators
from analysis.intervals import Bootstrap
from analysis.report.page import render
from analysis.rows import chosen_families, measured_trials
from analysis.tables import TABLES, write_tables
from cluster.display import human_seconds, live, say
from cluster.stores import REPORT_FILE, REPORTS, existing_store, open_zoo
from trainables.study_files import StudyRecord
from zoo.config import digest
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo

FACTS_FILE = "report.json"
# A row of 300 networks of a few thousand parameters, measured with intervals; learned codecs refine symbols as well.
ROW_S, LEARNED_ROW_S = 0.6, 3.4


def run_analyze(
    zoo_name: str,
    study_name: str | None,
    store_uri: str,
    *,
    members: int | None = None,
    codecs: str | None = None,
    evaluators: str | None = None,
    inputs: str | None = None,
    layout: int | None = None,
    seed: int | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """The verb ``analyze``.

    Args:
        zoo_name: A zoo of the store, or its URI.
        study_name: A study of the store, or ``None``.
        store_uri: Where study and report are.
        members: How many test networks.
        codecs: Names with commas; all by default.
        evaluators: Names with commas, beside the default ones.
        inputs: Shifted inputs, with commas.
        layout: Number of the parameter layout, where the zoo has several.
        seed: Seed of the bootstrap.
        dry_run: Only say what would be measured.

    Returns:
        What is printed as JSON, and ``text`` for people.
    """
    zoo = open_zoo(zoo_name, store_uri)
    store = existing_store(store_uri)
    study = None if study_name is None else StudyRecord.open(store, study_name)
    given = {"codecs": codecs, "evaluators": evaluators, "inputs": inputs}
    lists = {name: None if text is None else split_names(text) for name, text in given.items()}
    options = _options(members=members, layout=layout, seed=seed, **lists)
    chosen_families(options["codecs"], chosen_architecture(zoo, layout))
    chosen_evaluators(options["evaluators"])
    if dry_run:
        return _estimate(zoo, study, store, options)
    return write_report(zoo, study, store, **options)


def split_names(text: str) -> list[str]:
    """Names that are separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def write_report(
    zoo: Zoo,
    study: StudyRecord | None,
    store: Store,
    *,
    reuse: bool = False,
    **chosen: Any,
) -> dict[str, Any]:
    """Analyzes a zoo and writes tables and report into the store.

    Args:
        zoo: The zoo.
        study: A study on it.
        store: Where tables and report go.
        reuse: Whether a report on the same zoo, study and options will do.
        **chosen: Options of :func:`analysis.analyze.analyze` by their names there, and ``seed`` of the bootstrap.

    Returns:
        What is printed as JSON, and ``text`` for people.
    """
    options = _options(**chosen)
    name = report_name(zoo, study, options)
    identity = digest(
        {
            "zoo": zoo.content_sha256,
            "study": None if study is None else {"name": study.name, "content": study.content_sha256},
            "options": options,
            "version": _version(),
        }
    )
    facts_path = f"{REPORTS}/{name}/{FACTS_FILE}"
    if reuse and store.exists(facts_path) and store.exists(f"{REPORTS}/{name}/{REPORT_FILE}"):
        facts = json.loads(store.read(facts_path))
        if facts["identity"] == identity:
            return {**facts, "new": False, "text": summary(facts)}
    started = time.monotonic()
    say(f"analyze {zoo.name}{f' with study {study.name}' if study else ''}")
    with live("analyze", 1, "rows") as task:
        analysis = analyze(
            zoo,
            study,
            **{name: value for name, value in options.items() if name != "seed"},
            bootstrap=Bootstrap(seed=options["seed"]),
            progress=lambda done, total, row: task.update(done, row, total),
        )
    write_tables(analysis, store, name)
    store.put(f"{REPORTS}/{name}/{REPORT_FILE}", render(analysis).encode())
    facts = {
        "identity": identity,
        "report": store.join(REPORTS, name, REPORT_FILE),
        "tables": store.join(TABLES, name),
        "zoo": zoo.name,
        "study": None if study is None else study.name,
        "seconds": round(time.monotonic() - started, 2),
        **_findings(analysis),
    }
    store.put(facts_path, json.dumps(facts, indent=2).encode())
    return {**facts, "new": True, "text": summary(facts)}


def report_name(zoo: Zoo, study: StudyRecord | None, options: Mapping[str, Any]) -> str:
    """Where a report and its tables lie: a folder for each zoo or study, and others for other options."""
    name = zoo.name if study is None else study.name
    return name if options == _options() else f"{name}-{digest(options)[:8]}"


def _options(**chosen: Any) -> dict[str, Any]:
    """What decides, with zoo and study, what a report says; ``None`` stands for the default."""
    defaults = {
        "members": TEST_MEMBERS,
        "codecs": None,
        "evaluators": None,
        "inputs": list(SHIFTED),
        "layout": None,
        "seed": 0,
    }
    return defaults | {name: value for name, value in chosen.items() if value is not None}


def summary(facts: Mapping[str, Any]) -> str:
    """The headline figures in a few lines."""
    about, found = facts["summary"], facts["headlines"]
    measured = f"{about['test_members']} held-out networks on {about['test_examples']} test examples"
    lines = [f"{measured}: {_score(about)}", ""]
    words = list(found[0]["rates"]) if found else []
    lines += [f"{'bits per weight at':24}{''.join(f'{text:>24}' for text in words)}{'shared':>12}"]
    for headline in sorted(found, key=_by_rate):
        rates = "".join(f"{_rate(headline['rates'][text]):>24}" for text in words)
        lines.append(f"{headline['codec']:24}{rates}{headline['shared_bytes'] / 1000:>9.1f} kB")
    return "\n".join([*lines, "", f"report  {facts['report']}", f"tables  {facts['tables']}"])


def _score(about: Mapping[str, Any]) -> str:
    """How good the networks are, and what a codec that sends nothing keeps."""
    if about["score"] == "accuracy_original":
        said = f"accuracy {100 * about['score_mean']:.1f} ± {100 * about['score_sd']:.1f} %"
    else:
        said = f"{about['score_label']} {about['score_mean']:.3g} ± {about['score_sd']:.3g}"
    if about["pairwise_agreement"] is not None:
        said += f"; two of them agree on {100 * about['pairwise_agreement']:.1f} %"
    return f"{said}; {about['quality']} of the best zero-rate control {about['zero_rate']:.3f}"


def _findings(analysis: Analysis) -> dict[str, Any]:
    everything = analysis.to_json()
    return {"summary": everything["summary"], "headlines": everything["headlines"], "rows": len(analysis.results)}


def _by_rate(headline: Mapping[str, Any]) -> tuple[bool, float]:
    rate = next(iter(headline["rates"].values()), None)
    return rate is None, rate or 0.0


def _rate(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.3g}"


def _estimate(zoo: Zoo, study: StudyRecord | None, store: Store, options: Mapping[str, Any]) -> dict[str, Any]:
    architecture = chosen_architecture(zoo, options["layout"])
    families = chosen_families(options["codecs"], architecture)
    trials = [] if study is None else measured_trials(study)
    fits = sum(len(study.fits(trial)) for trial in trials) if study else 0
    settings = sum(len(family.settings) for family in families.values())
    # The best mean latent is a control of its own, and some codecs are measured again on untrained networks.
    controls = 1 if trials else 0
    untrained = sum(name in families for name in ON_RANDOM) + controls
    networks = min(options["members"], len(zoo.rows("test", epochs="one", architecture=architecture)))
    seconds = (settings + untrained) * ROW_S + (fits + controls) * LEARNED_ROW_S
    seconds *= networks / TEST_MEMBERS
    report = store.join(REPORTS, report_name(zoo, study, options), REPORT_FILE)
    rows = settings + len(trials) + controls
    return {
        "zoo": zoo.name,
        "study": None if study is None else study.name,
        "rows": rows,
        "codecs": list(families),
        "trials": trials,
        "test_members": networks,
        "report": report,
        "bytes": 6 * 10**6,
        "seconds": round(seconds, 1),
        "text": f"would measure {rows} rows, {settings} settings of {len(families)} codecs and controls and "
        f"{len(trials)} autoencoders among them, on {networks} held-out networks: about {human_seconds(seconds)}; "
        f"a report of about 6 MB in {report}",
    }


def _version() -> str | None:
    try:
        return metadata.version("zooscale")
    except metadata.PackageNotFoundError:  # run from a source folder
        return None
