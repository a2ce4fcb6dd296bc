"""A study of predictors as `zooscale search` leaves it, fitted in this process."""

from trainables.fit_data import fit_data
from trainables.registry import find_trainable
from trainables.study_files import StudyFolder, StudyRecord
from trainables.trainable import run
from zoo.config import to_json

BOOSTING = {"iterations": 20, "leaf_members": 3}


def write_predictors(store, zoo, target, name):
    """A study with a trial of each predictor, the first with a second seed."""
    folder, data, rows = StudyFolder(store, name), fit_data(zoo), []
    for trial, (trainable, settings) in enumerate((("statistics-boosting", BOOSTING), ("statistics-ridge", {}))):
        entry = find_trainable(trainable)
        config = entry.configuration({"target": target, **settings})
        fit = run(entry.fit(config, data))
        folder.write_artifact(entry, config, fit.artifact(), trial)
        if trial == 0:
            folder.write_artifact(entry, config, fit.artifact(), trial, 1)
        rows.append({"trial": trial, "state": "complete", "trainable": trainable, **to_json(config), **fit.validate()})
    objective = "r2" if "r2" in rows[0] else "accuracy"
    study = {
        "trainables": ["statistics-boosting", "statistics-ridge"],
        "spaces": ["statistics-boosting", "statistics-ridge"],
        "objectives": [objective],
        "limits": {},
    }
    folder.export(study, ("max",), zoo, rows)
    return StudyRecord.open(store, name)
