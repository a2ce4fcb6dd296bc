"""The zoos of the hyper-representations of Schürholt, Kostadinov and Borth.

"Self-Supervised Representation Learning on Neural Network Weights for Model Characteristic Prediction" (NeurIPS 2021,
arXiv 2110.15288), section 4, and its code, github.com/HSG-AIML/NeurIPS_2021-Weight_Space_Learning.

Eight of its twelve zoos; the other four are those of Unterthiner et al., see ``zoo.recipes.unterthiner``. The code
reads zoos and does not make them. What made them is public since the authors' later collection (Schürholt et al.,
"Model Zoos", NeurIPS 2022, arXiv 2209.14764; github.com/ModelZoos/ModelZooDataset, ``code/zoo_generators``), and the
MNIST zoos follow that: minibatches of 10; pixels normalized (mean 0.1307 and deviation 0.3081 on MNIST, 0.5 and 0.5 on
Fashion-MNIST); weights from U(0, 1), N(0, 1) or Kaiming's distributions; SGD with momentum 0.9; a grid of 256
combinations, which with five seeds each are the 1 280 members of the 5-seed zoos. The generators of the TETRIS zoos and
the finer grid of the 1-seed zoos are not public: there, what is not in the paper is ours, and said to be.

Not as published: 55 000 training images, where theirs are 50 000; biases start at 0, where theirs start at 0.01;
dropout follows each activation, where theirs leaves out the third. The numbers of members called published are those of
the paper as others quote it.

Snapshots are those published: each epoch but the initialization. A fixed seed fixes initialization, minibatch order and
dropout masks alike, as ``torch.manual_seed`` does there.
"""

from __future__ import annotations

from dataclasses import replace

from zoo.recipes.axis import Axis
from zoo.recipes.recipe import Recipe

# Mean and standard deviation by which the published zoos normalize pixels from 0 to 1.
NORMALIZATIONS = {"mnist": (0.1307, 0.3081), "fashion_mnist": (0.5, 0.5), "cifar10": (0.5, 0.5)}

ACTIVATIONS = ["tanh", "relu", "sigmoid", "gelu"]
INITIALIZATIONS = ["unit_uniform", "unit_normal", "kaiming_uniform", "kaiming_normal"]


def fixed_seeds(count: int) -> dict[str, object]:
    """Axes where there are so many seeds, 1 to ``count``, and each is the seed of everything that is random."""
    same = Axis(given="seed")
    seeds = Axis(choices=tuple(range(1, count + 1)), level="block")
    return {"seed": seeds, "order_seed": same, "subset_seed": same}


TETRIS_SEED = Recipe(
    name="hr-tetris-seed",
    dataset="tetris",
    axes={
        "hidden": (5,),
        "bias": False,
        "activation": "tanh",
        "initialization": "unit_uniform",
        "learning_rate": 1e-2,
    },
    batch_size=32,
    epochs=75,
    snapshot_epochs=tuple(range(1, 76)),
    description="TETRIS-SEED: MLPs 16-5-4 without biases (100 parameters) that differ in their seed. The learning rate "
    "is ours, and the images are made anew from their description.",
    cost=1.3e-4,
    expected="test accuracy 61.4 ± 4.0 %",
)

TETRIS_HYP = replace(
    TETRIS_SEED,
    name="hr-tetris-hyp",
    members=3200,
    axes={
        **TETRIS_SEED.axes,
        **fixed_seeds(100),
        "activation": ACTIVATIONS,
        "initialization": INITIALIZATIONS,
        "learning_rate": [1e-2, 1e-3],
    },
    design="grid",
    block_members=8,
    shard_members=40,
    description="TETRIS-HYP: seeds 1 to 100 of each of 32 combinations of activation, initialization and learning "
    "rate. Published are about 2 900 members, so 29 combinations, of unknown values.",
    cost=1.5e-4,
    expected="test accuracy 52.6 ± 11.5 %",
)

MNIST_SEED = Recipe(
    name="hr-mnist-seed",
    dataset="mnist",
    architecture="cnn-2464",
    axes={"activation": "tanh", "initialization": "unit_uniform", "learning_rate": 3e-4},
    normalize=NORMALIZATIONS["mnist"],
    batch_size=10,
    epochs=25,
    snapshot_epochs=tuple(range(1, 26)),
    shard_members=32,
    description="MNIST-SEED: CNNs of 2 464 parameters that differ in their seed; tanh, Adam 3e-4, 25 epochs.",
    cost=0.41,
    expected="test accuracy 85.0 ± 2.2 % (21.1 % after the first epoch)",
)

F_MNIST_SEED = replace(
    MNIST_SEED,
    name="hr-f-mnist-seed",
    dataset="fashion_mnist",
    normalize=NORMALIZATIONS["fashion_mnist"],
    description="F-MNIST-SEED: as hr-mnist-seed, on Fashion-MNIST.",
    cost=0.42,
    expected="test accuracy 69.8 ± 0.9 %, of 32 members",
)

MNIST_HYP_5_RAND_SEED = replace(
    MNIST_SEED,
    name="hr-mnist-hyp-5-rand-seed",
    members=1280,
    axes={
        "activation": ACTIVATIONS,
        "initialization": INITIALIZATIONS,
        "optimizer": ["adam", "momentum"],
        "learning_rate": [1e-3, 1e-4],
        "weight_decay": [1e-3, 1e-4],
        "dropout": [0.0, 0.5],
    },
    design="grid",
    shard_members=16,
    description="MNIST-HYP-5-RAND-SEED: CNNs of 2 464 parameters, 256 combinations of activation, initialization, "
    "optimizer, learning rate, weight decay and dropout, five members each, every one with a seed of its own. "
    "Published: about 1 280.",
    cost=0.48,
    expected="test accuracy 67.9 ± 36.7 %, of 64 members: 90.2 % with Adam and 45.6 % with momentum",
)

MNIST_HYP_5_FIX_SEED = replace(
    MNIST_HYP_5_RAND_SEED,
    name="hr-mnist-hyp-5-fix-seed",
    axes={**MNIST_HYP_5_RAND_SEED.axes, **fixed_seeds(5)},
    description="MNIST-HYP-5-FIX-SEED: the combinations of hr-mnist-hyp-5-rand-seed, each with the same five seeds. "
    "Published: about 1 280.",
    expected="",
)

MNIST_HYP_1_RAND_SEED = replace(
    MNIST_HYP_5_RAND_SEED,
    name="hr-mnist-hyp-1-rand-seed",
    members=1152,
    axes={
        **MNIST_HYP_5_RAND_SEED.axes,
        "learning_rate": [3e-3, 1e-3, 3e-4, 1e-4],
        "weight_decay": [1e-3, 1e-4, 0.0],
        "dropout": [0.0, 0.25, 0.5],
    },
    description="MNIST-HYP-1-RAND-SEED: 1 152 combinations, one member each with a seed of its own. Published: about "
    "1 152; the finer steps of learning rate, weight decay and dropout that give as many combinations are ours.",
    expected="",
)

MNIST_HYP_1_FIX_SEED = replace(
    MNIST_HYP_1_RAND_SEED,
    name="hr-mnist-hyp-1-fix-seed",
    axes={**MNIST_HYP_1_RAND_SEED.axes, **fixed_seeds(1)},
    description="MNIST-HYP-1-FIX-SEED: the combinations of hr-mnist-hyp-1-rand-seed, all with one seed. Published: "
    "about 1 152.",
    expected="",
)
