"""Random streams: what they are drawn from, and that nothing else matters."""

import numpy as np
import pytest

from zoo.streams import Purpose, stream


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("counters", [(), (3,), (3, 2**64 - 1)])
def test_a_stream_is_philox_with_its_key_and_counter(seed, counters):
    words = [0, 0, *counters, 0, 0][:4]
    counter = sum(word << (64 * place) for place, word in enumerate(words))
    key = (int(Purpose.ORDER) << 64) | seed
    expected = np.random.Generator(np.random.Philox(key=key, counter=counter))
    assert np.array_equal(stream(Purpose.ORDER, seed, *counters).permutation(50), expected.permutation(50))


def test_streams_do_not_disturb_each_other():
    one, other = stream(Purpose.RECIPE, 1), stream(Purpose.RECIPE, 1)
    drawn = [generator.random() for _ in range(5) for generator in (one, other)]
    assert drawn[::2] == drawn[1::2] == stream(Purpose.RECIPE, 1).random(5).tolist()


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match=r"seed is .*; allowed: 0 to 2\*\*64 - 1"):
        stream(Purpose.ORDER, seed)
