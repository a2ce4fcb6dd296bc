"""What a zoo is good for and where it misleads, said from its facts alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.card.behavior import AgreementFacts, BehaviorFacts
from analysis.card.hyperparameters import HyperParameter
from analysis.card.splits import MemorisationFacts, SharedFacts, SplitFacts, TaskFacts
from analysis.card.weights import LayoutFacts
from analysis.pages.numbers import count

SUITED, CARE, UNSUITED, UNKNOWN = "suited", "with care", "not suited", "not known"

# Above this agreement another member is nearly as good as the right one, so that hardly anything is left to code.
DIVERSE_AGREEMENT = 0.85
DIVERSE_SD = 0.06
# Regression on less spread than this mostly predicts noise of the test set.
PREDICTABLE_SD = 0.02
FEW_HELD_OUT = 30
MANY_TRAINING = 500
MANY_CHANCE = 0.1
MANY_TASKS = 10
TRAJECTORY_EPOCHS = 4
# A hyper-parameter that explains less is lost among the others.
MATTERS = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """A purpose, whether the zoo serves it, and the facts that decide."""

    purpose: str
    verdict: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """The facts that verdicts are drawn from; all attributes are parts of a card."""

    members: int
    imported: bool
    epochs: tuple[int, ...]
    diverged: int
    snapshots: int
    chance_accuracy: float | None
    chance_share: float | None
    accuracy_sd: float | None
    varying: Sequence[HyperParameter]
    splits: Sequence[SplitFacts]
    shared: Sequence[SharedFacts]
    tasks: Sequence[TaskFacts]
    memorisation: MemorisationFacts | None
    behavior: BehaviorFacts | None
    unmeasured: str
    layouts: Sequence[LayoutFacts]

    @property
    def spread(self) -> AgreementFacts | None:
        """Agreement over one snapshot a member, or over last ones where a member has no others."""
        found = {facts.snapshots: facts for facts in self.behavior.agreement} if self.behavior else {}
        chosen = found.get("one") or found.get("last")
        return chosen if chosen is not None and chosen.pairs else None


def uses(facts: Evidence) -> tuple[Use, ...]:
    """The purposes that zoos are made for, each with a verdict on this one."""
    found = [_compression(facts), _accuracy(facts), _hyper_parameters(facts), _generation(facts), _trajectories(facts)]
    if facts.memorisation:
        found.append(_memorisation(facts.memorisation))
    if facts.tasks:
        found.append(_tasks(facts.tasks))
    return tuple(found)


def limits(facts: Evidence) -> tuple[str, ...]:
    """What to keep in mind, most serious first."""
    found = []
    across = [shared for shared in facts.shared if shared.across]
    found += [
        f"{count(shared.across)} of {count(shared.groups)} groups of members with the same {shared.what} lie in more"
        " than one split: held-out members are not independent of those for fitting."
        for shared in across
    ]
    if facts.chance_share:
        found.append(
            f"{_percent(facts.chance_share)} of the members classify no better at the end than guessing would"
            f" (test accuracy about {_percent(facts.chance_accuracy)} or less). Leave them out where a trained network"
            " is meant."
        )
    if facts.diverged:
        found.append(
            f"{count(facts.diverged)} of {count(facts.snapshots)} snapshots have diverged: their weights or losses are"
            " not finite. Readers leave them out unless told otherwise, and so do all figures here."
        )
    orders = next((shared for shared in facts.shared if shared.what == "minibatch order"), None)
    if orders and orders.largest > 1:
        found.append(
            f"Members share minibatch orders: {count(orders.groups)} orders for {count(facts.members)} members. Members"
            " of one order are not independent; count orders, not members, where independence matters."
        )
    thin = [split for split in facts.splits if split.members < FEW_HELD_OUT]
    if thin:
        found.append(
            "Few members in "
            + ", ".join(f"{split.split} ({count(split.members)})" for split in thin)
            + ": figures measured there have wide intervals."
        )
    if len(facts.layouts) > 1:
        found.append(
            f"Members have {count(len(facts.layouts))} parameter layouts. Methods that need weight vectors of one"
            " length can use one layout at a time."
        )
    if facts.imported:
        found.append(
            "The zoo was imported. What its source does not say is unknown here, never filled in; losses and"
            " accuracies are the source's own."
        )
    if facts.unmeasured:
        found.append(f"Nothing was measured on images: {facts.unmeasured}")
    found.append(
        "All accuracies are on images of the members' own data set. On other inputs, shifted ones for instance,"
        " accuracy and agreement are lower."
    )
    return tuple(found)


def _compression(facts: Evidence) -> Use:
    purpose = "Claims about weight compression"
    spread = facts.spread
    if spread is None or spread.agreement.mean is None or spread.accuracy.sd is None:
        return Use(purpose=purpose, verdict=UNKNOWN, reason="Agreement between members was not measured.")
    agreement, sd = spread.agreement.mean, spread.accuracy.sd
    measured = (
        f"Two members{' of a task' if facts.tasks else ''} agree on {_percent(agreement)} of test images (limit"
        f" {_percent(DIVERSE_AGREEMENT)}), and the accuracies of"
        f" {'one snapshot a member' if spread.snapshots == 'one' else 'last snapshots'} have a standard deviation of"
        f" {100 * sd:.1f} points (at least {100 * DIVERSE_SD:.0f})"
    )
    if agreement <= DIVERSE_AGREEMENT and sd >= DIVERSE_SD:
        return Use(purpose=purpose, verdict=SUITED, reason=f"{measured}: diverse enough.")
    return Use(
        purpose=purpose,
        verdict=UNSUITED,
        reason=f"{measured}: not diverse enough. A decoder that always returns one good network would look well here.",
    )


def _accuracy(facts: Evidence) -> Use:
    purpose = "Predicting accuracy from weights"
    held_out = _held_out(facts)
    if facts.accuracy_sd is None:
        return Use(purpose=purpose, verdict=UNKNOWN, reason="No test accuracies are on record.")
    measured = (
        f"Test accuracy over all trained snapshots has a standard deviation of {100 * facts.accuracy_sd:.1f} points;"
        f" {count(held_out)} members are held out for testing"
    )
    if facts.accuracy_sd < PREDICTABLE_SD:
        return Use(purpose=purpose, verdict=UNSUITED, reason=f"{measured}: there is too little to predict.")
    if held_out < FEW_HELD_OUT:
        return Use(purpose=purpose, verdict=CARE, reason=f"{measured}, fewer than {FEW_HELD_OUT}.")
    return Use(purpose=purpose, verdict=SUITED, reason=f"{measured}.")


def _hyper_parameters(facts: Evidence) -> Use:
    purpose = "Predicting hyper-parameters from weights"
    held_out = _held_out(facts)
    names = [entry.name for entry in facts.varying if entry.kind != "seed" and entry.name != "task"]
    if not names:
        what = "seeds and tasks" if facts.tasks else "seeds"
        return Use(purpose=purpose, verdict=UNSUITED, reason=f"Members differ in their {what} alone.")
    strong = [entry.name for entry in facts.varying if (entry.explained or 0) >= MATTERS]
    matter = f" Test accuracy depends most on {', '.join(strong[:3])}." if strong else ""
    reason = f"{len(names)} {'vary' if len(names) > 1 else 'varies'}: {', '.join(names)}.{matter}"
    if held_out < FEW_HELD_OUT:
        few = f"{count(held_out)} members are held out for testing, fewer than {FEW_HELD_OUT}."
        return Use(purpose=purpose, verdict=CARE, reason=f"{reason} {few}")
    return Use(purpose=purpose, verdict=SUITED, reason=reason)


def _generation(facts: Evidence) -> Use:
    purpose = "Learning to generate networks"
    training = next((split.members for split in facts.splits if split.split == "train"), 0)
    largest = max((layout.members for layout in facts.layouts), default=0)
    problems = []
    if min(training, largest) < MANY_TRAINING:
        problems.append(
            f"at most {count(min(training, largest))} members of one layout to learn from (wanted: {MANY_TRAINING})"
        )
    if (facts.chance_share or 0) > MANY_CHANCE:
        problems.append(f"{_percent(facts.chance_share)} of all members are no better than guessing")
    if problems:
        text = " and ".join(problems)
        return Use(purpose=purpose, verdict=CARE, reason=f"{text[0].upper()}{text[1:]}.")
    return Use(purpose=purpose, verdict=SUITED, reason=f"{count(training)} members to learn from.")


def _trajectories(facts: Evidence) -> Use:
    purpose = "Studying how training goes"
    if len(facts.epochs) >= TRAJECTORY_EPOCHS:
        listed = ", ".join(map(str, facts.epochs))
        return Use(purpose=purpose, verdict=SUITED, reason=f"Each member is stored at epochs {listed}.")
    return Use(purpose=purpose, verdict=UNSUITED, reason=f"There are snapshots of {len(facts.epochs)} epochs only.")


def _memorisation(facts: MemorisationFacts) -> Use:
    memorised, held_out = facts.memorised.mean, facts.held_out.mean
    reason = (
        f"{count(facts.members)} members on {count(facts.subsets)} subsets of {', '.join(map(str, facts.sizes))}"
        " examples;"
        f" {_percent(facts.complete)} know theirs by heart. Mean accuracy on them {_percent(memorised)}, on held-out"
        f" images {_percent(held_out)}."
    )
    return Use(purpose="Studying memorisation", verdict=SUITED if facts.complete >= 0.5 else CARE, reason=reason)


def _tasks(facts: Sequence[TaskFacts]) -> Use:
    mixed = sum("," in task.split for task in facts)
    reason = f"{count(len(facts))} tasks" + (
        f", {count(mixed)} of them in more than one split." if mixed else ", each in one split: new tasks are held out."
    )
    good = len(facts) >= MANY_TASKS and not mixed
    return Use(purpose="Learning across tasks", verdict=SUITED if good else CARE, reason=reason)


def _held_out(facts: Evidence) -> int:
    return next((split.members for split in facts.splits if split.split == "test"), 0)


def _percent(share: float | None) -> str:
    return "an unknown share" if share is None else f"{100 * share:.1f} %"
