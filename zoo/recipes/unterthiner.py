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
can.
"""

from __future__ import annotations

from dataclasses import replace

from zoo.recipes.recipe import Recipe

MNIST = Recipe(
    name="unterthiner-mnist",
    dataset="mnist",
    members=30_000,
    architecture="cnn-4970",
    hidden=(),
    normalize=(0.5, 0.5),
    activations=("relu", "tanh"),
    initializations=("xavier_normal", "kaiming_normal", "orthogonal", "normal", "truncated_normal"),
    init_scales=(0.01, 5.0),  # of the standard deviation 0.1 that the plain distributions have
    scaled_initializations=("normal", "truncated_normal"),
    optimizers=("adam", "sgd", "rmsprop"),
    learning_rates=(5e-4, 5e-2),
    scale_learning_rates=False,
    weight_decay_range=(2e-8, 2e-2),
    dropout_range=(0.0, 0.7),
    training_fractions=(0.1, 0.25, 0.5, 1.0),
    batch_size=512,
    design="grid",
    shard_members=16,
    epochs=86,
    snapshot_epochs=(0, 1, 2, 3, 20, 40, 60, 80, 86),
)
"""MNIST-HYP.

Test accuracy 71.3 % with a standard deviation of 29.4 points, of a cut of 96 members: 83.7 % with Adam, 87.0 % with
RMSprop, 41.4 % with SGD; 0.14 s a member and epoch on one core. The whole zoo would take about 4 days of one core.
"""

F_MNIST = replace(MNIST, name="unterthiner-f-mnist", dataset="fashion_mnist")
"""F-MNIST-HYP.

Test accuracy 64.5 % with a standard deviation of 24.2 points, of a cut of 64 members.
"""

SVHN_GRAY = replace(MNIST, name="unterthiner-svhn-gray", dataset="svhn_gray")
"""SVHN-HYP as published, in shades of gray. Not run here: SVHN is not at hand."""

CIFAR10_GRAY = replace(MNIST, name="unterthiner-cifar10-gray", dataset="cifar10_gray")
"""CIFAR-10-HYP as published, in shades of gray.

On the 10 000 images of one of the five training batches, all that was at hand: test accuracy 23.2 % with a standard
deviation of 8.6 points, at most 46.0 %, of a cut of 128 members.
"""

SVHN = replace(MNIST, name="unterthiner-svhn", dataset="svhn")
"""The same in color, 5 258 parameters; not among the published ones. Not run here: SVHN is not at hand."""

CIFAR10 = replace(MNIST, name="unterthiner-cifar10", dataset="cifar10")
"""The same in color, 5 258 parameters; not among the published ones.

On the images of one training batch: test accuracy 26.5 % with a standard deviation of 11.3 points, of a cut of 64
members.
"""
