"""A small study in a store, for the tests of what reads one."""

import dataclasses

from trainables.registry import find_trainable
from trainables.study_files import StudyFolder
from trainables.trainable import FitData, run

METRICS = ("code_bits_per_weight", "agreement")


def write_study(store, zoo, name="small-search-0123abcd"):
    """Two fitted trials, one beaten by both, one failed, one over the limit: as `zooscale search` leaves them."""
    rows = [
        {"trial": 0, "state": "complete", "code_bits_per_weight": 0.2, "agreement": 0.5, "shared_bytes": 50_000},
        {"trial": 1, "state": "complete", "code_bits_per_weight": 0.6, "agreement": 0.7, "shared_bytes": 60_000},
        {"trial": 2, "state": "complete", "code_bits_per_weight": 0.7, "agreement": 0.6, "shared_bytes": 60_000},
        {"trial": 3, "state": "fail", "code_bits_per_weight": None, "agreement": None, "shared_bytes": None},
        {"trial": 4, "state": "complete", "code_bits_per_weight": 0.1, "agreement": 0.9, "shared_bytes": 900_000},
        {"trial": 5, "state": "complete", "code_bits_per_weight": 0.3, "agreement": 0.6, "shared_bytes": 60_000},
    ]
    folder, family = StudyFolder(store, name), find_trainable("neuron-autoencoder")
    dataset = dataclasses.replace(zoo.dataset(), train=zoo.dataset().train.first(100))
    data = FitData(training=(zoo.population("train"),), validation=(), dataset=dataset)
    for trials, latent in (((0, 2, 4), 4), ((1,), 12)):  # trial 5 has no artifact
        config = family.configuration({"latent": latent, "encoder_width": 16, "decoder_width": 16, "epochs": 1})
        artifact = run(family.fit(config, data)).artifact()
        for trial in trials:
            folder.write_artifact(family, config, artifact, trial)
    study = {
        "trainables": [family.name],
        "spaces": [family.name],
        "objectives": METRICS,
        "limits": {"shared_bytes": 100_000},
    }
    folder.export(study, ("min", "max"), zoo, rows, importances={"agreement": {"latent": 1.0}})
