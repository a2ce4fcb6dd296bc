"""What a fit sees of a zoo."""

from __future__ import annotations

from trainables.trainable import FitData
from zoo.storage.zoo import Zoo
from zoo.views import without_dead_inputs


def fit_data(
    zoo: Zoo, *, training_members: int | None = None, validation_members: int | None = None, layout: int | None = None
) -> FitData:
    """Reads training and validation members; weights on inputs that never occur are zeroed, as in the analysis.

    Args:
        zoo: The zoo.
        training_members: At most so many training members, with all their snapshots.
        validation_members: At most so many validation members, one snapshot of each.
        layout: Number of the parameter layout among ``zoo.layouts``; all of them where ``None``.

    Raises:
        ValueError: There is no such layout.
        ZooError: There are no such members.
    """
    if layout is not None and not 0 <= layout < len(zoo.layouts):
        raise ValueError(f"layout is {layout}; zoo {zoo.name} has {len(zoo.layouts)}, 0 to {len(zoo.layouts) - 1}")
    dataset = zoo.dataset()
    if layout is None:
        seen = zoo.populations("train", limit=training_members)
    else:  # of that layout alone: the first members of a zoo may all have another
        architecture = next(known for known in zoo.architectures if known.layout == zoo.layouts[layout])
        seen = iter([zoo.population("train", limit=training_members, architecture=architecture)])
    training = tuple(without_dead_inputs(population, dataset.train) for population in seen)
    known = {population.architecture.layout for population in training}
    validation = tuple(
        without_dead_inputs(population, dataset.train)
        for population in zoo.populations("validation", epochs="one", limit=validation_members)
        if population.architecture.layout in known
    )
    return FitData(training=training, validation=validation, dataset=dataset)
