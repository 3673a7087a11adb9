"""Learned light codes: they are codecs like any other, and find more of what is asked for."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bigrain import kernels
from bigrain.codecs.dense import CodeSettings, DenseCodec
from bigrain.codecs.nibbles import blocks_of
from bigrain.errors import CancelledError, ConfigError, InvalidInputError, MissingExtraError
from bigrain.index.coded_codec import read_codec, write_codec
from bigrain.learning.light import Recipe, Supervision, fitted_codec, learn_codec
from bigrain.learning.mining import Coded, best_rows, exact_scores, ranks
from bigrain.learning.supervision import sampled_queries
from bigrain.progress import Reporter
from bigrain.storage.files import DISK
from bigrain.storage.segment import SegmentFile, SegmentWriter

Floats = np.ndarray
CODES = [("rabitq", 1), ("rabitq", 2), ("sign", 1), ("recurrent", 2), ("opq", 4), ("pq", 4)]
each = pytest.mark.parametrize(("code", "bits"), CODES)
DIM, N = 32, 1_500
QUICK = Recipe(rounds=2, batch=32, mined=20, easy=32)


def unit(vectors: Floats) -> Floats:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def judged_set(seed: int = 0, n_queries: int = 400) -> tuple[Floats, Supervision]:
    """Documents, and queries that see half of the directions and add noise in the others."""
    rng = np.random.default_rng(seed)
    spread = 1 / np.sqrt(1 + np.arange(DIM))
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(DIM, DIM)))[0]
    documents = rng.normal(size=(N, DIM)) * spread
    rows = rng.permutation(N)[:n_queries]
    queries = documents[rows].copy()
    queries[:, : DIM // 2] += 1.5 * rng.normal(size=(n_queries, DIM // 2)) * spread[: DIM // 2]
    queries[:, DIM // 2 :] *= 2
    positives = [np.array([row]) for row in rows]
    return unit(documents @ turn), Supervision(unit(queries @ turn), positives)


def learned(
    code: str, bits: int, *, metric: str = "cosine", steps: int = 40, seed: int = 0,
    light_bytes: int = 4, **more: object,
) -> tuple[DenseCodec, dict[str, object]]:  # fmt: skip
    vectors, supervision = judged_set()
    settings = CodeSettings(light_bytes, code, bits)
    return learn_codec(
        settings, metric, vectors, supervision, steps=steps, seed=seed, recipe=QUICK, **more
    )  # type: ignore[arg-type]


@each
def test_a_student_begins_as_its_codec(code: str, bits: int) -> None:
    torch = pytest.importorskip("torch")
    from bigrain.learning.student import Student

    vectors, given = judged_set()
    codec = fitted_codec(CodeSettings(4, code, bits), "cosine", vectors)
    student = Student(codec)
    centred = vectors[:200] - codec.centre
    coded = Coded(codec, vectors[:200])
    documents = student.documents(torch.from_numpy(centred))
    scores = student.queries(torch.from_numpy(given.queries)) @ documents.T
    scores = scores.detach().numpy() + (given.queries @ codec.centre)[:, None]
    near = np.abs(scores - coded(given.queries)) < 1e-4
    assert near.mean() > 0.999  # rounding may move a number across a boundary
    again = Coded(student.codec(7), vectors[:200])(given.queries)
    assert (np.abs(again - coded(given.queries)) < 1e-4).mean() > 0.999


@each
def test_gradients_reach_projections_and_codebooks(code: str, bits: int) -> None:
    torch = pytest.importorskip("torch")
    from bigrain.learning.student import Student

    vectors, given = judged_set()
    student = Student(fitted_codec(CodeSettings(4, code, bits), "cosine", vectors))
    documents = student.documents(torch.from_numpy(vectors[:50]))
    (student.queries(torch.from_numpy(given.queries[:8])) @ documents.T).square().sum().backward()
    assert len(list(student.parameters())) == (3 if code in ("opq", "pq") else 2)
    for parameter in student.parameters():
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().max() > 0


def test_a_codebook_entry_changes_the_loss_by_its_gradient() -> None:
    """papers/A-1 section 11.1, in the direction in which no factor changes."""
    torch = pytest.importorskip("torch")
    from bigrain.learning.student import Student

    vectors, given = judged_set()
    student = Student(fitted_codec(CodeSettings(4, "opq", 4), "cosine", vectors))
    residuals = torch.from_numpy(vectors[:50])
    asked = torch.from_numpy(given.queries[:8])

    def loss() -> torch.Tensor:
        return (student.queries(asked) @ student.documents(residuals).T).square().sum()

    value = loss()
    value.backward()
    entry = np.unravel_index(int(student.books.grad.abs().argmax()), student.books.shape)
    slope = float(student.books.grad[entry])
    step = 1e-3 * float(student.books.detach().abs().mean())
    changed = []
    for sign in (1, -1):
        with torch.no_grad():
            student.books[entry] += sign * step
        changed.append(loss().item())
        with torch.no_grad():
            student.books[entry] -= sign * step
    assert (changed[0] - changed[1]) / (2 * step) == pytest.approx(slope, rel=0.05)


def test_no_steps_give_the_initial_codec() -> None:
    pytest.importorskip("torch")
    vectors, supervision = judged_set()
    settings = CodeSettings(4, "opq", 4)
    initial = fitted_codec(settings, "cosine", vectors)
    codec, report = learn_codec(settings, "cosine", vectors, supervision, steps=0, initial=initial)
    assert codec is initial
    assert report["improved"] is False and report["before"] == report["after"]


@pytest.mark.parametrize("code", ["rabitq", "opq"])
def test_judged_codes_find_more_and_the_seed_decides(code: str) -> None:
    pytest.importorskip("torch")
    bits = 1 if code == "rabitq" else 4
    codec, report = learned(code, bits, steps=80)
    assert report["improved"] and report["supervision"] == "judged"
    vectors, fresh = judged_set(seed=0)
    _, unseen = judged_set(seed=0, n_queries=900)
    queries, wanted = unseen.queries[400:], list(unseen.positives[400:])
    before = fitted_codec(CodeSettings(4, code, bits), "cosine", vectors)
    found = [
        np.mean([r < 10 for r in ranks(Coded(one, vectors), queries, wanted, N)])
        for one in (before, codec)
    ]
    assert found[1] > found[0] + 0.05
    scores = exact_scores(vectors, "cosine")(queries[:50])
    estimates = Coded(codec, vectors)(queries[:50])
    assert 0.5 < estimates.std(axis=1).mean() / scores.std(axis=1).mean() < 1.1  # of one size
    again, other = learned(code, bits, steps=80)
    assert again.id == codec.id
    assert {k: v for k, v in other.items() if k != "seconds"} == {
        k: v for k, v in report.items() if k != "seconds"
    }
    assert learned(code, bits, steps=10, seed=1)[0].id != codec.id


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("listed", [False, True])
def test_documents_alone_bring_codes_nearer_to_exact_scores(metric: str, listed: bool) -> None:
    pytest.importorskip("torch")
    vectors, _ = judged_set()
    vectors = vectors * np.random.default_rng(1).uniform(0.5, 2, (N, 1)).astype(np.float32)
    settings = CodeSettings(4, "opq", 4)
    initial = fitted_codec(settings, metric, vectors)
    centroids = (vectors[:8] - initial.centre) if listed else None
    codec, report = learn_codec(
        settings, metric, vectors, Supervision(vectors[:0]), initial=initial,
        centroids=centroids, steps=60, recipe=QUICK,
    )  # fmt: skip
    assert report["improved"] and report["supervision"] == "teacher"
    asked = sampled_queries(vectors, 200, 77)
    each_centroid = None
    if centroids is not None:
        lists = np.square(vectors[:, None] - initial.centre - centroids).sum(axis=2).argmin(axis=1)
        each_centroid = centroids[lists]
    wanted = list(best_rows(exact_scores(vectors, metric), asked, N, 10))
    shares = [
        np.mean([r < 10 for r in ranks(Coded(one, vectors, each_centroid), asked, wanted, N)])
        for one in (initial, codec)
    ]
    assert shares[1] > shares[0]


@pytest.mark.parametrize(("code", "bits"), [("rabitq", 1), ("recurrent", 2), ("opq", 4)])
def test_a_learned_codec_survives_a_segment_and_is_scanned_as_it_decodes(
    code: str, bits: int, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    codec, _ = learned(code, bits)
    assert codec.frame.query_projection is not None
    assert codec.suits(CodeSettings(4, code, bits)) and codec.learned_from == 340
    writer = SegmentWriter(DISK, tmp_path / "codec.seg")
    writer.finish(write_codec(writer, codec))
    file = SegmentFile(DISK, tmp_path / "codec.seg")
    again = read_codec(file, DIM, "cosine")
    file.close()
    assert again.id == codec.id

    vectors, given = judged_set()
    queries = given.queries[:5]
    codes = again.encode(vectors - again.centre, None)
    prepared = again.prepare(queries)
    unit = float(codes.scale.max())
    rows, found, _ = kernels.scan_lists(
        blocks_of(codes.symbols, again.groups), np.array([0, N]), prepared.luts, prepared.scale,
        prepared.bias, (codes.scale / unit).astype(np.float16), None, None, np.arange(6),
        np.zeros(5, np.int32), np.zeros(5, np.float32), N,
    )  # fmt: skip
    estimates = Coded(codec, vectors)(queries) - prepared.constant[:, None]
    exact = np.take_along_axis(estimates, rows, axis=1) / unit
    step = again.groups * prepared.scale[:, None] / 2 + 2e-3 * np.abs(exact) + 1e-3
    assert (np.abs(found - exact) <= step).all()


def test_judged_documents_are_never_negatives() -> None:
    """papers/A-1 section 11.8."""
    torch = pytest.importorskip("torch")
    from bigrain.learning.targets import cross_entropy, target

    teacher = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    judged = torch.zeros(3, 6)
    judged[0, [1, 4]] = 1
    judged[1, 2] = 1
    wanted = target(teacher, judged, 1.0)
    np.testing.assert_allclose(wanted[0].numpy(), [0, 0.5, 0, 0, 0.5, 0])
    np.testing.assert_allclose(wanted[2].numpy(), torch.softmax(teacher[2], 0).numpy(), rtol=1e-5)
    mixed = target(teacher, judged, 0.5)
    np.testing.assert_allclose(mixed.sum(1).numpy(), 1, rtol=1e-5)
    logits = torch.randn(3, 6, generator=torch.Generator().manual_seed(1), requires_grad=True)
    loss = cross_entropy(logits, wanted, torch.tensor([1.0, 1.0, 2.0]))
    p = torch.softmax(logits.detach(), 1).numpy()
    by_hand = -(wanted.numpy() * np.log(p)).sum(1) @ [0.25, 0.25, 0.5]
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)
    loss.backward()
    assert logits.grad[0, [1, 4]].numpy() == pytest.approx((p[0, [1, 4]] - 0.5) / 4, rel=1e-4)


def test_entries_that_nothing_chooses_are_put_to_work() -> None:
    torch = pytest.importorskip("torch")
    from bigrain.learning.student import Student

    vectors, _ = judged_set()
    student = Student(fitted_codec(CodeSettings(4, "opq", 4), "cosine", vectors))
    with torch.no_grad():
        student.books[2, 0, 5:] = 1e2
    restarted = student.restart_unused(torch.from_numpy(vectors), np.random.default_rng(0))
    assert restarted >= 11
    assert student.books.detach().abs().max() < 10
    used = student.restart_unused(torch.from_numpy(vectors), np.random.default_rng(1))
    assert used < restarted


def test_a_given_teacher_is_followed() -> None:
    """A teacher that ranks by another part of the vectors than inner products do."""
    pytest.importorskip("torch")
    vectors, _ = judged_set()
    rng = np.random.default_rng(3)
    queries = sampled_queries(vectors, 300, 3)
    mask = (np.arange(DIM) < DIM // 2).astype(np.float32)
    scores = (queries * mask) @ vectors.T
    scored = [(rows, scores[i, rows]) for i, rows in
              ((i, rng.permutation(N)[:300]) for i in range(300))]  # fmt: skip
    settings = CodeSettings(4, "opq", 4)
    _, report = learn_codec(
        settings, "ip", vectors, Supervision(queries, teacher_scores=scored), steps=80,
        recipe=QUICK,
    )  # fmt: skip
    assert report["improved"] and report["supervision"] == "teacher"


def test_a_function_gives_vectors_and_only_some_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("bigrain.learning.light.MOST_VECTORS", 900)
    vectors, given = judged_set()
    asked: list[int] = []

    def sampler(rows: Floats) -> Floats:
        asked.append(len(rows))
        assert (np.diff(rows) > 0).all()
        return vectors[rows]

    settings = CodeSettings(4, "rabitq", 1)
    codec, report = learn_codec(settings, "ip", sampler, given, n=N, steps=20, recipe=QUICK)
    assert report["vectors"] == 900 and max(asked) == 900
    with pytest.raises(ConfigError, match="need their number"):
        learn_codec(settings, "ip", sampler, given)


def test_progress_counts_steps_and_cancels() -> None:
    pytest.importorskip("torch")
    seen: list[int] = []

    def stop(update: object) -> None:
        seen.append(update.done)  # type: ignore[attr-defined]
        if update.done >= 3:  # type: ignore[attr-defined]
            raise CancelledError("enough")

    reporter = Reporter(stop)
    reporter.interval_s = 0.0
    with pytest.raises(CancelledError):
        learned("rabitq", 1, progress=reporter)
    assert seen[-1] == 3
    _, report = learned("rabitq", 1, minutes=0.0)
    assert report["steps"] == 0 and not report["improved"]


def test_what_cannot_be_learned_from_is_refused() -> None:
    pytest.importorskip("torch")
    vectors, given = judged_set()
    settings = CodeSettings(4, "rabitq", 1)

    def refused(words: str, *arguments: object, error: type = InvalidInputError) -> None:
        with pytest.raises(error, match=words):
            learn_codec(settings, "cosine", *arguments)  # type: ignore[arg-type]

    refused("too few to learn from", vectors[:50], given)
    refused("39 judged queries are too few",
            vectors, Supervision(given.queries[:39], given.positives[:39]))  # fmt: skip
    refused(r"shape \(400, 16\)", vectors, Supervision(given.queries[:, :16]))
    refused("names row 1500", vectors,
            Supervision(given.queries, [*given.positives[:-1], np.array([N])]))  # fmt: skip
    refused("positives of 3 queries", vectors, Supervision(given.queries, given.positives[:3]))
    refused("positive numbers", vectors,
            Supervision(given.queries, given.positives, np.zeros(400, np.float32)))  # fmt: skip
    refused("all queries are equal", vectors, Supervision(np.repeat(given.queries[:1], 50, 0)))
    refused("all documents score alike", np.repeat(vectors[:1], N, 0), given)
    even = [(np.arange(5), np.ones(5, np.float32))] * 400
    refused("nothing to follow", vectors, Supervision(given.queries, teacher_scores=even))
    broken = given.queries.copy()
    broken[3, 1] = np.nan
    refused("query 3 holds NaN", vectors, Supervision(broken))
    with pytest.raises(ConfigError, match="pass `initial`"):
        learn_codec(settings, "ip", vectors, given, centroids=vectors[:4])
    with pytest.raises(ConfigError, match="negatives must be one of"):
        Recipe(negatives="bm25")


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    vectors, given = judged_set()
    with pytest.raises(MissingExtraError, match=r"bigrain\[learn\]"):
        learn_codec(CodeSettings(4, "rabitq", 1), "ip", vectors, given)
