"""``analyze``: measure, write tables and the report, say the headline figures."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from analysis.analyze import ON_RANDOM, TEST_MEMBERS, Analysis, analyze
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
        seed: Seed of the bootstrap.
        dry_run: Only say what would be measured.

    Returns:
        What is printed as JSON, and ``text`` for people.
    """
    zoo = open_zoo(zoo_name, store_uri)
    store = existing_store(store_uri)
    study = None if study_name is None else StudyRecord.open(store, study_name)
    names = None if codecs is None else [name.strip() for name in codecs.split(",") if name.strip()]
    chosen_families(names, zoo.architectures[0])
    if dry_run:
        return _estimate(zoo, study, store, _options(members, names, seed))
    return write_report(zoo, study, store, members=members, codecs=names, seed=seed)


def write_report(
    zoo: Zoo,
    study: StudyRecord | None,
    store: Store,
    *,
    members: int | None = None,
    codecs: Sequence[str] | None = None,
    seed: int | None = None,
    reuse: bool = False,
) -> dict[str, Any]:
    """Analyzes a zoo and writes tables and report into the store.

    Args:
        zoo: The zoo.
        study: A study on it.
        store: Where tables and report go.
        members: How many test networks.
        codecs: Names of codecs; all by default.
        seed: Seed of the bootstrap.
        reuse: Whether a report on the same zoo, study and options will do.

    Returns:
        What is printed as JSON, and ``text`` for people.
    """
    options = _options(members, codecs, seed)
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
            codecs=options["codecs"],
            members=options["members"],
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


def _options(
    members: int | None = None, codecs: Sequence[str] | None = None, seed: int | None = None
) -> dict[str, Any]:
    """What decides, with zoo and study, what a report says."""
    return {
        "members": TEST_MEMBERS if members is None else members,
        "codecs": None if codecs is None else list(codecs),
        "seed": seed or 0,
    }


def summary(facts: Mapping[str, Any]) -> str:
    """The headline figures in a few lines."""
    about = facts["summary"]
    lines = [
        f"{about['test_members']} held-out networks on {about['test_images']} test images: accuracy "
        f"{100 * about['accuracy_mean']:.1f} ± {100 * about['accuracy_sd']:.1f} %; two of them agree on "
        f"{100 * about['pairwise_agreement']:.1f} %, the best zero-rate control on "
        f"{100 * about['zero_rate_agreement']:.1f} %"
        if about["pairwise_agreement"] is not None
        else f"{about['test_members']} held-out network on {about['test_images']} test images",
        "",
        f"{'bits per weight at':24}{'97 % agreement':>16}{'1 pp |Δaccuracy|':>18}{'shared':>12}",
    ]
    lines += [
        f"{headline['codec']:24}{_rate(headline['rate_at_97']):>16}{_rate(headline['rate_at_1pp']):>18}"
        f"{headline['shared_bytes'] / 1000:>9.1f} kB"
        for headline in sorted(facts["headlines"], key=_by_rate)
    ]
    return "\n".join([*lines, "", f"report  {facts['report']}", f"tables  {facts['tables']}"])


def _findings(analysis: Analysis) -> dict[str, Any]:
    everything = analysis.to_json()
    return {"summary": everything["summary"], "headlines": everything["headlines"], "rows": len(analysis.results)}


def _by_rate(headline: Mapping[str, Any]) -> tuple[bool, float]:
    rate = headline["rate_at_97"]
    return rate is None, rate or 0.0


def _rate(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.3g}"


def _estimate(zoo: Zoo, study: StudyRecord | None, store: Store, options: Mapping[str, Any]) -> dict[str, Any]:
    families = chosen_families(options["codecs"], zoo.architectures[0])
    trials = [] if study is None else measured_trials(study)
    fits = sum(len(study.fits(trial)) for trial in trials) if study else 0
    settings = sum(len(family.settings) for family in families.values())
    # The best mean latent is a control of its own, and some codecs are measured again on untrained networks.
    controls = 1 if trials else 0
    untrained = sum(name in families for name in ON_RANDOM) + controls
    networks = min(options["members"], len(zoo.rows("test", epochs="one")))
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
