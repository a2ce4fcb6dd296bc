"""How to make zoo, study and report again: the commands, and the versions that made them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from analysis.evaluators.inputs import MOVED
from analysis.pages.commands import settings, zoo_commands
from analysis.pages.page import Code, Section, Text, installed_versions
from analysis.reading.scopes import EVERY

LIBRARIES = ("zooscale", "torch", "numpy", "scikit-learn", "constriction", "optuna", "ray", "plotly")
# What has an option of its own, follows from the study's name, or changes nothing.
NOT_SET = ("name", "trials", "epochs", "limits", "settings", "seed", "description", "cost")


def reproduce(summary: Mapping[str, Any]) -> Section:
    """The commands that make it again, and by which versions it was made."""
    versions = installed_versions(LIBRARIES)
    return Section(
        anchor="reproduce",
        heading="How to reproduce",
        short="Reproduce",
        blocks=(Code(commands(summary)), *([Text(versions, "note")] if versions else [])),
    )


def commands(summary: Mapping[str, Any]) -> str:
    """Commands, one a line, with comments where a command cannot tell all.

    Args:
        summary: An analysis's summary. Of a recipe, what differs from the built-in one of its name is set; of a
            study, everything that it has on record.
    """
    lines = [*zoo_commands(summary["recipe"], summary["zoo_members"])]
    analyze = f"zooscale analyze --zoo {summary['zoo']} --members {summary['test_members']}"
    options = {
        "examples": summary.get("chosen_examples"),
        "layout": summary.get("layout"),
        "codecs": ",".join(summary.get("chosen_codecs") or ()),
        "evaluators": ",".join(summary.get("added_evaluators", ())),
        "inputs": ",".join(summary["inputs"]) if list(summary.get("inputs", [MOVED])) != [MOVED] else None,
        "cells": ",".join(map(str, summary.get("cells", ()))),
        "seed": summary["seed"] or None,
        "on": ",".join(summary.get("on", ())),
        "by": ",".join(summary.get("columns", ())),
    }
    analyze += "".join(
        f" --{name} {shlex.quote(str(value))}" for name, value in options.items() if value not in (None, "")
    )
    if summary["studies"]:
        lines += [_search(study, summary["zoo"]) for study in summary["studies"]]
        analyze += f" --study {','.join(study['study'] for study in summary['studies'])}"
        analyze += " --crosswise" if summary.get("crosswise") else ""
        analyze += " --boosting" if summary.get("boosting") else ""
        analyze += " --untrained" if EVERY in summary.get("snapshots", ()) else ""
    return "\n".join([*lines, analyze])


def _search(study: Mapping[str, Any], zoo: str) -> str:
    search = study["search"]
    name = study["study"].rpartition("-")[0]
    if not search["spaces"] and name == search["trainables"][0]:
        return f"zooscale fit {name} --zoo {zoo}{settings(search.get('settings') or {})}"
    command = f"zooscale search {name} --zoo {zoo} --trials {study['trials']}"
    if search.get("epochs") is not None:
        command += f" --epochs {search['epochs']}"
    if study["seeds"] > 1:
        command += f" --seeds {study['seeds']}"
    of_study = {field: value for field, value in search.items() if field not in NOT_SET and value not in (None, "")}
    limits = {f"limits.{metric}": value for metric, value in search["limits"].items()}
    return command + settings(of_study | limits | dict(search.get("settings") or {}))
