"""What a zoo is good for and where it misleads: a table of rules over its facts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from analysis.card.record import Card
from analysis.pages.numbers import count, counted, percent, significant, with_unit
from analysis.pages.tables import Tone

SUITED, CARE, UNSUITED, UNKNOWN = "suited", "with care", "not suited", "not known"
# From best to worst, each with its color.
TONES: dict[str, Tone] = {SUITED: "good", CARE: "care", UNSUITED: "bad", UNKNOWN: "unknown"}
# Above this agreement another member is nearly as good as the right one, so that hardly anything is left to code.
DIVERSE_AGREEMENT = 0.85
FEW_HELD_OUT = 30
# A hyper-parameter that explains less is lost among the others.
MATTERS = 0.02
COMPRESSION, SCORES = "Claims about weight compression", "Predicting scores from weights"
AXES, GENERATION = "Predicting hyper-parameters from weights", "Learning to generate networks"
TRAINING, SUBSETS, TASKS = "Studying how training goes", "Studying memorization", "Learning across tasks"
# Purposes that only some zoos can have: those in which this fact is not 0.
ONLY_WITH = {SUBSETS: "subsets", TASKS: "tasks"}


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that a purpose asks of a zoo.

    Attributes:
        purpose: The purpose.
        fact: A key of :func:`measures`.
        words: A clause with ``{}`` for the fact's value.
        written: How a value is written: "count", "percent", "score", "spread" of scores, or a noun to be counted.
        least: The lowest value that is enough.
        most: The highest.
        otherwise: The verdict where it is not met.
        why: What is said then.
        unknown: What is said where the fact is not known, which makes the verdict unknown; where empty, the rule is
            passed over.
    """

    purpose: str
    fact: str
    words: str
    written: str
    least: float = -math.inf
    most: float = math.inf
    otherwise: str = UNSUITED
    why: str = ""
    unknown: str = ""


RULES = (
    Rule(
        COMPRESSION, "agreement", "two members agree on {} of test examples", "percent", most=DIVERSE_AGREEMENT,
        why="Not diverse enough: a decoder that always returns one good network would look well here.",
        unknown="Agreement between members was not measured.",
    ),
    Rule(
        COMPRESSION, "compared_sd", "their accuracies have a standard deviation of {}", "spread", least=0.06,
        why="Not diverse enough: networks of average accuracy would look well here.",
    ),
    Rule(
        SCORES, "score_sd", "test scores of trained snapshots have a standard deviation of {}", "spread", least=0.02,
        why="There is too little to predict.", unknown="No test scores are on record.",
    ),
    Rule(SCORES, "held_out", "{} are held out for testing", "member", least=FEW_HELD_OUT, otherwise=CARE),
    Rule(
        AXES, "axes", "{} beside seeds and tasks", "hyper-parameter", least=1,
        why="Members differ in their seeds and tasks alone.",
    ),
    Rule(AXES, "held_out", "{} are held out for testing", "member", least=FEW_HELD_OUT, otherwise=CARE),
    Rule(GENERATION, "alike", "{} of one layout to learn from", "member", least=500, otherwise=CARE),
    Rule(GENERATION, "guessing", "{} of all are no better than guessing", "percent", most=0.1, otherwise=CARE),
    Rule(TRAINING, "epochs", "each member is stored at {}", "epoch", least=4),
    Rule(SUBSETS, "memorized", "{} of the members know their subset by heart", "percent", least=0.5, otherwise=CARE),
    Rule(SUBSETS, "held_out_score", "they reach {} on held-out examples", "score"),
    Rule(TASKS, "tasks", "{}", "task", least=10, otherwise=CARE),
    Rule(TASKS, "mixed_tasks", "{} of them in more than one split", "count", most=0, otherwise=CARE),
)  # fmt: skip


def measures(card: Card) -> dict[str, float]:
    """The facts that rules are about; NaN where one is not known."""
    members = card.groups(card.test, "split").set_index("value")["members"]
    subsets, chance = card.subsets, card.about["chance_share"]
    return {
        "agreement": mean_of(card.distribution("agreement", "snapshots")),
        "compared_sd": mean_of(card.distribution("compared_accuracy", "snapshots"), "sd"),
        "score_sd": mean_of(card.distribution(card.test, "trained"), "sd"),
        "held_out": int(members["test"]),
        "axes": len(varying(card)),
        "alike": min(int(members["train"]), int(card.layouts["members"].max())),
        "guessing": math.nan if chance is None else chance,
        "epochs": len(card.epochs),
        "subsets": len(subsets),
        "memorized": float(np.average(subsets["complete"], weights=subsets["members"])) if len(subsets) else math.nan,
        "held_out_score": mean_of(card.distribution(card.test, "subset_size")),
        "tasks": len(card.tasks),
        "mixed_tasks": sum("," in split for split in card.tasks["split"]),
    }


def uses(card: Card) -> pd.DataFrame:
    """The purposes that zoos are made for, each with a verdict on this one and the facts that decide."""
    facts, rows = measures(card), []
    for purpose in dict.fromkeys(rule.purpose for rule in RULES):
        if purpose in ONLY_WITH and not facts[ONLY_WITH[purpose]]:
            continue
        verdict, clauses, told = SUITED, list[str](), list[str]()
        for rule in (rule for rule in RULES if rule.purpose == purpose):
            value = facts[rule.fact]
            if math.isnan(value):
                verdict = UNKNOWN if rule.unknown else verdict
                told.append(rule.unknown)
                continue
            clauses.append(_clause(card, rule, value))
            if not rule.least <= value <= rule.most:
                verdict = max(verdict, rule.otherwise, key=list(TONES).index)
                told.append(rule.why)
        if purpose == AXES and facts["axes"]:
            told.append(_matter(card))
        sentence = "; ".join(clauses) + "." * bool(clauses)
        reason = " ".join(filter(None, [f"{sentence[:1].upper()}{sentence[1:]}", *told]))
        rows.append({"purpose": purpose, "verdict": verdict, "reason": reason})
    return pd.DataFrame(rows)


def limits(card: Card) -> Iterator[str]:
    """What to keep in mind, most serious first."""
    about = card.about
    for shared in card.shared.query("across > 0").itertuples():
        yield (
            f"{count(shared.across)} of {count(shared.groups)} groups of members with the same {shared.what} lie in"
            " more than one split: held-out members are not independent of those for fitting."
        )
    if about["chance_share"]:
        yield (
            f"{percent(about['chance_share'])} of the members are no better at the end than guessing (test"
            f" {card.score.label} up to {with_unit(card.score, about['chance_score'])}). Leave them out where a trained"
            " network is meant."
        )
    if diverged := int(card.epochs["diverged"].sum()):
        yield (
            f"{count(diverged)} of {count(about['snapshots'])} snapshots have diverged: their weights or losses are not"
            " finite. Readers leave them out unless told otherwise, and so do all figures here."
        )
    for orders in card.shared.query("what == 'minibatch order' and largest > 1").itertuples():
        yield (
            f"Members share minibatch orders: {count(orders.groups)} orders for {count(about['members'])} members."
            " Members of one order are not independent; count orders, not members, where independence matters."
        )
    few = card.groups(card.test, "split").query(f"members < {FEW_HELD_OUT}")
    if len(few):
        listed = ", ".join(f"{row.value} ({count(row.members)})" for row in few.itertuples())
        yield f"Few members in {listed}: figures measured there have wide intervals."
    if len(card.layouts) > 1:
        yield (
            f"Members have {count(len(card.layouts))} parameter layouts. Methods that need weight vectors of one length"
            " can use one layout at a time."
        )
    if about["imported"]:
        yield (
            "The zoo was imported. What its source does not say is unknown here, never filled in; losses and scores are"
            " the source's own."
        )
    if card.absent:
        yield f"Nothing was measured on examples: {card.absent}."
    yield (
        "All scores are on examples of the members' own data set. On other inputs, shifted ones for instance, scores"
        " and agreement are lower."
    )


def varying(card: Card, *, tasks: bool = False) -> list[str]:
    """The axes in which members differ, beside seeds, and beside tasks unless these are wanted too."""
    names: list[str] = card.axes[card.axes["kind"].isin(["choice", "number"])]["name"].tolist()
    return [name for name in names if tasks or name != "task"]


def mean_of(rows: pd.DataFrame, column: str = "mean") -> float:
    """The figure of the last row; NaN where there is none."""
    return float(rows[column].iloc[-1]) if len(rows) else math.nan


def _clause(card: Card, rule: Rule, value: float) -> str:
    """What a rule says of a value, and what is wanted."""
    forms: dict[str, Callable[[float], str]] = {
        "percent": percent,
        "count": count,
        "score": partial(with_unit, card.score),
        "spread": (lambda sd: f"{100 * sd:.1f} points") if card.score.unit == "share" else significant,
    }
    write = forms.get(rule.written, lambda number: counted(int(number), rule.written))
    bound, word = (rule.most, "at most") if rule.most < math.inf else (rule.least, "at least")
    wanted = f" (wanted: {word} {write(bound).removesuffix(f' {rule.written}s')})" if math.isfinite(bound) else ""
    return rule.words.format(write(value)) + wanted


def _matter(card: Card) -> str:
    strong = card.axes[card.axes["explains"] >= MATTERS]["name"].tolist()[:3]
    matter = f" Test {card.score.label} depends most on {', '.join(strong)}." if strong else ""
    return f"They vary in {', '.join(varying(card))}.{matter}"
