"""What stands at the head of a report: which zoo it is about, what was measured, on how many networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from analysis.measuring.measured_trials import study_labels
from analysis.pages.numbers import count, counted, percent, significant
from analysis.pages.page import Fact

# Name, value and a detail in small print.
Row: TypeAlias = tuple[str, str, str]


def facts(summary: Mapping[str, Any]) -> list[Fact]:
    """The facts that stand out: the zoo, what was measured, what was fitted."""
    zoo = [
        ("Zoo", summary["zoo"].rpartition("-")[0], f"digest {summary['zoo_digest'][:16]}"),
        ("Networks", count(summary["zoo_members"]), _weights_each(summary)),
        ("Data set", summary["dataset"], ""),
    ]
    fitted = []
    if "training_snapshots" in summary:
        fitted.append(("Fitted on", f"{count(summary['training_snapshots'])} snapshots", "of training networks"))
    if summary["studies"]:
        named = study_labels([each["study"] for each in summary["studies"]]).values()
        words = f"{'study' if len(named) == 1 else 'studies'} {', '.join(named)}"
        fitted.append(("Search", counted(sum(each["trials"] for each in summary["studies"]), "trial"), words))
    rows = [*zoo, *MEASURED[summary["kind"]](summary), *fitted]
    return [Fact(name=name, value=value, detail=detail) for name, value, detail in rows]


def _of_predictors(summary: Mapping[str, Any]) -> list[Row]:
    return [
        ("Predicted", ", ".join(summary["targets"]), ""),
        ("Measured on", f"{count(summary['test_members'])} networks", "all held out, one snapshot each"),
    ]


def _of_encoders(summary: Mapping[str, Any]) -> list[Row]:
    detail = "all held out" + "; their last snapshots, and all" * bool(summary["snapshots"][1:])
    return [
        ("Read from embeddings", f"{count(len(summary['targets']))} columns", "of the zoo"),
        ("Measured on", f"{count(summary['test_members'])} networks", detail),
    ]


def _of_hypernetworks(summary: Mapping[str, Any]) -> list[Row]:
    return [
        ("Trained on", counted(summary["training_tasks"], "task"), ""),
        ("Measured on", counted(len(summary["tasks"]), "task"), "all held out"),
    ]


def _of_sets(summary: Mapping[str, Any]) -> list[Row]:
    return [("Measured on", counted(summary["test_members"], "set"), f"of {summary['set_size']} examples each")]


def _of_generators(summary: Mapping[str, Any]) -> list[Row]:
    return [("Measured", f"{count(summary['test_members'])} networks", "made by each generator")]


def _of_aggregators(summary: Mapping[str, Any]) -> list[Row]:
    return [
        ("Trained", counted(summary["test_members"], "network"), f"{summary['horizon']} steps each"),
        ("Sets", f"{count(summary['set_size'])} examples", "a set of its own for each network"),
    ]


def _of_groups(summary: Mapping[str, Any]) -> list[Row]:
    low, high = summary["members_of_groups"]
    each = count(low) if low == high else f"{count(low)} to {count(high)}"
    return [
        ("Grouped by", ", ".join(summary["columns"]), f"{each} networks in each group"),
        ("Measured on", f"{count(summary['test_members'])} networks", "members of every split"),
    ]


def _weights_each(summary: Mapping[str, Any]) -> str:
    if summary["kind"] != "codecs":
        counts = sorted(summary["parameters"])
        several = f" to {count(counts[-1])} weights, {len(counts)} layouts" if len(counts) > 1 else " weights each"
        return f"{count(counts[0])}{several}"
    layout = "" if summary["layout"] is None else f", layout {summary['layout']}"
    return f"{count(summary['parameters'])} weights each{layout}"


def _of_codecs(summary: Mapping[str, Any]) -> list[Row]:
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


# By the kind of what was analyzed.
MEASURED: dict[str, Callable[[Mapping[str, Any]], list[Row]]] = {
    "codecs": _of_codecs,
    "predictors": _of_predictors,
    "encoders": _of_encoders,
    "hypernetworks": _of_hypernetworks,
    "data sets": _of_sets,
    "generators": _of_generators,
    "aggregators": _of_aggregators,
    "groups": _of_groups,
}
