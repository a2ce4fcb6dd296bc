"""Fisher information: the divergence that it predicts of a change of weights, and its spectrum before and after.

A change Δ of weights moves predicted distributions by about ½ΔᵀFΔ nats, with F the original's Fisher information (see
``zoo.views.fisher``): its diagonal, exact, by one drawn class an example and by the labels (the "empirical" one), or
each layer's as a Kronecker product. Hidden units are matched to the original's before: codecs may return them in
another order, which changes no answer.

Shape letters: M members, P parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from analysis.evaluators.distances import matched
from analysis.evaluators.evaluator import EvaluationData, Evaluator, Measure, Subject, Values, required
from zoo.metric import Metric
from zoo.population import Population
from zoo.views.fisher import Fisher, fisher, spectrum

# Test examples on which Fisher information is measured; twice as many change it by some per cent.
EXAMPLES = 256
# Of the spectrum: members, evenly spaced, examples, and eigenvalues that are kept, the largest.
SPECTRA, SPECTRUM_EXAMPLES, EIGENVALUES = 8, 32, 100
EXACT, KRONECKER, DRAWN, EMPIRICAL = "fisher_diagonal", "fisher_kronecker", "fisher_monte_carlo", "fisher_empirical"
Information = list[tuple[Tensor, dict[str, Fisher]]]
"""For each architecture its rows, and their Fisher information by the name of what is told by it."""


def run(subject: Subject, original: Subject | None, data: EvaluationData) -> Values:
    """The divergence that each member's change predicts: ``[M]`` each."""
    original = required(original)
    change_MP = matched(subject, original).double() - original.population.weights_MP.double()
    found: dict[str, Tensor] = {}
    for rows, by_name in original.once("fisher", lambda: _information(original.population, data)):
        for name, information in by_name.items():
            values_M = found.setdefault(name, torch.empty(len(change_MP), dtype=torch.float64))
            values_M[rows] = information.by_diagonal(change_MP[rows])
        found.setdefault(KRONECKER, torch.empty(len(change_MP), dtype=torch.float64))
        found[KRONECKER][rows] = by_name[EXACT].by_kronecker(change_MP[rows])
    return found


def _information(population: Population, data: EvaluationData) -> Information:
    """Fisher information of the originals; where members have labels of their own the empirical one is left out."""
    part, softmax = data.examples.first(EXAMPLES), data.dataset.task.has_classes
    known = softmax and not any(member.task for member in population.members)
    found = []
    for architecture, rows in population.groups():
        weights_MP = population.weights_MP[rows]
        by_name = {EXACT: fisher(architecture, weights_MP, part.inputs, softmax=softmax)}
        if softmax:
            by_name[DRAWN] = fisher(architecture, weights_MP, part.inputs, kind="monte-carlo")
        if known:
            by_name[EMPIRICAL] = fisher(architecture, weights_MP, part.inputs, kind="empirical", labels_N=part.targets)
        found.append((rows, by_name))
    return found


def spectra(subject: Subject, original: Subject | None, data: EvaluationData) -> Mapping[str, Any]:
    """The largest eigenvalues of the exact Fisher information of some members, before and after."""
    original = required(original)
    rows = torch.linspace(0, len(subject) - 1, min(SPECTRA, len(subject))).round().int().tolist()

    def of(networks: Subject) -> list[list[float]]:
        population, x = networks.population, data.examples.first(SPECTRUM_EXAMPLES).inputs
        found = []
        for row in rows:
            architecture = population.architectures[int(population.architecture_M[row])]
            values = spectrum(architecture, population.weights_MP[row], x, softmax=data.dataset.task.has_classes)
            found.append(values[:EIGENVALUES].tolist())
        return found

    return {"rows": rows, "original": original.once("spectra", lambda: of(original)), "reconstructed": of(subject)}


def _predicted(name: str, label: str, description: str) -> Measure:
    return Measure(metric=Metric(name=name, label=label, unit="nats", direction="min", description=description))


FISHER = Evaluator(
    name="fisher",
    run=run,
    by_members=True,
    details=spectra,
    measures=(
        _predicted(
            EXACT,
            "Fisher distance (diagonal)",
            "Half the squared change, after hidden units were matched, weighted by the original's exact Fisher "
            f"information, its diagonal, on {EXAMPLES} test examples: the divergence that it predicts.",
        ),
        _predicted(
            DRAWN,
            "Fisher distance (diagonal, Monte Carlo)",
            "The same with one class drawn from the prediction for each example in place of all.",
        ),
        _predicted(
            EMPIRICAL,
            "Fisher distance (diagonal, empirical)",
            "The same with the example's label in place of all classes: another matrix.",
        ),
        _predicted(
            KRONECKER,
            "Fisher distance (Kronecker)",
            "The same with the exact information of each layer as a Kronecker product.",
        ),
    ),
    description="Divergence that Fisher information predicts of a change of weights; its spectrum before and after.",
)
