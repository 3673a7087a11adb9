"""What every quantiser must do, and what each of them promises beyond that."""

import numpy as np
import pytest

from bigrain import kernels
from bigrain.codecs.codebooks import nearest_entries, section_edges, to_directions
from bigrain.codecs.dense import QUANTISERS, CodeSettings, DenseCodec
from bigrain.codecs.frame import Frame
from bigrain.codecs.nibbles import blocks_of, pack_nibbles, rows_of, unpack_nibbles
from bigrain.codecs.optimised import balanced_rotation, nearest_rotation
from bigrain.codecs.planes import Planes
from bigrain.codecs.quantiser import Quantiser
from bigrain.codecs.query_aware import lost_products, query_aware_components
from bigrain.codecs.rabitq import STEPS, Rabitq
from bigrain.codecs.recurrent import Recurrent
from bigrain.codecs.reduction import principal_components
from bigrain.codecs.scalar import Scalar

Floats = np.ndarray
EVERY = [
    ("rabitq", 1), ("rabitq", 2), ("rabitq", 3), ("rabitq", 8), ("sign", 1), ("recurrent", 1),
    ("recurrent", 4), ("scalar", 4), ("scalar", 8), ("pq", 4), ("opq", 4), ("additive", 4),
]  # fmt: skip
each = pytest.mark.parametrize(("code", "bits"), EVERY)


def correlated(n: int, dim: int, seed: int = 0) -> Floats:
    """Vectors around a few centres, with variances that fall from dimension to dimension."""
    rng = np.random.default_rng(seed)
    spread = 1 / np.sqrt(1 + np.arange(dim))
    mixing = np.linalg.qr(np.random.default_rng(9).normal(size=(dim, dim)))[0]
    centres = np.random.default_rng(8).normal(size=(6, dim)) * spread
    vectors = centres[rng.integers(0, 6, n)] + rng.normal(size=(n, dim)) * spread
    return (vectors @ mixing).astype(np.float32)


def fitted(code: str, bits: int, width: int, light_bytes: int, sample: Floats) -> Quantiser:
    return QUANTISERS[code].fit(sample, width, light_bytes, bits, 0).quantiser


def cosines(a: Floats, b: Floats) -> Floats:
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


@pytest.mark.parametrize("groups", [1, 2, 5, 12])
@pytest.mark.parametrize("n", [0, 1, 33])
def test_symbols_survive_packing_and_blocks(groups: int, n: int) -> None:
    symbols = np.random.default_rng(groups).integers(0, 16, (n, groups), dtype=np.uint8)
    packed = pack_nibbles(symbols)
    assert packed.shape == (n, -(-groups // 2))
    np.testing.assert_array_equal(unpack_nibbles(packed, groups), symbols)
    np.testing.assert_array_equal(rows_of(blocks_of(packed, groups), np.arange(n)), packed)


@each
@pytest.mark.parametrize("dim", [1, 7, 24])
def test_the_scan_is_the_product_with_what_is_decoded(code: str, bits: int, dim: int) -> None:
    """Tables, symbols and the kernel give factor * <decoded, query>, to half a step a symbol."""
    vectors, queries = correlated(70, dim), correlated(5, dim, 1)
    light_bytes = max(-(-bits // 2), dim // 2)
    quantiser = fitted(code, bits, QUANTISERS[code].kept(dim, light_bytes, bits),
                       light_bytes, vectors)  # fmt: skip
    assert quantiser.groups == QUANTISERS[code].symbols_of(dim, light_bytes, bits)
    assert -(-quantiser.groups // 2) <= light_bytes or quantiser.width == dim
    vectors, queries = vectors[:, : quantiser.width], queries[:, : quantiser.width]
    queries = np.ascontiguousarray(queries)
    packed, scale = quantiser.encode(vectors)
    decoded = quantiser.decode(packed)
    tables = quantiser.tables(queries)
    symbols = unpack_nibbles(packed, quantiser.groups)
    summed = tables[:, np.arange(quantiser.groups), symbols].sum(axis=2)
    size = np.abs(tables).max(initial=0)
    np.testing.assert_allclose(summed, queries @ decoded.T, atol=1e-4 * size * quantiser.groups)
    luts, step, bias = quantiser.luts(queries)
    unit = max(float(scale.max()), 1e-30)
    rows, found, _ = kernels.scan_lists(
        blocks_of(packed, quantiser.groups), np.array([0, 70]), luts, step, bias,
        (scale / unit).astype(np.float16), None, None, np.arange(6), np.zeros(5, np.int32),
        np.zeros(5, np.float32), 70,
    )  # fmt: skip
    exact = np.take_along_axis((scale / unit) * (queries @ decoded.T), rows, axis=1)
    allowed = quantiser.groups * step[:, None] / 2 + 2e-3 * np.abs(exact) + 1e-4 * size
    assert (np.abs(found - exact) <= allowed).all()


@each
def test_the_estimate_of_a_vector_with_itself_is_its_length(code: str, bits: int) -> None:
    vectors = correlated(200, 16)
    quantiser = fitted(code, bits, 16, 8 if bits < 8 else 16, vectors)
    packed, scale = quantiser.encode(vectors)
    own = scale * (vectors * quantiser.decode(packed)).sum(axis=1)
    squared = np.square(vectors).sum(axis=1)
    if code == "sign":  # one factor for all: right on average
        assert abs((own / squared).mean() - 1) < 0.25
    else:
        np.testing.assert_allclose(own, squared, rtol=1e-4)


@each
def test_zero_and_constant_vectors_are_coded(code: str, bits: int) -> None:
    for sample in (np.zeros((3, 8)), np.ones((1, 8)), np.empty((0, 8))):
        vectors = sample.astype(np.float32)
        quantiser = fitted(code, bits, 8, 4 if bits < 8 else 8, vectors)
        packed, scale = quantiser.encode(np.zeros((2, 8), np.float32))
        assert np.isfinite(scale).all() and np.isfinite(quantiser.decode(packed)).all()
        packed, scale = quantiser.encode(np.full((2, 8), 1e-20, np.float32))
        assert np.isfinite(scale).all()
        luts, step, bias = quantiser.luts(np.zeros((1, 8), np.float32))
        assert not luts.any() and step[0] > 0 and bias[0] == 0


@pytest.mark.parametrize("code", ["rabitq", "pq", "opq", "additive"])
def test_more_bytes_make_the_code_nearer(code: str) -> None:
    vectors, seen = correlated(800, 16), correlated(200, 16, 3)
    reached = []
    for light_bytes in (2, 4, 8):
        bits = light_bytes // 2 if code == "rabitq" else 4
        quantiser, rotation = QUANTISERS[code].fit(vectors, 16, light_bytes, bits, 0)
        turned = seen if rotation is None else seen @ rotation.T
        reached.append(cosines(turned, quantiser.decode(quantiser.encode(turned)[0])).mean())
    assert reached[0] + 0.02 < reached[1] and reached[1] + 0.01 < reached[2]


# -- planes of bits: RaBitQ and recurrent codes share one grid ----------------------------------


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("width", [1, 6, 8])
def test_planes_hold_every_number(bits: int, width: int) -> None:
    numbers = np.random.default_rng(0).integers(0, 1 << bits, (50, width), dtype=np.uint8)
    planes = Planes(width, bits)
    np.testing.assert_array_equal(planes.unpack(planes.pack(numbers)), numbers)
    np.testing.assert_array_equal(planes.decode(planes.pack(numbers)), 2 * numbers.astype(int)
                                  - (2**bits - 1))  # fmt: skip


@pytest.mark.parametrize("bits", [2, 5])
def test_the_first_plane_is_the_one_bit_code(bits: int) -> None:
    vectors = correlated(40, 16)
    many, one = Rabitq(16, bits), Rabitq(16, 1)
    first = unpack_nibbles(many.encode(vectors)[0], many.groups)[:, :4]
    np.testing.assert_array_equal(first, unpack_nibbles(one.encode(vectors)[0], 4))


@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 8])
def test_recurrent_codes_are_the_recurrence(rounds: int) -> None:
    """What is decoded is b of papers/A-3 times 2^(rounds - 1), exactly."""
    vectors = correlated(100, 12)
    spread = np.sqrt(np.square(vectors).mean(axis=1, keepdims=True))
    x = (vectors / (spread * np.float32(STEPS[rounds] * 2 ** (rounds - 2)))).astype(np.float32)
    b = np.where(x > 0, np.float32(1), np.float32(-1))
    for i in range(rounds - 1):
        b = b + np.float32(2.0 ** -(i + 1)) * np.where(x - b > 0, np.float32(1), np.float32(-1))
    quantiser = Recurrent(12, rounds)
    decoded = quantiser.decode(quantiser.encode(vectors)[0])
    np.testing.assert_array_equal(decoded, b * 2.0 ** (rounds - 1))


def test_products_of_recurrent_codes_are_those_of_whole_numbers() -> None:
    """The identity of papers/A-3 section 2, in int32, at the widest code there is."""
    u, d = 3, 4096
    rng = np.random.default_rng(0)
    c, other = rng.integers(0, 16, (2, d)).astype(np.int32)
    planes = Planes(d, u + 1)
    b, b2 = planes.decode(planes.pack(np.stack((c, other)).astype(np.uint8))) * 2.0**-u
    top = np.int32(2 ** (u + 1) - 1)
    whole = 4 * (c @ other) - 2 * top * (c.sum() + other.sum()) + d * top * top
    assert whole.dtype == np.int32 or abs(int(whole)) < 2**31
    assert float(b.astype(float) @ b2) == whole / 4**u


def test_every_round_reduces_the_error() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 256)).astype(np.float32)
    reached = []
    for rounds in (1, 2, 3, 4):
        quantiser = Recurrent(256, rounds)
        reached.append(cosines(vectors, quantiser.decode(quantiser.encode(vectors)[0])).mean())
    assert (np.diff(np.arccos(reached)) < -0.05).all()
    searched = Rabitq(256, 2)  # the same grid, searched
    assert cosines(vectors, searched.decode(searched.encode(vectors)[0])).mean() >= reached[1]


# -- scalar -------------------------------------------------------------------------------------


def test_scalar_codes_round_to_half_a_step_and_the_upper_half_is_the_coarse_code() -> None:
    vectors = correlated(100, 20)
    widest = np.abs(vectors).max(axis=1, keepdims=True)
    four, eight = Scalar(20, 4), Scalar(20, 8)
    for quantiser in (four, eight):
        step = 2 * widest / 2**quantiser.bits
        decoded = quantiser.decode(quantiser.encode(vectors)[0]) * step / 2
        assert (np.abs(decoded - vectors) <= step / 2 + 1e-6 * widest).all()
    upper = unpack_nibbles(eight.encode(vectors)[0], 40)[:, ::2]
    np.testing.assert_array_equal(upper, unpack_nibbles(four.encode(vectors)[0], 20))


# -- codebooks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "sections"), [(5, 5), (7, 3), (16, 4), (9, 1)])
def test_sections_cover_all_dimensions_evenly(width: int, sections: int) -> None:
    sizes = np.diff(section_edges(width, sections))
    assert sizes.sum() == width and sizes.max() - sizes.min() <= 1


def test_product_codes_take_the_nearest_entry_and_k_means_has_converged() -> None:
    """Each section's error is no more than that of any other entry, nor of one entry for all."""
    vectors = correlated(3000, 16)
    quantiser = fitted("pq", 4, 16, 4, vectors)
    directions = to_directions(vectors)
    symbols = unpack_nibbles(quantiser.encode(vectors)[0], 8)
    decoded = quantiser.decode(quantiser.encode(vectors)[0])
    for section, part in enumerate(quantiser.parts):
        entries = quantiser.book(section)[0]
        apart = np.square(directions[:, None, part] - entries).sum(axis=2)
        error = np.square(directions[:, part] - decoded[:, part]).sum(axis=1)
        np.testing.assert_allclose(error, apart.min(axis=1), atol=1e-6)
        np.testing.assert_array_equal(nearest_entries(directions[:, part], entries),
                                      symbols[:, section])  # fmt: skip
        spread = directions[:, part] - directions[:, part].mean(axis=0)
        # Two dimensions in 16 cells: at least as good as 4 x 4 of a Gaussian (Max, 1960: 0.1175).
        assert error.mean() < 0.13 * np.square(spread).sum(axis=1).mean()


def test_a_rotation_helps_product_codes() -> None:
    vectors, seen = correlated(1500, 16), correlated(500, 16, 3)
    plain = fitted("pq", 4, 16, 2, vectors)
    learned, rotation = QUANTISERS["opq"].fit(vectors, 16, 2, 4, 0)
    assert rotation is not None
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(16), atol=1e-5)
    turned = seen @ rotation.T
    better = cosines(turned, learned.decode(learned.encode(turned)[0])).mean()
    assert better > cosines(seen, plain.decode(plain.encode(seen)[0])).mean() + 0.01


def test_the_nearest_rotation_undoes_a_rotation() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(100, 12)).astype(np.float32)
    turn = np.linalg.qr(rng.normal(size=(12, 12)))[0].astype(np.float32)
    np.testing.assert_allclose(nearest_rotation(vectors, vectors @ turn.T), turn, atol=1e-5)


def test_axes_are_dealt_evenly() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(5000, 16)) * 1.5 ** -np.arange(16)).astype(np.float32)
    rotation = balanced_rotation(vectors, 4)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(16), atol=1e-5)
    products = np.log(np.var(vectors @ rotation.T, axis=0)).reshape(4, 4).sum(axis=1)
    plain = np.log(np.var(vectors, axis=0)).reshape(4, 4).sum(axis=1)
    assert np.ptp(products) < 0.2 * np.ptp(plain)


def test_additive_codes_are_nearer_than_product_codes() -> None:
    """At equal bytes, rotation and all."""
    vectors, seen = correlated(1500, 24), correlated(300, 24, 3)
    reached = {}
    for code in ("opq", "additive"):
        quantiser, rotation = QUANTISERS[code].fit(vectors, 24, 2, 4, 0)
        assert rotation is not None
        turned = seen @ rotation.T
        reached[code] = cosines(turned, quantiser.decode(quantiser.encode(turned)[0])).mean()
    assert reached["additive"] > reached["opq"]


# -- the frame ----------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_codecs_estimate_both_metrics(code: str, bits: int, metric: str) -> None:
    dim, n = 24, 500
    vectors, queries = correlated(n, dim) + np.float32(0.2), correlated(20, dim, 5)
    settings = CodeSettings(12 if bits < 8 else 24, code, bits)
    frame = Frame.fit([vectors], dim, settings.width(dim), metric=metric)
    codec = DenseCodec.fit(frame, settings, frame.reduced(vectors - frame.centre))
    assert codec.suits(settings) and not codec.suits(
        CodeSettings(4 if bits == 8 else 2, code, bits)
    )
    codes = codec.encode(vectors - codec.centre, None)
    prepared = codec.prepare(queries)
    decoded = codec.quantiser.decode(codes.symbols)
    found = codes.scale * (codec.turned(prepared.routed) @ decoded.T) + prepared.constant[:, None]
    exact = queries @ vectors.T
    if metric == "l2":
        assert codes.offset is not None
        found = found + codes.offset
        exact = -np.square(queries[:, None] - vectors).sum(axis=2)
    error = found - exact
    assert abs(error.mean()) < 0.2 * exact.std()
    assert error.std() < 0.5 * exact.std()


def test_a_prefix_keeps_the_first_dimensions() -> None:
    vectors = correlated(100, 24)
    settings = CodeSettings(2, "rabitq", 1, "prefix")
    frame = Frame.fit([vectors], 24, settings.width(24), metric="ip", reduction="prefix")
    assert frame.projection is None
    np.testing.assert_array_equal(frame.reduced(vectors), vectors[:, :16])


def test_reduction_for_queries_beats_principal_components_where_they_differ() -> None:
    """Data varies most where queries do not look; without queries it is principal components."""
    rng = np.random.default_rng(0)
    dim, width = 64, 16
    data = rng.normal(size=(4000, dim)) * np.linspace(2, 0.5, dim)
    asked = rng.normal(size=(1000, dim)) * np.linspace(0.05, 1, dim) ** 3
    data, asked = data.astype(np.float32), asked.astype(np.float32)
    fresh = (rng.normal(size=(200, dim)) * np.linspace(0.05, 1, dim) ** 3).astype(np.float32)
    errors = {}
    for name, reduction, queries in (
        ("pca", "pca", None), ("aware", "leanvec", asked), ("none", "leanvec", None),
        ("sphered", "sphering", asked),
    ):  # fmt: skip
        frame = Frame.fit([data], dim, width, metric="ip", reduction=reduction, queries=queries)
        centred = data - frame.centre
        found = frame.reduced_queries(fresh) @ frame.reduced(centred).T
        errors[name] = float(np.square(found - fresh @ centred.T).mean())
    assert errors["aware"] < 0.4 * errors["pca"]
    assert errors["none"] == errors["pca"]
    assert errors["sphered"] < errors["aware"]  # the best linear one
    # At full width nothing is lost, whatever the queries.
    full = Frame.fit([data], dim, dim, metric="ip", reduction="leanvec", queries=asked)
    assert full.projection is None


@pytest.mark.parametrize("width", [1, 5, 11])
def test_looking_at_queries_never_loses_more_of_their_products(width: int) -> None:
    data, asked = correlated(400, 12), correlated(200, 12, 4) * np.linspace(0, 2, 12)
    covariance = np.cov(data.T).astype(np.float64)
    moments = asked.T @ asked
    aware = query_aware_components(covariance, asked.astype(np.float32), width)
    np.testing.assert_allclose(aware @ aware.T, np.eye(width), atol=1e-5)
    plain = principal_components(covariance, width)
    lost = [lost_products(rows, covariance, moments) for rows in (aware, plain)]
    assert lost[0] <= lost[1] * (1 + 1e-9)


def test_a_query_aware_frame_survives_a_learned_rotation() -> None:
    data, asked = correlated(500, 24), correlated(300, 24, 5)
    frame = Frame.fit([data], 24, 12, metric="ip", reduction="sphering", queries=asked)
    assert frame.query_projection is not None
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))[0].astype(np.float32)
    for one in (frame, Frame.fit([data], 24, 12, metric="ip", reduction="prefix")):
        turned = one.turned(turn)
        np.testing.assert_allclose(turned.reduced(data), one.reduced(data) @ turn.T, atol=1e-4)
        before = one.reduced_queries(asked) @ one.reduced(data).T
        after = turned.reduced_queries(asked) @ turned.reduced(data).T
        np.testing.assert_allclose(before, after, atol=1e-3 * np.abs(before).max())
