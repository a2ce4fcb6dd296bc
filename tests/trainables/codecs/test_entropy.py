import numpy as np
import pytest

from trainables.codecs.codec import read_header, with_header
from trainables.codecs.entropy import Decoder, Encoder, GaussianColumns, LaplaceColumns, TableColumns

MODELS = [LaplaceColumns, GaussianColumns, TableColumns]
EXTREMES = [0, 1, -1, 4095, 4096, -4096, 4097, -4098, 70_000, -(2**31), 2**31 - 1]


@pytest.fixture(name="symbols_NK")
def some_symbols():
    generator = np.random.default_rng(0)
    return np.rint(generator.laplace([0, 3.3, -4000, 0.4], [0.1, 2, 90, 3000], (500, 4))).astype(np.int32)


def coded(*parts):
    encoder = Encoder()
    for model, array in parts:
        encoder.add(model, array)
    return encoder.finish()


@pytest.mark.parametrize("family", MODELS)
def test_round_trip_of_several_arrays_in_one_stream(family, symbols_NK):
    model, other = family.fit(symbols_NK), family.fit(symbols_NK[:, :2])
    payload = coded((model, symbols_NK), (other, symbols_NK[:7, :2]), (model, symbols_NK[:0]), (model, symbols_NK[5:9]))
    decoder = Decoder(payload)
    np.testing.assert_array_equal(decoder.read(model, 500), symbols_NK)
    np.testing.assert_array_equal(decoder.read(other, 7), symbols_NK[:7, :2])
    assert decoder.read(model, 0).shape == (0, 4)
    np.testing.assert_array_equal(decoder.read(model, 4), symbols_NK[5:9])


@pytest.mark.parametrize("family", MODELS)
def test_any_int32_is_exact_under_any_model(family, symbols_NK):
    model = family.fit(symbols_NK)
    extremes_NK = np.array(EXTREMES, dtype=np.int32)[:, None].repeat(4, axis=1)
    payload = coded((model, extremes_NK))
    np.testing.assert_array_equal(Decoder(payload).read(model, len(EXTREMES)), extremes_NK)


@pytest.mark.parametrize("family", MODELS)
def test_one_value_at_a_time_and_every_payload_length(family, symbols_NK):
    model = family.fit(symbols_NK)
    lengths = set()
    for row in range(60):
        one = symbols_NK[row : row + 1 + row % 3]
        payload = coded((model, one))
        lengths.add(len(payload) % 4)
        np.testing.assert_array_equal(Decoder(payload).read(model, len(one)), one)
    assert lengths == {0, 1, 2, 3}


@pytest.mark.parametrize("family", [LaplaceColumns, TableColumns])
def test_rate_is_close_to_the_entropy(family):
    generator = np.random.default_rng(1)
    probabilities = np.array([0.02, 0.08, 0.7, 0.15, 0.05])
    symbols_NK = (generator.choice(5, (20_000, 1), p=probabilities) - 2).astype(np.int32)
    entropy_bytes = -(probabilities * np.log2(probabilities)).sum() * 20_000 / 8
    size = len(coded((family.fit(symbols_NK), symbols_NK)))
    assert 0.98 * entropy_bytes < size < (1.005 if family is TableColumns else 1.06) * entropy_bytes


def test_zeros_cost_next_to_nothing():
    zeros_NK = np.zeros((1000, 10), dtype=np.int32)
    for family in (LaplaceColumns, TableColumns):
        assert len(coded((family.fit(zeros_NK), zeros_NK))) < 25


def test_laplace_fit_finds_the_scale():
    generator = np.random.default_rng(2)
    scales = np.array([0.3, 1.0, 20.0])
    symbols_NK = np.rint(generator.laplace(0, scales, (50_000, 3))).astype(np.int32)
    np.testing.assert_allclose(LaplaceColumns.fit(symbols_NK).scale, scales, rtol=0.03)


def test_entries_can_have_their_own_parameters():
    generator = np.random.default_rng(3)
    location_NK = generator.normal(0, 50, (30, 4))
    symbols_NK = np.rint(location_NK + generator.normal(0, 2, (30, 4))).astype(np.int32)
    own = GaussianColumns(location_NK, np.full((30, 4), 2.0))
    payload = coded((own, symbols_NK))
    np.testing.assert_array_equal(Decoder(payload).read(own, 30), symbols_NK)
    assert len(payload) < 0.6 * len(coded((GaussianColumns.fit(symbols_NK), symbols_NK)))


@pytest.mark.parametrize("seed", range(12))
def test_every_symbol_of_a_long_table_can_be_coded(seed):
    generator = np.random.default_rng(seed)
    symbols_NK = np.rint(generator.standard_t(2, (2000, 1)) * 10 ** (seed / 4)).astype(np.int32)
    model = TableColumns.fit(symbols_NK)
    every_NK = np.arange(model.low[0] - 2, model.low[0] + len(model.code_lengths[0]) + 2)[:, None]
    np.testing.assert_array_equal(Decoder(coded((model, every_NK))).read(model, len(every_NK)), every_NK)


def test_tables_are_restored_from_bytes(symbols_NK):
    model = TableColumns.fit(symbols_NK)
    restored = TableColumns.from_bytes(model.to_bytes(), 4)
    assert model.shared_bytes == len(model.to_bytes())
    np.testing.assert_array_equal(restored.low, model.low)
    np.testing.assert_array_equal(Decoder(coded((model, symbols_NK))).read(restored, 500), symbols_NK)


def test_symbols_that_do_not_fit_are_refused():
    model = LaplaceColumns(np.zeros(1), np.ones(1))
    with pytest.raises(ValueError, match="expected integers"):
        coded((model, np.zeros((2, 1))))
    with pytest.raises(ValueError, match="allowed: int32"):
        coded((model, np.array([[2**31]])))
    with pytest.raises(ValueError, match="must be equal"):
        LaplaceColumns(np.zeros(2), np.ones(1))


@pytest.mark.parametrize("members", [0, 1, 127, 128, 300, 70_000])
def test_header_round_trip(members):
    assert read_header(with_header(members, b"body")) == (members, b"body")


def test_broken_headers_are_refused():
    with pytest.raises(ValueError, match="truncated"):
        read_header(b"")
    with pytest.raises(ValueError, match="truncated"):
        read_header(b"\x80")
    with pytest.raises(ValueError, match="0 or more"):
        with_header(-1, b"")
