"""What a fit sees of a zoo."""

from __future__ import annotations

from math import prod

from trainables.trainable import FitData
from zoo.data.examples import Dataset
from zoo.population import Population
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
        ZooError: There are no such members; where a layout is named, none of it among training or validation members.
    """
    if layout is not None and not 0 <= layout < len(zoo.layouts):
        raise ValueError(f"layout is {layout}; zoo {zoo.name} has {len(zoo.layouts)}, 0 to {len(zoo.layouts) - 1}")
    dataset = zoo.dataset()
    if layout is None:
        seen = zoo.populations("train", limit=training_members)
        held_out = zoo.populations("validation", epochs="one", limit=validation_members)
    else:  # of that layout alone: the first members of a zoo may all have another
        architecture = next(known for known in zoo.architectures if known.layout == zoo.layouts[layout])
        seen = iter([zoo.population("train", limit=training_members, architecture=architecture)])
        alike = zoo.population("validation", epochs="one", limit=validation_members, architecture=architecture)
        held_out = iter([alike])
    training = tuple(as_fits_see(population, dataset) for population in seen)
    known = {population.architecture.layout for population in training}
    validation = tuple(
        as_fits_see(population, dataset) for population in held_out if population.architecture.layout in known
    )
    return FitData(training=training, validation=validation, dataset=dataset)


def as_fits_see(population: Population, dataset: Dataset) -> Population:
    """The same networks with weights of 0 on inputs that never occur in a data set's training examples.

    Networks of other inputs stay as they are.

    Args:
        population: The networks.
        dataset: What they, or the networks of a fit that is to read them, were trained on.
    """
    if prod(population.architecture.input_shape) != prod(dataset.input_shape):
        return population
    return without_dead_inputs(population, dataset.train)
