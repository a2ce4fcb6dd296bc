"""Attacks beside those of the Adversarial Robustness Toolbox, on the same networks, examples and radius.

Its PGD has other random starts, and an example counts as right there if the worst of them has not succeeded, as here.
"""

import warnings

import numpy as np
import pytest
import torch

from analysis.evaluators.attacks import RESTARTS, STEPS, attack
from analysis.evaluators.evaluator import EvaluationData, Subject
from analysis.evaluators.weight_noise import EXAMPLES
from zoo.training.adversary import STEP_SHARE

EPSILON = 0.1
# ART makes arrays of tensors in a way that NumPy will give up.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of libraries that it would use were they here
    evasion = pytest.importorskip(
        "art.attacks.evasion", reason="ART is not installed: pip install adversarial-robustness-toolbox"
    )
    from art.estimators.classification import PyTorchClassifier


@pytest.fixture(scope="module")
def networks(small_zoo):
    return next(iter(small_zoo.populations("test", epochs="last"))).select(range(4))


@pytest.fixture(scope="module")
def digits(small_zoo):
    return EvaluationData(small_zoo.dataset(), small_zoo.dataset().test)


def classifiers(networks):
    for row in range(len(networks)):
        module = networks.architectures[int(networks.architecture_M[row])].to_module(networks.weights_MP[row])
        yield PyTorchClassifier(
            module, torch.nn.CrossEntropyLoss(), networks.architecture.input_shape, 10, clip_values=(0.0, 1.0)
        )


def theirs(networks, digits, make):
    part = digits.examples.first(EXAMPLES)
    inputs, labels = part.inputs.numpy(), part.targets.numpy()
    found = []
    for classifier in classifiers(networks):
        moved = make(classifier).generate(inputs, y=np.eye(10)[labels])
        answers = [classifier.predict(each).argmax(1) == labels for each in (inputs, moved)]
        found.append((answers[0] & answers[1]).mean())  # what was wrong before is not made right
    return np.array(found)


def ours(networks, digits, name):
    (values,) = attack(name).run(Subject(networks), None, digits).values()
    return values.numpy()


def test_fgsm_leaves_the_same_accuracy(networks, digits):
    expected = theirs(networks, digits, lambda classifier: evasion.FastGradientMethod(classifier, eps=EPSILON))
    assert ours(networks, digits, f"fgsm-{EPSILON}") == pytest.approx(expected, abs=1.01 / EXAMPLES)
    assert expected.max() > 0.05, "an attack that leaves nothing would show nothing"


def test_pgd_leaves_the_same_accuracy(networks, digits):
    def pgd(classifier):
        return evasion.ProjectedGradientDescentPyTorch(
            classifier, eps=EPSILON, eps_step=STEP_SHARE * EPSILON / STEPS, max_iter=STEPS,
            num_random_init=RESTARTS, batch_size=EXAMPLES, verbose=False,
        )  # fmt: skip

    expected = theirs(networks, digits, pgd)
    assert ours(networks, digits, f"pgd-{EPSILON}") == pytest.approx(expected, abs=3.01 / EXAMPLES)
    assert expected.mean() < theirs(networks, digits, lambda c: evasion.FastGradientMethod(c, eps=EPSILON)).mean()
