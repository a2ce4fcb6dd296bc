"""What a report does not say: sentences for its section of limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.evaluators.inputs import in_words
from analysis.pages.numbers import count, percent, significant
from analysis.pages.page import Section

LIMITS = (
    "Rates at infinite N leave out what is shared; total bits per weight for N networks put it back in.",
    "Held-out networks come from the same zoo as those the codecs were fitted to. Nothing is said about other"
    " architectures, zoos or data sets.",
    "Rates between two settings of a classical codec are interpolated (quality linear in the logarithm of the rate);"
    " a rate below a codec's cheapest setting is not guessed at.",
    "Seconds were measured in one process on the machine that made this report; they are not a benchmark.",
)
# Where trials of a search were measured.
LIMITS_OF_TRIALS = (
    "Between two autoencoders there is no third, so no rate is interpolated there: their rate, shared bytes and N* are"
    " those of the cheapest measured trial that reaches the target. Only the BD-rate, an average along a front, goes"
    " between trials.",
    "Which trials are the best was decided on one fit of each, which intervals do not cover.",
)


def inputs(summary: Mapping[str, Any]) -> list[str]:
    """On which inputs fidelity was measured."""
    others = "; ".join(f"{in_words(name)[1]}" for name in summary["inputs"])
    measured = f", and on others that nothing was fitted to: {others}" if others else ""
    return [
        f"Fidelity is measured on held-out examples of the networks' own data set{measured}. Elsewhere it is not"
        " tested, and usually lower."
    ]


def canonicalization(summary: Mapping[str, Any]) -> list[str]:
    """What was done to weights before coding, and how much it changes networks."""
    kept = summary["canonicalization"]
    name = summary["quality"]
    written = percent if name == "agreement" else significant
    others = [value for key, value in kept.items() if key.startswith(f"{name}_") and not key.endswith("_p5")]
    shifted = f" ({', '.join(map(written, others))} on other inputs)" if others else ""
    return [
        "Before coding, for all codecs alike, weights on inputs that are zero in every training example are set to zero"
        f" and hidden units are aligned with those of the first training snapshot. The {name} of the untouched networks"
        f" with these is {written(kept[name])}{shifted}; figures here are relative to the networks after that step."
    ]


def diverged(summary: Mapping[str, Any]) -> list[str]:
    """What is said of networks that were left out."""
    test, training = summary["test_members_diverged"], summary["training_snapshots_diverged"]
    if not test and not training:
        return ["No network was left out: no held-out network and no training snapshot has diverged."]
    return [
        f"Left out, for their weights or losses are not finite: {count(test)} held-out networks and {count(training)}"
        " training snapshots. Nothing is said about networks that diverged."
    ]


def left_out(summary: Mapping[str, Any]) -> list[str]:
    """What is said of codecs and evaluators that do not suit these networks."""
    names = summary["codecs_left_out"]
    do = "it does" if len(names) == 1 else "they do"
    said = [f"Not measured, for {do} not know such networks: {', '.join(names)}."] if names else []
    if summary["recipe"].get("kind") == "imported":
        said.append("Not measured on untrained networks: how imported networks were initialized is not known.")
    return said + not_measured(summary)


def not_measured(summary: Mapping[str, Any]) -> list[str]:
    """What is said of evaluators that do not suit these networks."""
    return [f"Not measured: {name}, which {why}." for name, why in summary["evaluators_left_out"].items()]


def missing(candidates: Mapping[str, Section | str]) -> list[str]:
    """Why there are no sections that others have."""
    return [f"There is no section “{name}”: {why}." for name, why in candidates.items() if isinstance(why, str)]
