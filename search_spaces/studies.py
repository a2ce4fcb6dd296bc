"""Named studies; free of torch."""

from __future__ import annotations

from search_spaces.study import Study
from trainables.registry import TRAINABLES
from zoo.config import lookup

DIGITS_AUTOENCODER = Study(
    name="digits-autoencoder",
    trainables=("neuron-autoencoder",),
    spaces=("neuron-autoencoder",),
    limits={"shared_bytes": 50_000},
    trials=16,
    epochs=5,
    description="The demo's, a latent for each neuron of small MLPs: from 0.4 bits a weight at 81 % agreement on "
    "validation members over 0.95 at 89 % to 2 at 95 %.",
    cost="10 to 15 s a trial on one core on 7 000 snapshots of 1 400 training members of digits-mlp-diverse",
)

DIGITS_NETWORK_AUTOENCODER = Study(
    name="digits-network-autoencoder",
    trainables=("network-autoencoder",),
    spaces=("network-autoencoder",),
    limits={"shared_bytes": 1_000_000},
    trials=16,
    epochs=5,
    description="One latent a network: needs 10 to 20 times the shared bytes of a latent a neuron for less agreement.",
)

MNIST_AUTOENCODER = Study(
    name="mnist-autoencoder",
    trainables=("neuron-autoencoder",),
    spaces=("neuron-autoencoder",),
    limits={"shared_bytes": 300_000},
    trials=32,
    epochs=20,
    description="A latent for each neuron of MLPs 784-8-10 on MNIST.",
)

CNN_AUTOENCODER = Study(
    name="cnn-autoencoder",
    trainables=("neuron-autoencoder",),
    spaces=("channel-autoencoder",),
    limits={"shared_bytes": 200_000},
    trials=16,
    epochs=10,
    description="Convolutional networks of some thousand parameters, a latent for each output channel.",
)

AUTOENCODER_FAMILIES = Study(
    name="autoencoder-families",
    trainables=("neuron-autoencoder", "network-autoencoder", "transformer-autoencoder"),
    spaces=("neuron-autoencoder", "network-autoencoder", "transformer-autoencoder"),
    limits={"shared_bytes": 1_000_000},
    trials=64,
    epochs=10,
    description="All families, each with its own space; for a cluster.",
)

FUNCTION_METRIC_CONSTANTS = Study(
    name="function-metric-constants",
    trainables=("function-metric",),
    spaces=("function-metric",),
    trials=32,
    description="The constants of the closed-form codec, on validation members and examples.",
    cost="a second or two a trial on digits-mlp-diverse",
)

DIGITS_PREDICTOR = Study(
    name="digits-predictor",
    trainables=("statistics-boosting", "statistics-ridge"),
    spaces=("statistics-boosting", "statistics-ridge"),
    objectives=("r2", "kendall_tau"),
    trials=16,
    settings={"target": "test_accuracy"},
    description="Test accuracy from weights; --set target=generalization_gap takes any numeric column.",
    cost="1 to 10 s a trial on digits-mlp-diverse",
)

CATEGORY_PREDICTOR = Study(
    name="category-predictor",
    trainables=("statistics-boosting", "statistics-ridge"),
    spaces=("statistics-boosting", "statistics-ridge"),
    objectives=("accuracy",),
    trials=16,
    settings={"target": "optimizer"},
    description="A category from weights: the optimizer, or with --set target=… activation, initialization or another.",
    cost="1 to 10 s a trial on digits-mlp-diverse",
)

DIGITS_ENCODERS = Study(
    name="digits-encoders",
    trainables=("hyper-representation", "weight-statistics", "weights"),
    spaces=("hyper-representation", "weight-statistics", "weights"),
    objectives=("probe_score",),
    trials=16,
    epochs=10,
    description="Embeddings of networks that tell how they were trained and how good they are.",
    cost="1 s to 5 min a trial on digits-mlp-diverse",
)

ENCODER_COMPARISON = Study(
    name="encoder-comparison",
    trainables=(
        "weights",
        "weight-statistics",
        "hyper-representation",
        "sane",
        "sne",
        "neural-graph",
        "probing",
        "weights-and-behavior",
    ),
    preset="small",
    objectives=("probe_score",),
    description="Every encoder once, those that learn with what minutes allow: for --seeds 3.",
    cost="1 s to 10 min a fit on 2 500 snapshots of CNNs of 4 970 parameters",
)

TETRIS_HYPER_REPRESENTATION = Study(
    name="tetris-hyper-representation",
    trainables=("hyper-representation",),
    preset="tetris-seed",
    objectives=("probe_score",),
    description="One hyper-representation with the settings published for TETRIS-SEED.",
)

MNIST_HYPER_REPRESENTATION = Study(
    name="mnist-hyper-representation",
    trainables=("hyper-representation",),
    preset="mnist-seed",
    objectives=("probe_score",),
    description="One hyper-representation with the settings published for MNIST-SEED.",
)

WEIGHTS_AND_BEHAVIOR = Study(
    name="behavior-encoders",
    trainables=("weights-and-behavior",),
    spaces=("weights-and-behavior",),
    objectives=("probe_score",),
    trials=8,
    description="What weights and responses to stored inputs tell of networks of any layouts.",
    cost="10 s a trial on digits-mlp-diverse, and some minutes where there are graphs",
)

TASK_HYPERNETWORK = Study(
    name="task-hypernetwork",
    trainables=("supernet",),
    spaces=("supernet",),
    objectives=("adapted_accuracy",),
    trials=16,
    epochs=10,
    description="A small vector becomes the network of a task: for zoos of tasks such as digits-tasks and mnist-tasks.",
    cost="10 s a trial on digits-tasks",
)

DATASET_HYPERNETWORK = Study(
    name="dataset-to-network",
    trainables=("dataset-hypernetwork",),
    spaces=("dataset-hypernetwork",),
    objectives=("unseen_accuracy",),
    trials=16,
    epochs=5,
    description="A set of labeled examples becomes a network: for zoos whose networks all have the same classes.",
    cost="15 s a trial on digits-mlp-seeds",
)

NETWORK_GENERATORS = Study(
    name="network-generators",
    trainables=("flow", "latent-density", "component-density"),
    spaces=("flow", "latent-density", "component-density"),
    objectives=("generated_accuracy", "novelty"),
    trials=16,
    epochs=30,
    description="New networks from trained ones: how good they are without training against how new they are.",
)

LEARNED_GRADIENTS = Study(
    name="learned-gradients",
    trainables=("learned-gradient",),
    spaces=("learned-gradient",),
    objectives=("aggregated_accuracy",),
    trials=8,
    description="What weighs the examples of a minibatch where labels are wrong, fitted through steps of training.",
    cost="1 to 2 min a trial on digits-mlp-seeds",
)

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        DIGITS_AUTOENCODER,
        DIGITS_NETWORK_AUTOENCODER,
        MNIST_AUTOENCODER,
        CNN_AUTOENCODER,
        AUTOENCODER_FAMILIES,
        FUNCTION_METRIC_CONSTANTS,
        DIGITS_PREDICTOR,
        CATEGORY_PREDICTOR,
        DIGITS_ENCODERS,
        ENCODER_COMPARISON,
        WEIGHTS_AND_BEHAVIOR,
        TETRIS_HYPER_REPRESENTATION,
        MNIST_HYPER_REPRESENTATION,
        TASK_HYPERNETWORK,
        DATASET_HYPERNETWORK,
        NETWORK_GENERATORS,
        LEARNED_GRADIENTS,
    )
}


def find_study(name: str) -> Study:
    """A study by its name in ``STUDIES``, or the user's own by ``module:attribute``.

    Raises:
        ValueError: There is no such study, or it is something else; a trainable by itself is fitted by `zooscale fit`.
    """
    study = lookup(STUDIES, name, "study") if name not in TRAINABLES else None
    if study is None:
        raise ValueError(
            f"{name!r} is a trainable; fit it with `zooscale fit {name}`, or search with one of {', '.join(STUDIES)}"
        )
    if not isinstance(study, Study):
        raise ValueError(f"study {name!r} is a {type(study).__name__}; it must be a search_spaces.study.Study")
    return study
