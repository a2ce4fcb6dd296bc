"""What a zoo is good for and where it misleads: a table of rules over its facts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from analysis.card.record import Card
from analysis.pages.numbers import count, counted, percent, significant, with_unit
from analysis.pages.tables import Tone
from zoo.metric import Metric

SUITED, CARE, UNSUITED, UNKNOWN = "suited", "with care", "not suited", "not known"
# From best to worst, each with its color.
TONES: dict[str, Tone] = {SUITED: "good", CARE: "care", UNKNOWN: "unknown", UNSUITED: "bad"}
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """Something that a purpose asks of a zoo.

    Attributes:
        fact: A key of :func:`measures`.
        words: A clause with ``{}`` for the fact's value.
        written: How a value is written: "count", "percent", "score", "spread" of scores, or a noun to be counted.
        least: The lowest value that is enough.
        most: The highest.
        tolerated: A value that is not enough but, up to here, no worse than "with care".
        why: What is said where it is not enough.
        unknown: What is said where the fact is not known, which makes the verdict unknown unless another rule speaks
            against it; where empty, the rule is passed over.
    """

    fact: str
    words: str
    written: str
    least: float = -math.inf
    most: float = math.inf
    tolerated: float = math.nan
    why: str = ""
    unknown: str = ""

    def judge(self, value: float, score: Metric) -> tuple[str, str, str]:
        """The verdict on a value of the fact, a clause that tells it with what is wanted, and what is said besides."""
        if math.isnan(value):
            return UNKNOWN if self.unknown else SUITED, "", self.unknown
        forms: dict[str, Callable[[float], str]] = {
            "percent": percent,
            "count": count,
            "score": partial(with_unit, score),
            "spread": (lambda sd: f"{100 * sd:.1f} points") if score.unit == "share" else significant,
        }
        write = forms.get(self.written, lambda number: counted(int(number), self.written))
        clause, bound, word = self.words.format(write(value)), self.least, "at least"
        if self.most < math.inf:
            bound, word = self.most, "at most"
        if math.isfinite(bound):
            clause += f" (wanted: {word} {write(bound).removesuffix(f' {self.written}s')})"
        if self.least <= value <= self.most:
            return SUITED, clause, ""
        low, high = (self.tolerated, self.most) if math.isfinite(self.least) else (self.least, self.tolerated)
        return CARE if low <= value <= high else UNSUITED, clause, self.why


# Without enough of them figures on held-out members say nothing.
HELD_OUT = (
    Rule(fact="held_out", words="{} held out for testing", written="member", least=FEW_HELD_OUT, tolerated=10,
         why="Figures on so few held-out members have wide intervals, or none."),
    Rule(fact="groups", words="they are of {} of one minibatch order each", written="group", least=10, tolerated=2,
         why="Members of one group are not independent: so few groups tell little of others."),
)  # fmt: skip
RULES: Mapping[str, tuple[Rule, ...]] = {
    COMPRESSION: (
        Rule(fact="agreement", words="two members agree on {} of test examples", written="percent",
             most=DIVERSE_AGREEMENT,
             why="Not diverse enough: a decoder that always returns one good network would look well here.",
             unknown="Agreement between members was not measured."),
        Rule(fact="compared_sd", words="their accuracies have a standard deviation of {}", written="spread", least=0.06,
             why="Not diverse enough: networks of average accuracy would look well here."),
        *HELD_OUT,
    ),
    SCORES: (
        Rule(fact="score_sd", words="test scores of trained snapshots have a standard deviation of {}",
             written="spread", least=0.02, why="There is too little to predict.",
             unknown="No test scores are on record."),
        *HELD_OUT,
    ),
    AXES: (
        Rule(fact="axes", words="{} beside seeds, names and tasks", written="hyper-parameter", least=1,
             why="Nothing else is known in which members differ."),
        *HELD_OUT,
    ),
    GENERATION: (
        Rule(fact="alike", words="{} of one layout to learn from", written="training member", least=500, tolerated=50),
        Rule(fact="guessing", words="{} of all are no better than guessing", written="percent", most=0.1, tolerated=1),
    ),
    TRAINING: (
        Rule(fact="epochs", words="each member is stored at {}", written="epoch", least=4),
        Rule(fact="members", words="there are {}", written="member", least=FEW_HELD_OUT, tolerated=2),
    ),
    SUBSETS: (
        Rule(fact="memorized", words="{} of the members know their subset by heart", written="percent", least=0.5,
             tolerated=0),
        Rule(fact="held_out_score", words="they reach {} on held-out examples", written="score"),
        Rule(fact="members", words="there are {}", written="member", least=FEW_HELD_OUT, tolerated=2),
    ),
    TASKS: (
        Rule(fact="tasks", words="{}", written="task", least=10, tolerated=2),
        Rule(fact="test_tasks", words="{} of them for testing alone", written="count", least=3, tolerated=1,
             why="What is learned across tasks shows on tasks that nothing was fitted to."),
        Rule(fact="mixed_tasks", words="{} of them in more than one split", written="count", most=0,
             tolerated=math.inf),
        Rule(fact="held_out", words="{} held out for testing", written="member", least=FEW_HELD_OUT, tolerated=10),
    ),
}  # fmt: skip


def measures(card: Card) -> dict[str, float]:
    """The facts that rules are about; NaN where one is not known."""
    subsets, chance = card.subsets, card.about["chance_share"]
    return {
        "members": card.about["members"],
        "agreement": mean_of(card.distribution("agreement", "snapshots")),
        "compared_sd": mean_of(card.distribution("compared_accuracy", "snapshots"), "sd"),
        "score_sd": mean_of(card.distribution(card.test, "trained"), "sd"),
        "held_out": mean_of(card.groups(card.test, "split").query("value == 'test'"), "members"),
        "groups": mean_of(card.shared.query("what == 'minibatch order' and groups > 1"), "held_out"),
        "axes": len(varying(card)),
        "alike": int(card.layouts["training"].max()),
        "guessing": math.nan if chance is None else chance,
        "epochs": len(card.epochs),
        "subsets": len(subsets),
        "memorized": float(np.average(subsets["complete"], weights=subsets["members"])) if len(subsets) else math.nan,
        "held_out_score": mean_of(card.distribution(card.test, "subset_size")),
        "tasks": len(card.tasks),
        "test_tasks": int((card.tasks["split"] == "test").sum()),
        "mixed_tasks": sum("," in split for split in card.tasks["split"]),
    }


def uses(card: Card) -> pd.DataFrame:
    """The purposes that zoos are made for, each with a verdict on this one and the facts that decide."""
    facts, rows = measures(card), []
    for purpose, rules in RULES.items():
        if not facts[ONLY_WITH.get(purpose, "members")]:
            continue
        verdicts, clauses, told = zip(*(rule.judge(facts[rule.fact], card.score) for rule in rules), strict=True)
        sentence = "; ".join(filter(None, clauses))
        reasons = [f"{sentence[:1].upper()}{sentence[1:]}." if sentence else "", *told]
        if purpose == AXES and facts["axes"]:
            strong = card.axes[card.axes["explains"] >= MATTERS]["name"].tolist()[:3]
            reasons.append(f"They vary in {', '.join(varying(card))}.")
            reasons += [f"Test {card.score.label} depends most on {', '.join(strong)}."] * bool(strong)
        verdict = max(verdicts, key=list(TONES).index)
        rows.append({"purpose": purpose, "verdict": verdict, "reason": " ".join(filter(None, reasons))})
    return pd.DataFrame(rows)


def limits(card: Card) -> tuple[str, ...]:
    """What to keep in mind, most serious first."""
    about, diverged, layouts = card.about, card.epochs["diverged"].sum(), len(card.layouts)
    few = card.groups(card.test, "split").query(f"members < {FEW_HELD_OUT}")
    listed = ", ".join(f"{row.value} ({count(row.members)})" for row in few.itertuples())
    moved = "the same images moved by a pixel or" if len(about["input_shape"]) == 3 else "the same ones"
    across = [
        f"{count(shared.across)} of {count(shared.groups)} groups of members with the same {shared.what} lie in more"
        " than one split: held-out members are not independent of those for fitting."
        for shared in card.shared.query("across > 0").itertuples()
    ]
    orders = [
        f"Members share minibatch orders: {counted(orders.groups, 'order')} for {counted(about['members'], 'member')},"
        f" {count(orders.held_out)} of the orders held out. Members of one order are not independent: intervals are by"
        " groups of members that share a minibatch order."
        if orders.groups > 1
        else "All members have the same minibatch order: nothing is said of networks trained in another."
        for orders in card.shared.query("what == 'minibatch order' and largest > 1").itertuples()
    ]
    # Each with whether it is one of this zoo.
    told = {
        f"{percent(about['chance_share'])} of the members are no better at the end than guessing (test"
        f" {card.score.label} up to {with_unit(card.score, about['chance_score'])}). Leave them out where a trained"
        " network is meant.": about["chance_share"],
        f"{count(diverged)} of {count(about['snapshots'])} snapshots have diverged: their weights or losses are not"
        " finite. Readers leave them out unless told otherwise, and so do all figures here.": diverged,
        **dict.fromkeys(orders, True),
        f"Few members in {listed}: figures measured there have wide intervals.": listed,
        f"Members have {count(layouts)} parameter layouts. Methods that need weight vectors of one length can use one"
        " layout at a time.": layouts > 1,
        "The networks were generated, not trained: they have no epochs (their one snapshot stands at epoch 1) and no"
        " hyper-parameters. Losses and scores were measured here.": about["generated"],
        "The zoo was imported. What its source does not say is unknown here, never filled in; losses and scores are"
        " the source's own, or measured here where it has none.": about["imported"] and not about["generated"],
        f"Nothing was measured on examples: {card.absent}.": card.absent,
        f"All scores are on examples of the members' own data set. On others, such as {moved} with noise, scores and"
        " agreement are usually lower.": True,
    }
    return (*across, *(sentence for sentence, holds in told.items() if holds))


def varying(card: Card, *, tasks: bool = False) -> list[str]:
    """The axes in which members differ, beside seeds and names, and beside tasks unless these are wanted too."""
    names: list[str] = card.axes[card.axes["kind"].isin(["choice", "number"])]["name"].tolist()
    return [name for name in names if tasks or name != "task"]


def mean_of(rows: pd.DataFrame, column: str = "mean") -> float:
    """The figure of the last row; NaN where there is none."""
    return float(rows[column].iloc[-1]) if len(rows) else math.nan
