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

from zoo.recipes.recipe import Recipe

# Mean and standard deviation by which the published zoos normalize pixels from 0 to 1.
NORMALIZATIONS = {"mnist": (0.1307, 0.3081), "fashion_mnist": (0.5, 0.5), "cifar10": (0.5, 0.5)}

TETRIS_SEED = Recipe(
    name="hr-tetris-seed",
    dataset="tetris",
    members=1000,
    hidden=(5,),
    bias=False,
    activations=("tanh",),
    initializations=("unit_uniform",),
    learning_rates=(1e-2, 1e-2),
    batch_size=32,
    epochs=75,
    snapshot_epochs=tuple(range(1, 76)),
)
"""TETRIS-SEED: 1 000 MLPs 16-5-4 without biases (100 parameters) that differ in their seed.

Test accuracy 61.6 % with a standard deviation of 3.8 points (the learning rate is ours, and the images are made anew
from their description); a minute of one core.
"""

TETRIS_HYP = replace(
    TETRIS_SEED,
    name="hr-tetris-hyp",
    members=3200,
    activations=("tanh", "relu", "sigmoid", "gelu"),
    initializations=("unit_uniform", "unit_normal", "kaiming_uniform", "kaiming_normal"),
    learning_rate_choices=(1e-2, 1e-3),
    learning_rates=(1e-3, 1e-3),
    fixed_seeds=100,
    design="grid",
    block_members=8,
    shard_members=40,
)
"""TETRIS-HYP: the 100 seeds of each of 32 combinations of activation, initialization and learning rate.

Published are about 2 900 members of seeds 1 to 100, so 29 combinations, of unknown values. Test accuracy
52.4 % with a standard deviation of 11.5 points; a minute of one core.
"""

MNIST_SEED = Recipe(
    name="hr-mnist-seed",
    dataset="mnist",
    members=1000,
    architecture="cnn-2464",
    hidden=(),
    activations=("tanh",),
    normalize=NORMALIZATIONS["mnist"],
    initializations=("unit_uniform",),
    learning_rates=(3e-4, 3e-4),
    batch_size=10,
    epochs=25,
    snapshot_epochs=tuple(range(1, 26)),
    shard_members=32,
)
"""MNIST-SEED: 1 000 CNNs of 2 464 parameters that differ in their seed; tanh, Adam 3e-4, 25 epochs.

Test accuracy 85.0 % with a standard deviation of 2.2 points (21.1 % after the first epoch); 0.41 s a member and epoch
with evaluation, so that the zoo takes about 3 hours of one core.
"""

F_MNIST_SEED = replace(
    MNIST_SEED, name="hr-f-mnist-seed", dataset="fashion_mnist", normalize=NORMALIZATIONS["fashion_mnist"]
)
"""F-MNIST-SEED: the same on Fashion-MNIST.

Test accuracy 69.8 % with a standard deviation of 0.9 points, of a cut of 32 members; the cost is that of MNIST-SEED.
"""

MNIST_HYP_5_RAND_SEED = replace(
    MNIST_SEED,
    name="hr-mnist-hyp-5-rand-seed",
    members=1280,
    activations=("tanh", "relu", "sigmoid", "gelu"),
    initializations=("unit_uniform", "unit_normal", "kaiming_uniform", "kaiming_normal"),
    optimizers=("adam", "momentum"),
    learning_rates=(1e-3, 1e-3),
    learning_rate_choices=(1e-3, 1e-4),
    scale_learning_rates=False,
    weight_decays=(1e-3, 1e-4),
    dropouts=(0.0, 0.5),
    design="grid",
    shard_members=16,
)
"""MNIST-HYP-5-RAND-SEED: 256 combinations of activation, initialization, optimizer, learning rate, weight decay and
dropout, five members each, every one with a seed of its own. Published: about 1 280.

Test accuracy 67.9 % with a standard deviation of 36.7 points, 90.2 % with Adam and 45.6 % with momentum, of a cut of 64
members; the whole zoo takes about 4 hours of one core.
"""

MNIST_HYP_5_FIX_SEED = replace(MNIST_HYP_5_RAND_SEED, name="hr-mnist-hyp-5-fix-seed", fixed_seeds=5)
"""MNIST-HYP-5-FIX-SEED: the same combinations, each with the same five seeds. Published: about 1 280. Not run."""

MNIST_HYP_1_RAND_SEED = replace(
    MNIST_HYP_5_RAND_SEED,
    name="hr-mnist-hyp-1-rand-seed",
    members=1152,
    learning_rate_choices=(3e-3, 1e-3, 3e-4, 1e-4),
    weight_decays=(1e-3, 1e-4, 0.0),
    dropouts=(0.0, 0.25, 0.5),
)
"""MNIST-HYP-1-RAND-SEED: 1 152 combinations, one member each with a seed of its own. Published: about 1 152; the finer
steps of learning rate, weight decay and dropout that give as many combinations are ours. Not run here."""

MNIST_HYP_1_FIX_SEED = replace(MNIST_HYP_1_RAND_SEED, name="hr-mnist-hyp-1-fix-seed", fixed_seeds=1)
"""MNIST-HYP-1-FIX-SEED: the same 1 152 combinations, all with one seed. Published: about 1 152. Not run."""
