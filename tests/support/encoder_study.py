"""A study of encoders as `zooscale search` leaves it, fitted in this process."""

from trainables.fit_data import fit_data
from trainables.registry import find_trainable
from trainables.study_files import StudyFolder, StudyRecord
from trainables.trainable import run
from zoo.config import to_json


def write_encoders(store, zoo, seeds, name="encoders", digest=None, **settings):
    """A study with a trial of each encoder; ``seeds`` says how many fits each has, by its name."""
    name = f"{name}-{digest or zoo.digest[:8]}"
    folder, data, rows = StudyFolder(store, name), fit_data(zoo), []
    for trial, (trainable, fits) in enumerate(seeds.items()):
        entry = find_trainable(trainable)
        config = entry.configuration({})
        fit = run(entry.fit(config, data))
        for seed in range(fits):
            folder.write_artifact(entry, config, fit.artifact(), trial, seed)
        rows.append({"trial": trial, "state": "complete", "trainable": trainable, **to_json(config), **fit.validate()})
    facts = {"trainables": list(seeds), "spaces": list(seeds), "objectives": ["probe_score"], "limits": {}, **settings}
    folder.export(facts, ("max",), zoo, rows)
    return StudyRecord.open(store, name)
