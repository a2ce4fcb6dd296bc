"""What stands at the head of a report: which zoo it is about, what was measured, on how many networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.pages.numbers import count, counted, percent, significant
from analysis.pages.page import Fact


def facts(summary: Mapping[str, Any]) -> list[Fact]:
    """The facts that stand out, by the kind of what was analyzed."""
    zoo = [
        ("Zoo", summary["zoo"].rpartition("-")[0], f"digest {summary['zoo_digest'][:16]}"),
        ("Networks", count(summary["zoo_members"]), _weights_each(summary)),
        ("Data set", summary["dataset"], ""),
    ]
    measured_on = f"{count(summary['test_members'])} networks"
    if summary["kind"] == "predictors":
        own = [
            ("Predicted", ", ".join(summary["targets"]), ""),
            ("Measured on", measured_on, "all held out, one snapshot each"),
        ]
    elif summary["kind"] == "encoders":
        own = [
            ("Read from embeddings", f"{count(len(summary['targets']))} columns", "of the zoo"),
            (
                "Measured on",
                measured_on,
                "all held out; their last snapshots, and all" if summary["snapshots"][1:] else "all held out",
            ),
        ]
    elif summary["kind"] == "hypernetworks":
        return [
            Fact(name=name, value=value, detail=detail)
            for name, value, detail in (
                *zoo,
                ("Trained on", counted(summary["training_tasks"], "task"), ""),
                ("Measured on", counted(len(summary["tasks"]), "task"), "all held out"),
            )
        ]
    elif summary["kind"] == "data sets":
        return [
            Fact(name=name, value=value, detail=detail)
            for name, value, detail in (
                *zoo,
                ("Measured on", counted(summary["test_members"], "set"), f"of {summary['set_size']} examples each"),
            )
        ]
    elif summary["kind"] == "aggregators":
        return [
            Fact(name=name, value=value, detail=detail)
            for name, value, detail in (
                *zoo,
                ("Trained", counted(summary["test_members"], "network"), f"{summary['horizon']} steps each"),
                ("Sets", f"{count(summary['set_size'])} examples", "a set of its own for each network"),
            )
        ]
    elif summary["kind"] == "generators":
        own = [("Measured", f"{count(summary['test_members'])} networks", "made by each generator")]
    else:
        own = _measured_facts(summary)
    fitted = [("Fitted on", f"{count(summary['training_snapshots'])} snapshots", "of training networks")]
    if summary["study"]:
        name = summary["study"].rpartition("-")[0]
        fitted.append(("Search", counted(summary["trials"], "trial"), f"study {name}"))
    return [Fact(name=name, value=value, detail=detail) for name, value, detail in [*zoo, *own, *fitted]]


def _weights_each(summary: Mapping[str, Any]) -> str:
    if summary["kind"] != "codecs":
        counts = sorted(summary["parameters"])
        several = f" to {count(counts[-1])} weights, {len(counts)} layouts" if len(counts) > 1 else " weights each"
        return f"{count(counts[0])}{several}"
    layout = "" if summary["layout"] is None else f", layout {summary['layout']}"
    return f"{count(summary['parameters'])} weights each{layout}"


def _measured_facts(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """How good the networks are that codecs were measured on."""
    written = percent if summary["score"] == "accuracy_original" else significant
    mean, spread, low, high = (written(summary[f"score_{name}"]) for name in ("mean", "sd", "min", "max"))
    facts = [
        (
            f"{summary['score_label'].capitalize()}, mean ± SD",
            f"{mean.removesuffix(' %')} ± {spread}",
            f"from {low} to {high}",
        )
    ]
    if summary["pairwise_agreement"] is not None:
        facts.append(("Pairwise agreement", percent(summary["pairwise_agreement"]), "of two test networks"))
    groups = f"of {counted(summary['test_groups'], 'group')} by minibatch order, " if summary["grouped"] else ""
    return [
        *facts,
        (
            "Measured on",
            f"{count(summary['test_members'])} networks",
            f"{groups}and {count(summary['test_examples'])} examples, all held out",
        ),
    ]
