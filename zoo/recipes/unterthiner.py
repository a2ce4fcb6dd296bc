"""The Small CNN Zoo of Unterthiner, Keysers, Gelly, Bousquet and Tolstikhin.

"Predicting Neural Network Accuracy from Weights" (2020, arXiv 2002.11448); Schürholt et al. (2021) call its parts
MNIST-HYP, F-MNIST-HYP, SVHN-HYP and CIFAR-10-HYP.

30 000 CNNs a data set, 86 epochs, nine snapshots. Its networks of 4 970 parameters take images of one channel, so its
SVHN and CIFAR-10 are in shades of gray, the mean of the colors; set encoders and other functionals of weights are
measured on these as SVHN-GS and CIFAR10-GS. Pixels are from -1 to 1, minibatches of 512, biases start at 0
(``train_network.py`` and README of google-research/dnn_predict_accuracy). Ranges: learning rate 5e-4 to 5e-2 and l2
1e-8 to 1e-2 log-uniform, dropout 0 to 0.7 uniform, the standard deviation of the two plain initial distributions 1e-3
to 0.5 log-uniform, everything else equally likely. A penalty l2·|w|² has the gradient 2·l2·w, so weight decays are
twice that; theirs is on kernels alone, ours on biases too.

Activation, optimizer, training fraction and minibatch order are shared by blocks of 16 members here, and combinations
of what there are choices of come in rounds: any number of members has the same distribution, as nearly as blocks of 16
can. SVHN is not at hand here; of CIFAR-10 the 10 000 images of one of the five training batches were.
"""

from __future__ import annotations

from dataclasses import replace

from zoo.recipes.axis import Axis
from zoo.recipes.recipe import Recipe

# A factor on the standard deviation 0.1 that the plain distributions have.
SCALE = Axis(range=(0.01, 5.0))

MNIST = Recipe(
    name="unterthiner-mnist",
    dataset="mnist",
    members=30_000,
    architecture="cnn-4970",
    axes={
        "activation": ["relu", "tanh"],
        "initialization": ["xavier_normal", "kaiming_normal", "orthogonal", "normal", "truncated_normal"],
        "init_scale": Axis(choices=(1.0,), given="initialization", cases={"normal": SCALE, "truncated_normal": SCALE}),
        "optimizer": ["adam", "sgd", "rmsprop"],
        "learning_rate": Axis(range=(5e-4, 5e-2)),
        "weight_decay": Axis(range=(2e-8, 2e-2)),
        "dropout": Axis(range=(0.0, 0.7), scale="linear"),
        "training_fraction": [0.1, 0.25, 0.5, 1.0],
    },
    design="grid",
    normalize=(0.5, 0.5),
    batch_size=512,
    shard_members=16,
    epochs=86,
    snapshot_epochs=(0, 1, 2, 3, 20, 40, 60, 80, 86),
    description="MNIST-HYP: CNNs of 4 970 parameters, hyper-parameters drawn at random.",
    cost=0.14,
    expected="test accuracy 71.3 ± 29.4 %, of 96 members: 83.7 % with Adam, 87.0 % with RMSprop, 41.4 % with SGD",
)

F_MNIST = replace(
    MNIST,
    name="unterthiner-f-mnist",
    dataset="fashion_mnist",
    description="F-MNIST-HYP: as unterthiner-mnist, on Fashion-MNIST.",
    cost=0.12,
    expected="test accuracy 64.5 ± 24.2 %, of 64 members",
)

SVHN_GRAY = replace(
    MNIST,
    name="unterthiner-svhn-gray",
    dataset="svhn_gray",
    description="SVHN-HYP as published: as unterthiner-mnist, on SVHN in shades of gray.",
    cost=None,
    expected="",
)

CIFAR10_GRAY = replace(
    MNIST,
    name="unterthiner-cifar10-gray",
    dataset="cifar10_gray",
    description="CIFAR-10-HYP as published: as unterthiner-mnist, on CIFAR-10 in shades of gray.",
    cost=None,
    expected="on the images of one training batch: test accuracy 23.2 ± 8.6 %, at most 46.0 %, of 128 members",
)

SVHN = replace(
    MNIST,
    name="unterthiner-svhn",
    dataset="svhn",
    description="As unterthiner-mnist, on SVHN in color (5 258 parameters); not among the published zoos.",
    cost=None,
    expected="",
)

CIFAR10 = replace(
    MNIST,
    name="unterthiner-cifar10",
    dataset="cifar10",
    description="As unterthiner-mnist, on CIFAR-10 in color (5 258 parameters); not among the published zoos.",
    cost=None,
    expected="on the images of one training batch: test accuracy 26.5 ± 11.3 %, of 64 members",
)
