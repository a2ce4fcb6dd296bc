"""What improving an autoencoder's symbols brings when networks are encoded: ``python benchmarks/refinement.py ZOO``.

One autoencoder with a latent for each neuron is fitted to training members. Then the test members are encoded without
gradient steps on their symbols, and with steps on several numbers of training images; rate and fidelity are measured on
test members and test images. The decoder is the same in all rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from trainables.autoencoders.learned_codec import LearnedCodec
from trainables.autoencoders.refine import Refiner
from trainables.codecs.payloads import compress, decompress
from trainables.fidelity import measure, summary
from trainables.fit_data import fit_data
from trainables.registry import find_trainable
from trainables.trainable import run
from zoo.data.examples import Dataset
from zoo.population import Population
from zoo.storage.zoo import Zoo
from zoo.views import without_dead_inputs

PAYLOAD_MEMBERS = 64
EXAMPLES = (512, 1024, 4096)


def fitted(zoo: Zoo, settings: Mapping[str, Any], training_members: int | None) -> tuple[LearnedCodec, Dataset]:
    """The autoencoder as a codec, and the zoo's data set."""
    trainable = find_trainable("neuron-autoencoder")
    data = fit_data(zoo, training_members=training_members, validation_members=64)
    codec = run(trainable.fit(trainable.configuration(settings), data)).artifact()
    assert isinstance(codec, LearnedCodec)
    return codec, data.dataset


def measured(codec: LearnedCodec, test: Population, dataset: Dataset) -> dict[str, float]:
    """Bits per weight, seconds to encode a network, agreement and the shift of accuracy."""
    size, seconds, parts = 0, 0.0, []
    for rows in torch.arange(len(test)).split(PAYLOAD_MEMBERS):
        population = test.select(rows)
        started = time.process_time()
        payload = compress(codec, population)
        seconds += time.process_time() - started
        size += len(payload)
        rebuilt_MP, _ = decompress(codec, payload, len(population.architectures))
        parts.append(measure(population, rebuilt_MP, dataset.test, dataset.task))
    bits = 8 * size / test.weights_MP.numel()
    return {"code_bits_per_weight": bits, "encode_s": seconds / len(test), **summary(parts)}


def table(zoo: Zoo, settings: Mapping[str, Any], training_members: int | None) -> str:
    """A row for each number of images on which symbols are improved; 0 for as they are."""
    started = time.process_time()
    codec, dataset = fitted(zoo, settings, training_members)
    fit_s = time.process_time() - started
    test = without_dead_inputs(zoo.population("test", epochs="one"), dataset.train)
    lines = [
        f"{len(test)} test members of {zoo.name}, {len(dataset.test)} test images",
        f"{codec.shared_bytes:,} shared bytes, fitted in {fit_s:.0f} s",
        "| steps | training images | code bits per weight | agreement | mean abs. change of accuracy | encode s |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    config = codec.refiner.config
    for steps, count in ((0, 0), *((config.refine_steps, count) for count in EXAMPLES)):
        examples = codec.refiner.examples if not count else dataset.train.first(count)
        codec.refiner = Refiner(replace(config, refine_steps=steps), examples, dataset.task)
        found = measured(codec, test, dataset)
        lines.append(
            f"| {steps} | {count or '–'} | {found['code_bits_per_weight']:.4f} | {100 * found['agreement']:.2f} % | "
            f"{found['accuracy_shift_pp']:.2f} pp | {found['encode_s']:.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zoo", help="name of a zoo")
    parser.add_argument("--store", default="./store")
    parser.add_argument("--latent", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rate-loss", type=float, default=0.3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--training-members", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings = {
        "latent": given.latent, "epochs": given.epochs, "rate_loss": given.rate_loss, "refine_steps": given.steps
    }  # fmt: skip
    print(table(Zoo.open(given.zoo, store=given.store), settings, given.training_members))


if __name__ == "__main__":
    main()
