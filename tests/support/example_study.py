"""A small study in a store, for the tests of what reads one."""

import io
import json

import pandas as pd

from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.fit import AutoencoderFit

METRICS = ("code_bits_per_weight", "agreement")


def write_study(store, zoo, name="small-search-0123abcd"):
    """Two fitted trials, one beaten by both, one failed, one over the limit: as `zooscale search` leaves them."""
    training, images = zoo.population("train"), zoo.dataset().train
    rows = [
        {"trial": 0, "state": "complete", "code_bits_per_weight": 0.2, "agreement": 0.5, "shared_bytes": 50_000},
        {"trial": 1, "state": "complete", "code_bits_per_weight": 0.6, "agreement": 0.7, "shared_bytes": 60_000},
        {"trial": 2, "state": "complete", "code_bits_per_weight": 0.7, "agreement": 0.6, "shared_bytes": 60_000},
        {"trial": 3, "state": "fail", "code_bits_per_weight": None, "agreement": None, "shared_bytes": None},
        {"trial": 4, "state": "complete", "code_bits_per_weight": 0.1, "agreement": 0.9, "shared_bytes": 900_000},
        {"trial": 5, "state": "complete", "code_bits_per_weight": 0.3, "agreement": 0.6, "shared_bytes": 60_000},
    ]
    for trials, latent in (((0, 2, 4), 4), ((1,), 12)):  # trial 5 has no checkpoint
        config = AutoencoderConfig(latent=latent, encoder_width=16, decoder_width=16, epochs=1)
        fit = AutoencoderFit(config, training, images.first(100))
        fit.step()
        files = fit.codec().to_files()
        for trial in trials:
            for file, data in files.items():
                store.put(f"studies/{name}/checkpoints/trial-{trial:04d}/{file}", data)
    buffer = io.BytesIO()
    pd.DataFrame(rows).to_parquet(buffer, index=False)
    store.put(f"studies/{name}/trials.parquet", buffer.getvalue())
    facts = {
        "study": {"name": name, "metrics": METRICS, "modes": ["min", "max"], "shared_bytes_limit": 100_000},
        "zoo": {"name": zoo.name, "digest": zoo.digest},
        "importances": {"agreement": {"latent": 1.0}},
    }
    store.put(f"studies/{name}/study.json", json.dumps(facts).encode())
