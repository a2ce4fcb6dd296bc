"""What the report says beside declared metrics, and what it calls what."""

from __future__ import annotations

NOT_REACHED = "not reached"
DERIVED = {
    "total bits per weight for N networks": "8 · (payload bytes / M + shared bytes / N) / P: code plus the shared part,"
    " divided among the N networks that use it; M networks are in a payload, P is the number of weights of a network.",
    "compression ratio": "32 / total bits per weight: how many times smaller than 32-bit floats.",
    "N*": "Break-even: the smallest number of networks for which a codec with a shared part needs fewer bits in total"
    " than the best codec that has none and reaches the same quality. There is none if no such codec was measured.",
    "rate at a target": "Interpolated between the settings of a classical codec; for autoencoders, which are a codec"
    " each, that of the cheapest one measured that reaches the target, with its own shared bytes and N*.",
    "zero-rate control": "A codec that sends nothing about the network: it always returns the decoded mean"
    " latent, the mean weights, the best constant member or an untrained network. It shows what a figure is worth.",
    "Pareto front": "The results for which no other has both a lower rate and a higher quality: agreement, or R² of"
    " outputs.",
    "95 % interval": "Paired bootstrap over members, by groups of members that share a minibatch order, over test"
    " examples, and over seeds where a codec has several.",
}
