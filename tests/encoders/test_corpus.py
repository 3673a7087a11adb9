"""Encoders learned from a corpus: what they are, what they keep, what they refuse."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain import (
    ConfigError,
    DamagedError,
    FormatError,
    InvalidDocumentError,
    MissingExtraError,
)
from bigrain.encoders import corpus
from bigrain.encoders.base import Encoder
from tests.encoders.corpus_texts import purity, topical

TEXTS, TOPICS = topical()
SMALL: dict[str, dict[str, Any]] = {
    "lsa": {"dim": 8},
    "pmi": {"dim": 8},
    "skip-gram": {"dim": 8, "epochs": 10},
    "rand-walk": {"dim": 8, "epochs": 10},
    "bit-cipher": {"dim": 64},
    "fastrp": {"dim": 32},
    "pv": {"dim": 16, "epochs": 20},
    "binary-pv": {"bits": 32, "epochs": 20},
    "rb-pv": {"dim": 48, "bits": 32, "epochs": 20},
}


@pytest.fixture(scope="module")
def learned() -> dict[str, Any]:
    return {kind: corpus.learn(kind, TEXTS, **options) for kind, options in SMALL.items()}


def test_every_kind_is_tried() -> None:
    assert set(SMALL) == set(corpus.KINDS)


@pytest.mark.parametrize("kind", SMALL)
def test_texts_of_one_topic_are_near(learned: dict[str, Any], kind: str) -> None:
    encoder = learned[kind]
    assert isinstance(encoder, Encoder)
    vectors = encoder.encode_documents(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.dim) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert purity(vectors, TOPICS) > 0.85  # by chance 0.25


@pytest.mark.parametrize("kind", SMALL)
def test_the_same_seed_gives_the_same_encoder(learned: dict[str, Any], kind: str) -> None:
    encoder = learned[kind]
    again = corpus.learn(kind, iter(TEXTS), **SMALL[kind])
    assert again.fingerprint() == encoder.fingerprint()
    other = corpus.learn(kind, TEXTS[:-1], **SMALL[kind])
    assert other.fingerprint() != encoder.fingerprint()


@pytest.mark.parametrize("kind", SMALL)
def test_saved_and_loaded(learned: dict[str, Any], kind: str, tmp_path: Path) -> None:
    encoder = learned[kind]
    encoder.save(tmp_path / "enc")
    loaded = corpus.load(tmp_path / "enc")
    assert loaded.fingerprint() == encoder.fingerprint()
    assert loaded.memory_bytes == encoder.memory_bytes > 0
    queries = ["t1w1 t1w3", "nothing known", "", "t2w1 c3"]
    vectors = loaded.encode_queries(queries)
    assert (vectors == encoder.encode_queries(queries)).all()
    assert not vectors[1].any() and not vectors[2].any() and vectors[0].any()
    alone = np.concatenate([loaded.encode_queries([q]) for q in queries])
    np.testing.assert_allclose(alone, vectors, atol=1e-4)
    with pytest.raises(ConfigError, match="already there"):
        encoder.save(tmp_path / "enc")
    assert {path.name for path in tmp_path.iterdir()} == {"enc"}


@pytest.mark.parametrize("kind", ["pmi", "rb-pv"])
def test_damage_is_named(learned: dict[str, Any], kind: str, tmp_path: Path) -> None:
    learned[kind].save(tmp_path / "enc")
    for path in sorted((tmp_path / "enc").iterdir()):
        copy = tmp_path / "copy"
        shutil.copytree(tmp_path / "enc", copy)
        if path.name != "config.json":
            data = bytearray((copy / path.name).read_bytes())
            data[len(data) // 2] ^= 4
            (copy / path.name).write_bytes(data)
            with pytest.raises(DamagedError, match=path.name):
                corpus.load(copy)
            (copy / path.name).unlink()
            with pytest.raises(DamagedError, match=path.name):
                corpus.load(copy)
        else:
            (copy / path.name).write_text("{")
            with pytest.raises(DamagedError, match="config.json"):
                corpus.load(copy)
        shutil.rmtree(copy)


def test_foreign_and_odd_folders(learned: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no encoder"):
        corpus.load(tmp_path)
    learned["rb-pv"].save(tmp_path / "enc")
    path = tmp_path / "enc" / "config.json"
    config = json.loads(path.read_text())

    def change(**changes: Any) -> None:
        path.write_text(json.dumps({**config, **changes}))

    change(kind="transformer")
    with pytest.raises(ConfigError, match="'transformer' is not one of lsa, pmi"):
        corpus.load(tmp_path / "enc")
    change(kind=3)
    with pytest.raises(ConfigError, match="names no kind"):
        corpus.load(tmp_path / "enc")
    change(format=9)
    with pytest.raises(FormatError, match="newer bigrain"):
        corpus.load(tmp_path / "enc")
    for odd in (
        {"settings": {}},
        {"settings": None},
        {"settings": {**config["settings"], "steps": -1}},
        {"settings": {**config["settings"], "bits": 7}},
        {"kind": "pmi"},
        {"analyser": {"language": "xx"}},
        {"n_documents": "many"},
        {"sha256": {}},
    ):
        change(**odd)
        with pytest.raises(DamagedError):
            corpus.load(tmp_path / "enc")


def test_a_folder_is_the_name_of_an_encoder(learned: dict[str, Any], tmp_path: Path) -> None:
    folder = str(tmp_path / "enc")
    learned["lsa"].save(folder)
    fields = {"dense": bigrain.DenseField(encoder=folder)}
    with bigrain.create(tmp_path / "a.grain", fields) as col:
        col.add(TEXTS)
        col.commit()
        assert col.fields["dense"].dim == 8
        found = [int(hit.text.count("t2w")) for hit in col.search("t2w1 t2w3", k=5)]
        assert min(found) > 10
    with bigrain.open(tmp_path / "a.grain") as col:
        assert col.search("t2w1", k=1)
    with pytest.raises(ConfigError, match="not registered, nor a folder"):
        bigrain.create(tmp_path / "b.grain", {"d": bigrain.DenseField(encoder="no-such")})
    with pytest.raises((ConfigError, MissingExtraError), match=r"is no model folder|transformers"):
        bigrain.create(tmp_path / "b.grain", {"d": bigrain.DenseField(encoder=str(tmp_path))})


def test_any_language() -> None:
    texts = [
        "穀物は倉庫に保存される",
        "倉庫の穀物は乾燥させる",
        "月は地球の周りを回る",
        "地球と月の距離",
        "Зерно хранится в силосах",
        "Силосы для зерна",
    ]
    encoder = corpus.learn("lsa", texts, dim=4, min_documents=1)
    vectors = encoder.encode_queries(["穀物の倉庫", "月と地球", "зерно"])
    best = (vectors @ encoder.encode_documents(texts).T).argmax(axis=1)
    assert best[0] in (0, 1) and best[1] in (2, 3) and best[2] in (4, 5)
    assert encoder.notices(["the quick brown fox"])
    assert not encoder.notices(texts)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("word2vec", {}, "kind='word2vec' is not one of lsa"),
        (None, {}, "kind=None"),
        ("pv", {"dim": 0}, "dim=0 must be a whole number"),
        ("pv", {"bits": 64}, "pv has no code of its own"),
        ("rb-pv", {"bits": 65}, "multiple of 8"),
        ("binary-pv", {"dim": 64, "bits": 32}, "vectors of binary-pv have 32"),
        ("lsa", {"seed": -1}, "seed=-1"),
        ("lsa", {"max_words": True}, "max_words=True"),
        ("lsa", {"language": "klingon"}, "klingon"),
        ("bit-cipher", {"dim": 4}, "fewer codes"),
    ],
)
def test_settings_are_checked(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        corpus.learn(kind, TEXTS, **options)


def test_nothing_to_learn_from() -> None:
    for texts in ([], ["one text only"], ["no", "word", "twice"]):
        with pytest.raises(InvalidDocumentError, match="nothing to learn from"):
            corpus.learn("lsa", texts)
    with pytest.raises(ConfigError, match=r"use \[text\]"):
        corpus.learn("lsa", "a text")
    with pytest.raises(InvalidDocumentError, match="must be a str"):
        corpus.learn("lsa", ["a text", None])  # type: ignore[list-item]


def test_cancelled() -> None:
    def stop(update: bigrain.ProgressUpdate) -> None:
        if update.stage.startswith("learning"):
            raise bigrain.CancelledError("enough")

    with pytest.raises(bigrain.CancelledError):
        corpus.learn("pv", TEXTS, dim=8, progress=stop)


def test_codes_tell_topics(learned: dict[str, Any]) -> None:
    encoder = learned["rb-pv"]
    packed = encoder.codes(TEXTS)
    assert packed.shape == (len(TEXTS), 4) and packed.dtype == np.uint8
    bits = np.unpackbits(packed, axis=1, bitorder="little").astype(np.float32) * 2 - 1
    assert purity(bits, TOPICS) > 0.8
    with pytest.raises(ValueError, match="pv has no code"):
        learned["pv"].codes(TEXTS)
