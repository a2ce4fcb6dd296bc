"""A readout: what maps features of networks to a column of their zoo.

Shape letters: M members, F features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from trainables.readouts.boosting import Trees
from trainables.readouts.columns import categories_of, decided, known
from trainables.readouts.config import BoostingReadout, LinearReadout
from trainables.readouts.ridge import Ridge, RidgeBasis
from trainables.readouts.scores import scores
from trainables.readouts.softmax import SoftmaxBasis

# Of categories, after so many penalties in a row that are no better than a larger one no smaller ones are tried.
PATIENCE = 3
# How far numbers are followed where the error of validation networks is clearly less by that: of few training networks,
# all good, worse ones lie far off. Without such need what is far off is better not followed.
FURTHER, CLEARLY_LESS = 1.0, 0.95
PENALTIES = tuple(10.0**exponent for exponent in range(3, -6, -1))


@dataclass(frozen=True)
class RotatedTrees:
    """Trees that see principal components of the features.

    Attributes:
        rotation: Features to components.
        trees: Components to outputs.
    """

    rotation: Ridge
    trees: Trees

    def outputs(self, features_MF: np.ndarray) -> np.ndarray:
        """The outputs ``[M, K]``."""
        return self.trees.outputs(self.rotation.outputs(features_MF))

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything as arrays; :meth:`from_tensors` is the inverse."""
        return {**self.rotation.tensors(), **self.trees.tensors()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> RotatedTrees:
        """The inverse of :meth:`tensors`."""
        return cls(Ridge.from_tensors(tensors), Trees.from_tensors({name: tensors[name] for name in TREE_TENSORS}))


Head = Ridge | Trees | RotatedTrees
HEADS: dict[str, type[Head]] = {"linear": Ridge, "boosting": Trees, "boosting of components": RotatedTrees}
TREE_TENSORS = tuple(field.name for field in fields(Trees))


@dataclass(frozen=True)
class Readout:
    """Predicts a column of a zoo from features.

    Attributes:
        target: The column.
        categories: Its categories; empty where it is a number.
        head: What maps features to outputs.
    """

    target: str
    categories: tuple[str, ...]
    head: Head

    def predict(self, features_MF: np.ndarray) -> np.ndarray:
        """For each network a number, float64, or the name of a category: ``[M]``."""
        return decided(self.head.outputs(features_MF), self.categories)

    def facts(self) -> dict[str, Any]:
        """What to store beside :meth:`tensors`."""
        name = next(name for name, head in HEADS.items() if isinstance(self.head, head))
        return {"target": self.target, "categories": self.categories, "head": name}

    def tensors(self) -> dict[str, np.ndarray]:
        """The head as arrays."""
        return self.head.tensors()

    @classmethod
    def restored(cls, facts: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Readout:
        """The inverse of :meth:`facts` and :meth:`tensors`."""
        return cls(facts["target"], tuple(facts["categories"]), HEADS[facts["head"]].from_tensors(tensors))


class Readouts:
    """Fits readouts of the same features of the same networks to any columns.

    Args:
        training_MF: Features of training networks; NaN where missing.
        validation_MF: Features of validation networks, on which penalties are chosen.
    """

    def __init__(self, training_MF: np.ndarray, validation_MF: np.ndarray) -> None:
        self.training_MF, self.validation_MF = training_MF, validation_MF
        self._whole: RidgeBasis | None = None

    def fit(
        self,
        target: str,
        training_M: np.ndarray,
        validation_M: np.ndarray,
        settings: LinearReadout | BoostingReadout | None = None,
    ) -> Readout:
        """Fits a readout where the target is known.

        Args:
            target: The column's name.
            training_M: The column, of training networks.
            validation_M: The column, of validation networks.
            settings: Linear with the best penalty where ``None``.

        Raises:
            ValueError: The column holds the same or no value for all training networks.
        """
        settings = settings or LinearReadout()
        kept, held_out = known(training_M), known(validation_M)
        target_M, true_M = training_M[kept], validation_M[held_out]
        if len(np.unique(target_M)) < 2:
            raise ValueError(
                f"target {target!r} takes {len(np.unique(target_M))} values among the {len(target_M)} training "
                "networks; choose a column in which they differ"
            )
        categories = categories_of(target_M)
        numbers_M = np.searchsorted(categories, target_M) if categories else target_M
        if isinstance(settings, BoostingReadout):
            return Readout(target, categories, self._boosted(kept, numbers_M, settings, classify=bool(categories)))
        basis = self._basis(kept)
        softmax = SoftmaxBasis(basis) if categories else None

        def solved(penalty: float) -> Ridge:
            if softmax is not None:
                return softmax.fit(numbers_M, len(categories), penalty)
            return basis.fit(numbers_M[:, None], penalty)

        def error(head: Ridge) -> tuple[float, float]:
            """Of numbers the squared error; of categories the share told wrong and, among equals, the log loss."""
            outputs_MK = head.outputs(self.validation_MF[held_out])
            if not categories:
                return float(((outputs_MK[:, 0] - true_M) ** 2).mean()), 0.0
            log_MK = outputs_MK - np.logaddexp.reduce(outputs_MK, axis=1, keepdims=True)
            wrong = float((decided(outputs_MK, categories) != true_M).mean())
            return wrong, -float(log_MK[true_M[:, None] == np.array(categories)].sum())

        if settings.penalty or not len(true_M):
            return Readout(target, categories, solved(settings.penalty or 1.0))
        best, least, since = None, (np.inf, 0.0), 0
        for penalty in PENALTIES:
            head = solved(penalty)
            found = error(head)
            best, least, since = (head, found, 0) if found < least else (best, least, since + 1)
            # Softmax regressions with ever smaller penalties take ever longer, and tell ever less of others.
            if categories and since == PATIENCE:
                break
        best = best or solved(PENALTIES[0])
        if not categories:
            further = replace(best, range_2F=basis.range_of(FURTHER))
            best = further if error(further)[0] < CLEARLY_LESS * least[0] else best
        return Readout(target, categories, best)

    def _boosted(
        self, kept_M: np.ndarray, numbers_M: np.ndarray, settings: BoostingReadout, *, classify: bool
    ) -> Trees | RotatedTrees:
        features_MF = self.training_MF[kept_M]
        if not 0 < settings.components < features_MF.shape[1]:
            return Trees.fit(features_MF, numbers_M, settings, classify=classify)
        basis = self._basis(kept_M)
        axes_FR = basis.components(settings.components)
        rotation = Ridge(basis.standardization, axes_FR, -basis.center_F @ axes_FR, basis.range_of())
        trees = Trees.fit(rotation.outputs(features_MF), numbers_M, settings, classify=classify)
        return RotatedTrees(rotation, trees)

    def _basis(self, kept_M: np.ndarray) -> RidgeBasis:
        """The decomposition of the kept networks' features; that of all of them is made once."""
        if not kept_M.all():
            return RidgeBasis(self.training_MF[kept_M])
        if self._whole is None:
            self._whole = RidgeBasis(self.training_MF)
        return self._whole


def judged(readout: Readout, features_MF: np.ndarray, target_M: np.ndarray) -> dict[str, float]:
    """The scores of a readout on networks whose target is known; empty where none is."""
    kept = known(target_M)
    return scores(target_M[kept], readout.predict(features_MF)[kept]) if kept.any() else {}
