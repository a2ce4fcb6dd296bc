"""Task embeddings on CIFAR-100: against its taxonomy, against difficulty, and for choosing a source task.

    python benchmarks/task2vec.py --work FOLDER [--dataset cifar100] [--others mnist fashion_mnist ...] [--steps ...]

Of each superclass two classes train the probe network, so that tasks are of classes that it has not seen; of the others
two make source tasks and one makes target tasks. What a step has made lies in the folder and is not made again: steps
can be run one by one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from analysis.statistics.intervals import Interval
from analysis.tasks.distances import asymmetric_distance, symmetric_distance
from analysis.tasks.relations import choice_of_source, with_difficulty, with_taxonomy
from analysis.tasks.transfer import held_out_errors, transfer_errors
from trainables.tasks.config import ProbeConfig, Task2VecConfig
from trainables.tasks.embedding import Features, embed_tasks
from trainables.tasks.embeddings import TaskEmbeddings, joined
from trainables.tasks.probe import ProbeNetwork, TrainedProbe
from trainables.tasks.probe_training import train_probe
from zoo.architecture import cnn
from zoo.data import Dataset, load_dataset
from zoo.data.class_tasks import one_vs_rest, parse_task, select
from zoo.data.taxonomy import CIFAR100
from zoo.population import Member
from zoo.training.train import train_population

STEPS = ("probe", "taxonomy", "variational", "difficulty", "data-sets", "sources", "choice", "across")
PROBE = ProbeConfig(channels=(8, 16, 32), epochs=8, learning_rate=4e-3, augment=True)
EXACT = Task2VecConfig(examples=320)
VARIATIONAL = Task2VecConfig(estimate="variational", examples=320, steps=80, step_examples=24)
# Tasks that the variational estimate takes at a time.
LOT = 10
# Classes of each superclass by what they are for.
FOR_PROBE, FOR_SOURCES, FOR_TARGETS = slice(0, 2), slice(2, 4), slice(4, 5)
SOURCES, TARGETS, SUPERCLASSES = 24, 40, 4
EXPERT_EPOCHS, LABELS, DRAWS = 15, (5, 20), range(5)
# Targets of each half of a data set, and training images of which half train a network.
TARGETS_ACROSS, MOST_IMAGES = 4, 4000


class Run:
    """What the steps share: the data set, the folder, what was made before."""

    def __init__(self, dataset: str, others: Sequence[str], work: Path) -> None:
        self.data = load_dataset(dataset)
        self.others = others
        self.work = work
        work.mkdir(parents=True, exist_ok=True)

    def kept(self, name: str, make: Callable[[], dict[str, bytes]]) -> dict[str, bytes]:
        """Files that were made before, or are made now and kept; says how long that took."""
        folder = self.work / name
        if not folder.exists():
            started, cpu = time.monotonic(), time.process_time()
            files = make()
            folder.mkdir()
            for file, content in files.items():
                (folder / file).write_bytes(content)
            print(
                f"made {name}: {time.monotonic() - started:.0f} s, {time.process_time() - cpu:.0f} s of CPU", flush=True
            )
        return {file.name: file.read_bytes() for file in folder.iterdir()}

    @property
    def probe(self) -> ProbeNetwork:
        """The probe network, trained on two classes of each superclass."""
        return TrainedProbe.from_files(self.kept("probe", lambda: self._trained_probe().to_files())).network

    def _trained_probe(self) -> TrainedProbe:
        classes = sorted(itertools.chain(*(members[FOR_PROBE] for members in CIFAR100.values())))
        config = ProbeConfig(**{**{f: getattr(PROBE, f) for f in PROBE.__slots__}, "task": "-".join(map(str, classes))})
        made = train_probe(self.data, config, lambda epoch, loss: print(f"  epoch {epoch}: {loss:.3f}", flush=True))
        held_out = select(config.task, self.data.validation)
        logits = made.architecture.logits(made.weights_P[None], held_out.inputs)[0]
        right = float((logits.argmax(1) == held_out.targets).float().mean())
        print(f"probe: {right:.3f} of the validation images of its {len(classes)} classes")
        return made

    def embedded(
        self, name: str, tasks: Sequence[tuple[Dataset, str]], config: Task2VecConfig, together: int | None = None
    ) -> TaskEmbeddings:
        """Embeddings of tasks under a name; so many together, each lot kept as it is made, or all at once."""
        if together is None:
            return TaskEmbeddings.from_files(self.kept(name, lambda: embed_tasks(self.probe, tasks, config).to_files()))
        lots = [tasks[start : start + together] for start in range(0, len(tasks), together)]
        return joined([self.embedded(f"{name}-{number}", lot, config) for number, lot in enumerate(lots)])

    def one_vs_rest(self, name: str, config: Task2VecConfig) -> TaskEmbeddings:
        """Each class that the probe has not seen against all others."""
        unseen = sorted(itertools.chain(*(members[FOR_PROBE.stop :] for members in CIFAR100.values())))
        tasks = [(self.data, f"{label}-rest") for label in unseen]
        return self.embedded(name, tasks, config, together=None if config.estimate == "exact" else LOT)


def group_of(task: str) -> str:
    """The superclass of a task's first class."""
    return superclass(parse_task(task)[0])


def superclass(label: int) -> str:
    return next(name for name, members in CIFAR100.items() if label in members)


def written(interval: Interval) -> str:
    return f"{interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def say(name: str, found: dict[str, Interval]) -> None:
    print(f"{name}: " + ", ".join(f"{metric} {written(interval)}" for metric, interval in found.items()), flush=True)


def taxonomy(run: Run, name: str, config: Task2VecConfig) -> None:
    """Distance against superclasses, beside the distance of the classes' mean features."""
    found = run.one_vs_rest(name, config)
    groups = [group_of(task.task) for task in found.tasks]
    say(f"taxonomy, {config.estimate}", with_taxonomy(symmetric_distance(found.values_TE), groups))
    features = Features(run.probe)
    labels = run.data.train.targets
    means = [
        features(run.data.train, (labels == parse_task(t.task)[0]).nonzero().flatten()).mean(0) for t in found.tasks
    ]
    means_TD = np.stack(means) - np.mean(means, axis=0)
    means_TD /= np.linalg.norm(means_TD, axis=1, keepdims=True)
    say("taxonomy, mean features of the class", with_taxonomy(1 - means_TD @ means_TD.T, groups))
    errors_T = held_out_errors(run.probe, [run.data], found)
    print(f"difficulty, one against rest, {config.estimate}: ρ {written(with_difficulty(found.norms, errors_T))}; "
          f"errors {errors_T.min():.3f} to {errors_T.max():.3f}", flush=True)  # fmt: skip


def variational(run: Run) -> None:
    """The variational estimate on the same tasks, and how far the two agree."""
    taxonomy(run, "taxonomy-variational", VARIATIONAL)
    exact, other = run.one_vs_rest("taxonomy", EXACT), run.one_vs_rest("taxonomy-variational", VARIATIONAL)
    pairs = np.triu_indices(len(exact), 1)
    distances = [symmetric_distance(found.values_TE)[pairs] for found in (exact, other)]
    first, second = (np.argsort(np.argsort(distance)) for distance in distances)
    print(f"distances of the two estimates: Spearman {np.corrcoef(first, second)[0, 1]:.3f}")


def difficulty(run: Run) -> None:
    """Norm against error for pairs of unseen classes, and for tasks of 2 to 20 of them."""
    generator = np.random.default_rng(0)
    unseen = np.array(sorted(itertools.chain(*(members[FOR_PROBE.stop :] for members in CIFAR100.values()))))
    for name, sizes in (("pairs", [2] * 60), ("sizes", [2, 3, 5, 10, 20] * 8)):
        drawn = ["-".join(map(str, generator.choice(unseen, size, replace=False))) for size in sizes]
        found = run.embedded(f"difficulty-{name}", [(run.data, task) for task in dict.fromkeys(drawn)], EXACT)
        errors_T = held_out_errors(run.probe, [run.data], found)
        print(f"difficulty, {name}: {len(found)} tasks, ρ {written(with_difficulty(found.norms, errors_T))}; "
              f"errors {errors_T.min():.3f} to {errors_T.max():.3f}", flush=True)  # fmt: skip


def data_sets(run: Run) -> None:
    """One class against the rest in several data sets: do tasks of one data set lie together?"""
    unseen = [members[FOR_TARGETS][0] for members in CIFAR100.values()][:10]
    tasks = [(run.data, f"{label}-rest") for label in unseen]
    for name in run.others:
        other = load_dataset(name)
        tasks += [(other, task) for task in one_vs_rest(other.classes)]
    found = run.embedded("data-sets", tasks, EXACT)
    names = [task.dataset for task in found.tasks]
    distances_TT = symmetric_distance(found.values_TE)
    say("data sets", with_taxonomy(distances_TT, names))
    known = list(dict.fromkeys(names))
    rows = [[i for i, name in enumerate(names) if name == one] for one in known]
    for one, of_one in zip(known, rows, strict=True):
        means = [distances_TT[np.ix_(of_one, other)] for other in rows]
        within = [
            m[~np.eye(len(m), dtype=bool)].mean() if other is of_one else m.mean()
            for m, other in zip(means, rows, strict=True)
        ]
        print(f"  {one}: " + ", ".join(f"{name} {mean:.3f}" for name, mean in zip(known, within, strict=True)))


def drawn_tasks(classes: slice, count: int) -> list[str]:
    """Tasks on these classes of ``SUPERCLASSES`` superclasses each, drawn at random."""
    generator, members = np.random.default_rng(0 if classes == FOR_SOURCES else 1), list(CIFAR100.values())
    groups = (generator.choice(len(members), SUPERCLASSES, replace=False) for _ in range(count))
    return ["-".join(str(label) for group in sorted(chosen) for label in members[group][classes]) for chosen in groups]


def trained(run: Run, name: str, data: Dataset, tasks: Sequence[str], share: float = 1.0) -> list[ProbeNetwork]:
    """A network for each of some tasks with equally many classes, trained side by side on a share of their images."""
    architecture = cnn(data.input_shape, (8, 16, 32), len(parse_task(tasks[0])))

    def make() -> dict[str, bytes]:
        members = [
            Member(id=i, seed=i, task=task, learning_rate=2e-3, batch_size=32, training_fraction=share)
            for i, task in enumerate(tasks)
        ]
        files: dict[str, bytes] = {}
        snapshots = train_population(
            architecture, members, data.train, epochs=EXPERT_EPOCHS, snapshot_epochs=[EXPERT_EPOCHS]
        )
        for snapshot in snapshots:
            for row, weights_P in zip(snapshot.rows, snapshot.weights_MP, strict=True):
                files[f"{row}.npy"] = weights_P.numpy().tobytes()
        return files

    files = run.kept(name, make)
    weights = [torch.from_numpy(np.frombuffer(files[f"{row}.npy"], np.float32).copy()) for row in range(len(tasks))]
    return [TrainedProbe(task, architecture, one).network for task, one in zip(tasks, weights, strict=True)]


def experts(run: Run) -> list[ProbeNetwork]:
    """A network for each source task on classes of CIFAR-100."""
    return trained(run, "experts", run.data, drawn_tasks(FOR_SOURCES, SOURCES))


def kept_errors(
    run: Run, name: str, networks: Sequence[ProbeNetwork], targets: Sequence[tuple[Dataset, str]], labels: int
) -> np.ndarray:
    """Errors on targets with few labels, on the features of each network."""

    def make() -> dict[str, bytes]:
        return {"errors.json": json.dumps(transfer_errors(networks, targets, labels, DRAWS).tolist()).encode()}

    return np.array(json.loads(run.kept(f"{name}-{labels}", make)["errors.json"]))


def choice(run: Run) -> None:
    """Error with the nearest source's features, for few labels, beside random choice and the oracle."""
    networks = experts(run)
    sources = run.embedded("sources", [(run.data, network.name) for network in networks], EXACT)
    targets = [(run.data, task) for task in dict.fromkeys(drawn_tasks(FOR_TARGETS, TARGETS))]
    asked = [
        [set(map(superclass, parse_task(name))) for name in names]
        for names in ([network.name for network in networks], [task for _, task in targets])
    ]
    shared_ST = np.array([[len(source & target) for target in asked[1]] for source in asked[0]])
    for labels in LABELS:
        errors_ST = kept_errors(run, "errors", networks, targets, labels)
        config = Task2VecConfig(examples=labels * SUPERCLASSES)
        found = run.embedded(f"targets-{labels}", targets, config)
        distances_ST = {
            "symmetric": symmetric_distance(sources.values_TE, found.values_TE),
            "asymmetric": asymmetric_distance(sources.values_TE, found.values_TE, sources.prior_E),
            "shared superclasses": -shared_ST,
        }
        say(f"choice of source, {labels} labels a class", choice_of_source(errors_ST, distances_ST))


def across(run: Run) -> None:
    """The same with a source of each data set: five of its ten classes; targets are three of the five others."""
    datasets = [load_dataset(name) for name in run.others]
    generator = np.random.default_rng(0)
    triples = list(itertools.combinations(range(5), 3))
    halves = ("0-1-2-3-4", "5-6-7-8-9")
    networks = [
        trained(run, f"experts-{data.name}", data, halves, min(1.0, MOST_IMAGES / len(data.train))) for data in datasets
    ]
    sources = run.embedded("sources-across", [(data, half) for data in datasets for half in halves], EXACT)
    drawn = [
        [
            (data, "-".join(str(5 * half + label) for label in triples[row]))
            for data in datasets
            for row in generator.choice(len(triples), TARGETS_ACROSS, replace=False)
        ]
        for half in (0, 1)
    ]
    own_ST = np.tile(np.repeat(np.eye(len(datasets)), TARGETS_ACROSS, axis=1), 2)
    for labels in LABELS:
        errors, symmetric, asymmetric = [], [], []
        for half, targets in enumerate(drawn):
            of_other_half = [one[1 - half] for one in networks]
            errors.append(kept_errors(run, f"errors-across-{half}", of_other_half, targets, labels))
            found = run.embedded(f"targets-across-{half}-{labels}", targets, Task2VecConfig(examples=3 * labels))
            values = sources.values_TE[1 - half :: 2]
            symmetric.append(symmetric_distance(values, found.values_TE))
            asymmetric.append(asymmetric_distance(values, found.values_TE, sources.prior_E))
        distances_ST = {
            "symmetric": np.hstack(symmetric),
            "asymmetric": np.hstack(asymmetric),
            "own data set": -own_ST,
        }
        say(f"choice among data sets, {labels} labels a class", choice_of_source(np.hstack(errors), distances_ST))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cifar100")
    parser.add_argument("--others", nargs="*", default=["digits", "mnist", "fashion_mnist", "cifar10"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", nargs="*", choices=STEPS, default=STEPS)
    options = parser.parse_args()
    run = Run(options.dataset, options.others, options.work)
    does: dict[str, Callable[[], object]] = {
        "probe": lambda: run.probe,
        "taxonomy": lambda: taxonomy(run, "taxonomy", EXACT),
        "variational": lambda: variational(run),
        "difficulty": lambda: difficulty(run),
        "data-sets": lambda: data_sets(run),
        "sources": lambda: experts(run),
        "choice": lambda: choice(run),
        "across": lambda: across(run),
    }
    for step in options.steps:
        does[step]()


if __name__ == "__main__":
    main()
