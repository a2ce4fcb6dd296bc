"""Flipped bits and the code against them: exact for so many wrong bytes in a word, and no promise beyond."""

import numpy as np
import pytest

from analysis.noisy_storage.bit_flips import PROTECTIONS, Protection, flipped

DATA = np.random.default_rng(0).bytes(500)
CODES = [protection for protection in PROTECTIONS if protection.check_bytes]


def with_wrong_bytes(data, places):
    wrong = np.frombuffer(data, dtype=np.uint8).copy()
    wrong[list(places)] ^= 0x41
    return wrong.tobytes()


@pytest.mark.parametrize("protection", PROTECTIONS)
@pytest.mark.parametrize("length", [0, 1, 239, 240, 500])
def test_comes_back(length, protection):
    stored = protection.protect(DATA[:length])
    assert protection.correct(stored) == DATA[:length]
    words = -(-length // (255 - protection.check_bytes))
    assert len(stored) == length + words * protection.check_bytes


@pytest.mark.parametrize("protection", CODES)
def test_half_as_many_wrong_bytes_as_check_bytes_are_corrected_in_every_word(protection):
    stored = protection.protect(DATA)
    places = np.random.default_rng(1).permutation(255)[: protection.check_bytes // 2]
    assert protection.correct(with_wrong_bytes(stored, [*places, *(255 + places)])) == DATA
    assert protection.correct(with_wrong_bytes(stored, [*places, *(255 + places[1:])])) == DATA


@pytest.mark.parametrize("protection", CODES)
def test_more_are_too_many(protection):
    stored = protection.protect(DATA)
    assert protection.correct(with_wrong_bytes(stored, range(protection.check_bytes // 2 + 4))) != DATA


def test_without_a_code_bytes_are_what_was_read():
    assert Protection(0).protect(DATA) == Protection(0).correct(DATA) == DATA


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
