"""Flipped bits and the Hamming code: exact for any single flip in a word, and no promise beyond."""

import numpy as np
import pytest

from analysis.noisy_storage.bit_flips import WORD_BITS, correct, flipped, protect

DATA = np.random.default_rng(0).bytes(37)


def with_flips(data, *places):
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    bits[list(places)] ^= 1
    return np.packbits(bits).tobytes()


@pytest.mark.parametrize("length", [0, 1, 8, 9, 37])
def test_comes_back(length):
    assert correct(protect(DATA[:length]), length) == DATA[:length]


def test_any_single_flip_is_corrected_and_one_in_each_word():
    kept = protect(DATA[:16])
    for place in range(2 * WORD_BITS):
        assert correct(with_flips(kept, place), 16) == DATA[:16]
    assert correct(with_flips(kept, 3, WORD_BITS + 70), 16) == DATA[:16]


def test_two_flips_in_a_word_are_too_many():
    assert correct(with_flips(protect(DATA[:8]), 4, 9), 8) != DATA[:8]


def test_code_words_differ_in_three_bits_at_least():
    words = [protect(bytes([number, *bytes(7)])) for number in range(64)]
    bits = np.array([np.unpackbits(np.frombuffer(word, dtype=np.uint8)) for word in words])
    distances = (bits[:, None] != bits).sum(-1)
    assert distances[~np.eye(64, dtype=bool)].min() == 3


def test_so_many_bits_flip():
    data = bytes(50_000)
    bits = np.unpackbits(np.frombuffer(flipped(data, 0.01, np.random.default_rng(0)), dtype=np.uint8))
    assert bits.mean() == pytest.approx(0.01, rel=0.05)
    assert flipped(data, 0.0, np.random.default_rng(0)) == data
    same = [flipped(DATA, 0.1, np.random.default_rng(7)) for _ in range(2)]
    assert same[0] == same[1] != DATA


def test_what_is_not_allowed_is_said():
    with pytest.raises(ValueError, match=r"rate is 0.6; allowed: 0 to 0.5"):
        flipped(DATA, 0.6, np.random.default_rng(0))
    with pytest.raises(ValueError, match="9 bytes hold 1 words; 16 bytes of data need 2"):
        correct(protect(DATA[:8]), 16)
