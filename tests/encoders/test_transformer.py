"""Transformer models as encoders: the same vectors as the reference libraries, every family."""

import json
import re
import shutil
import string
import time

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import bigrain
from bigrain.encoders.base import PassageText, Whole
from bigrain.encoders.transformer import TransformerEncoder, choosing, runtimes
from bigrain.encoders.transformer.folder import read_folder
from bigrain.registry import make_encoder
from tests.encoders import tiny
from tests.encoders.tiny import TEXTS, VOCABULARY, WINDOW, hidden_states, ids_of

CLS, SEP, MASK = (VOCABULARY.index(mark) for mark in ("[CLS]", "[SEP]", "[MASK]"))
FAMILIES = ("dense", "sparse", "multivector")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tiny.sentence(tmp_path_factory.mktemp("models") / "tiny")


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def near(a, b):
    np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"pooling": "mean"}, {}),
        ({"pooling": "cls", "normalise": False}, {}),
        ({"pooling": "max", "dense": 8}, {}),
        ({"pooling": "mean", "prompts": {"query": "moon a ", "document": "zoo "}}, {}),
        ({"pooling": "mean", "dense": 8, "normalise": False}, {"dim": 5}),
    ],
)
def test_dense_vectors_are_those_of_sentence_transformers(tmp_path, options, settings):
    library = pytest.importorskip("sentence_transformers")
    folder = tiny.sentence(tmp_path / "model", **options)
    reference = library.SentenceTransformer(
        str(folder), device="cpu", truncate_dim=settings.get("dim"), local_files_only=True
    )
    texts = [*TEXTS, "moon " * 40]
    encoder = TransformerEncoder(folder, runtime="torch", long="truncate", **settings)
    near(encoder.encode_documents(texts, ["dense"])["dense"], reference.encode_document(texts))
    near(encoder.encode_queries(texts, ["dense"])["dense"], reference.encode_query(texts))


def test_last_token_pooling(tmp_path):
    folder = tiny.sentence(tmp_path / "model", pooling="last", normalise=False)
    found = TransformerEncoder(folder).encode_documents(["moon of earth", "zoo"], ["dense"])
    for row, text in zip(found["dense"], ["moon of earth", "zoo"], strict=True):
        near(row, hidden_states(folder, [CLS, *ids_of(text), SEP])[-1])


def test_a_prompt_is_left_out_of_the_mean_where_the_folder_says_so(tmp_path):
    folder = tiny.sentence(tmp_path / "model", prompts={"document": "zoo jazz "}, normalise=False)
    told = json.loads((folder / "1_Pooling" / "config.json").read_text())
    tiny.write(folder / "1_Pooling" / "config.json", {**told, "include_prompt": False})
    (found,) = TransformerEncoder(folder).encode_documents(["moon water"], ["dense"])["dense"]
    near(found, hidden_states(folder, [CLS, *ids_of("zoo jazz moon water"), SEP])[3:].mean(axis=0))


def test_splade_weights_are_those_of_sentence_transformers(tmp_path):
    library = pytest.importorskip("sentence_transformers")
    if not hasattr(library, "SparseEncoder"):
        pytest.skip("a Sentence-Transformers without SPLADE")
    folder = tiny.plain(tmp_path / "model", "BertForMaskedLM")
    library.SparseEncoder(str(folder), device="cpu").save(str(tmp_path / "splade"))
    reference = library.SparseEncoder(str(tmp_path / "splade"), device="cpu")
    expected = np.array(reference.encode(TEXTS, convert_to_tensor=True).to_dense())
    encoder = TransformerEncoder(tmp_path / "splade", top=1000)
    assert encoder.families == ("sparse",)
    found = dense_of(encoder.encode_documents(TEXTS, ["sparse"])["sparse"])
    expected[:, :5] = 0  # marks are nobody's words
    near(found, expected)
    pruned = TransformerEncoder(tmp_path / "splade", top=3)
    few = dense_of(pruned.encode_documents(TEXTS, ["sparse"])["sparse"])
    assert ((few > 0).sum(axis=1) == 3).all()
    near(np.sort(few, axis=1)[:, -3:], np.sort(found, axis=1)[:, -3:])


def dense_of(matrix):
    out = np.zeros(matrix.shape, np.float32)
    for row, (a, b) in enumerate(zip(matrix.indptr, matrix.indptr[1:], strict=False)):
        out[row, matrix.indices[a:b]] = matrix.data[a:b]
    return out


def test_the_untrained_sparse_head_is_its_formula(folder):
    import transformers

    table = np.array(
        transformers.AutoModel.from_pretrained(folder).embeddings.word_embeddings.weight.detach()
    )
    encoder = TransformerEncoder(folder, top=1000)
    found = dense_of(encoder.encode_documents(["moon of earth", ""], ["sparse"])["sparse"])
    hidden = hidden_states(folder, [CLS, *ids_of("moon of earth"), SEP])[1:-1]
    expected = np.log1p(np.maximum(hidden @ table.T, 0)).max(axis=0)
    expected[ids_of("moon of earth")] += 3
    expected[:5] = 0
    near(found[0], expected)
    assert not found[1].any()


def test_proposed_columns_are_weighed_exactly_and_the_heaviest_mostly_kept():
    from bigrain.encoders.transformer.heads.vocabulary import VocabularyHead

    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(96, 96)) * np.linspace(3, 0.3, 96)
    table = (rng.normal(size=(5000, 96)) @ mixed).astype(np.float32)
    head = VocabularyHead(table, np.arange(9))
    texts = []
    for n in (12, 0, 5):
        tokens = (rng.normal(size=(n, 96)) @ mixed).astype(np.float32)
        tokens[::3] *= 3  # some words say more than others
        texts.append((tokens, rng.integers(9, 5000, n)))
    proposed = head.rows(texts, 50, query=False)[0]
    exact = VocabularyHead(table, np.arange(9)).rows(texts[:1], 5000, query=False)[0]
    order = np.argsort(-exact[1])[:50]
    exact = exact[0][order], exact[1][order]
    assert set(texts[0][1]) <= set(proposed[0])
    both, i, j = np.intersect1d(exact[0], proposed[0], return_indices=True)
    assert len(both) >= 40 and exact[0].min() >= 9
    assert len(head.rows(texts, 50, query=False)[1][0]) == 0
    assert len(head.rows(texts[:1], 1000, query=True)[0][0]) == 32 + len(set(texts[0][1]))
    near(exact[1][i], proposed[1][j])
    more = [*texts, texts[0], (texts[0][0][4:5], texts[0][1][4:5])]  # neither by length nor unlike
    for together, text in zip(head.rows(more, 50, query=False), more, strict=True):
        ((columns, weights),) = head.rows([text], 50, query=False)
        np.testing.assert_array_equal(together[0], columns)
        near(together[1], weights)


def test_questions_to_the_untrained_sparse_head_are_weighed_by_idf(folder, tmp_path):
    encoder = TransformerEncoder(folder)
    bigrain.register_encoder("tiny", lambda: encoder)
    texts = ["the moon", "the earth", "the grain , the zoo"]
    with bigrain.create(tmp_path / "c.grain", {"s": bigrain.SparseField(encoder="tiny")}) as col:
        col.add(texts)
        col.commit()
        found = {hit.text: hit.score for hit in col.search("the moon", k=3)}
    documents = dense_of(encoder.encode_documents(texts, ["sparse"])["sparse"])
    query = dense_of(encoder.encode_queries(["the moon"], ["sparse"])["sparse"])[0]
    df = np.count_nonzero(documents, axis=0)
    expected = documents @ (query * np.log1p((3 - df + 0.5) / (df + 0.5)))
    np.testing.assert_allclose([found[text] for text in texts], expected, rtol=5e-3)


def test_token_vectors_are_the_last_layer_without_marks_and_punctuation(folder):
    encoder = TransformerEncoder(folder)
    text = "grain , moon !"
    hidden = unit(hidden_states(folder, [CLS, *ids_of(text), SEP]))
    values, offsets = encoder.encode_documents([text, "!", ""], ["multivector"])["multivector"]
    near(values[:2], hidden[[1, 3]])
    assert offsets.tolist() == [0, 2, 5, 7]  # what has no word keeps all it has
    values, _ = encoder.encode_queries([text], ["multivector"])["multivector"]
    near(values, hidden[1:-1])


def test_rare_tokens_of_queries_weigh_more(folder):
    encoder = TransformerEncoder(folder)
    weights = encoder.rarity(["the moon", "the the earth", "the zoo"])
    the, moon, never = (weights[VOCABULARY.index(word)] for word in ("the", "moon", "pizza"))
    assert 0 < the < moon < never
    weighed = TransformerEncoder(folder, token_weights=weights)
    values, _ = weighed.encode_queries(["the moon"], ["multivector"])["multivector"]
    near(np.linalg.norm(values, axis=1), [the, moon])
    assert weighed.head("multivector").fingerprint() == encoder.head("multivector").fingerprint()


def test_colbert_marks_masks_and_projects(tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = tiny.plain(tmp_path / "colbert")
    projection = np.random.default_rng(3).normal(size=(6, 16)).astype(np.float32)
    arrays = load_file(folder / "model.safetensors")
    arrays["linear.weight"] = projection
    save_file(arrays, folder / "model.safetensors", {"format": "pt"})
    tiny.write(folder / "artifact.metadata", {"query_maxlen": 8, "doc_maxlen": 20, "dim": 6})
    encoder = TransformerEncoder(folder)
    assert encoder.families == ("multivector",) and encoder.head("multivector").dim == 6
    query, document = VOCABULARY.index("[unused0]"), VOCABULARY.index("[unused1]")
    values, _ = encoder.encode_documents(["moon , zoo"], ["multivector"])["multivector"]
    hidden = hidden_states(folder, [CLS, document, *ids_of("moon , zoo"), SEP])
    near(values, unit(hidden[[0, 1, 2, 4, 5]] @ projection.T))
    values, _ = encoder.encode_queries(["moon"], ["multivector"])["multivector"]
    ids = [CLS, query, *ids_of("moon"), SEP, MASK, MASK, MASK, MASK]
    near(values, unit(hidden_states(folder, ids, [1] * 4 + [0] * 4) @ projection.T))


def test_a_late_interaction_model_skips_what_its_folder_lists(tmp_path):
    folder = tiny.plain(tmp_path / "pylate")
    tiny.write(
        folder / "config_sentence_transformers.json",
        {"query_length": 8, "document_length": 20, "skiplist_words": ["moon", ",", "nobody"]},
    )
    told = read_folder(folder).colbert
    assert told["skiplist"] == ["moon", ",", "nobody"]
    for words, kept in ((None, string.punctuation), ([], "")):
        settings = {"query_length": 8, "document_length": 20, "skiplist_words": words}
        tiny.write(folder / "config_sentence_transformers.json", settings)
        assert read_folder(folder).colbert["skiplist"] == list(kept)
    for wrong in ("moon", 3, [""], [1], {"moon": 1}):
        settings = {"query_length": 8, "document_length": 20, "skiplist_words": wrong}
        tiny.write(folder / "config_sentence_transformers.json", settings)
        with pytest.raises(bigrain.ConfigError, match="skiplist_words are no list of words"):
            read_folder(folder)


def test_words_of_a_skiplist_give_no_vectors(folder):
    text = "the moon , the zoo"
    hidden = hidden_states(folder, [CLS, *ids_of(text), SEP])
    usual = TransformerEncoder(folder)
    for words, kept in (
        (None, [1, 2, 4, 5]),
        ([], [1, 2, 3, 4, 5]),
        (["the", ","], [2, 5]),
        (["THE", "orbiting"], [2, 3, 5]),  # as the tokeniser writes it; one is no token alone
        (text.split(), [0, 1, 2, 3, 4, 5, 6]),  # at least one
    ):
        encoder = TransformerEncoder(folder, skiplist_words=words)
        values, _ = encoder.encode_documents([text], ["multivector"])["multivector"]
        near(values, unit(hidden[kept]))
        values, _ = encoder.encode_queries([text], ["multivector"])["multivector"]
        near(values, unit(hidden[1:-1]))
        same = [
            encoder.head(f).fingerprint() == usual.head(f).fingerprint()
            for f in ("dense", "sparse", "multivector")
        ]
        assert same == [True, True, words is None]


def test_bge_m3_gives_all_three(tmp_path):
    import torch

    folder = tiny.plain(tmp_path / "m3")
    torch.manual_seed(5)
    heads = {"sparse": torch.nn.Linear(16, 1), "colbert": torch.nn.Linear(16, 16)}
    for name, linear in heads.items():
        torch.save(linear.state_dict(), folder / f"{name}_linear.pt")
    found = TransformerEncoder(folder).encode_documents(["moon zoo moon"], FAMILIES)
    hidden = hidden_states(folder, [CLS, *ids_of("moon zoo moon"), SEP])
    near(found["dense"][0], unit(hidden[0]))
    with torch.inference_mode():
        weights = torch.relu(heads["sparse"](torch.tensor(hidden)))[:, 0].numpy()
        vectors = heads["colbert"](torch.tensor(hidden[1:])).numpy()
    moon, zoo = VOCABULARY.index("moon"), VOCABULARY.index("zoo")
    sparse = dense_of(found["sparse"])[0]
    near(sparse[[moon, zoo]], [max(weights[1], weights[3]), weights[2]])
    assert set(np.flatnonzero(sparse)) <= {moon, zoo}
    near(found["multivector"][0], unit(vectors))


def test_long_texts_by_windows(folder):
    text = " ".join(["moon", "zoo", "jazz", "water"] * 12)
    cut = TransformerEncoder(folder, long="truncate")
    whole = TransformerEncoder(folder)
    assert "1 of 2 texts are longer than the 24 tokens" in cut.notices([text, "moon"])[0]
    assert whole.notices([text, "moon"]) == ()
    found = whole.encode_documents([text, "moon"], FAMILIES)
    parts = [text.split()[start : start + WINDOW - 2] for start in (0, 20, 40)]
    each = cut.encode_documents([" ".join(part) for part in parts], FAMILIES)
    near(found["dense"][0], unit(each["dense"].mean(axis=0)))
    near(dense_of(found["sparse"])[0], dense_of(each["sparse"]).max(axis=0))
    near(found["multivector"][0][:-1], each["multivector"][0])
    near(found["dense"][1], cut.encode_documents(["moon"], ["dense"])["dense"][0])
    other = whole.head("dense").fingerprint(), cut.head("dense").fingerprint()
    assert other[0] != other[1]


# -- late chunking ------------------------------------------------------------------------------


LONG_TEXT = " ".join(["moon zoo jazz.", "water earth silos.", "grain of pizza."] * 4)
SPANS = [(0, 14), (15, 33), (34, 49)]


def passages_of(text, spans):
    whole = Whole(text, spans)
    return [PassageText.of(text[a:b], whole, i) for i, (a, b) in enumerate(spans)]


def test_late_chunking_pools_the_tokens_that_the_whole_text_gave(folder):
    text = LONG_TEXT[:49]
    hidden = hidden_states(folder, [CLS, *ids_of(text.replace(".", " .")), SEP])
    encoder = TransformerEncoder(folder, long="late")
    found = encoder.encode_documents(passages_of(text, SPANS), FAMILIES)
    tokens = [hidden[1:5], hidden[5:9], hidden[9:13]]
    near(found["dense"], unit(np.array([t.mean(axis=0) for t in tokens])))
    values, offsets = found["multivector"]
    assert offsets.tolist() == [0, 3, 6, 9]  # punctuation is left out
    near(values, unit(np.concatenate([t[:3] for t in tokens])))
    own = [set(np.flatnonzero(row > 2.9)) & set(range(5, 200)) for row in dense_of(found["sparse"])]
    assert set(ids_of("water earth silos .")) <= own[1] and ids_of("pizza")[0] not in own[1]


def test_late_chunking_of_texts_that_are_no_passages_changes_nothing(folder):
    late, usual = (TransformerEncoder(folder, long=long) for long in ("late", "windows"))
    texts = [*TEXTS, LONG_TEXT * 2]
    for method in ("encode_documents", "encode_queries"):
        a, b = (getattr(each, method)(texts, FAMILIES) for each in (late, usual))
        assert np.array_equal(a["dense"], b["dense"])
        assert np.array_equal(a["multivector"][0], b["multivector"][0])


def test_late_chunking_of_one_passage_is_as_among_all(folder):
    """So that repair gives the same vectors."""
    spans, start = [], 0
    for sentence in LONG_TEXT.split(". "):
        spans.append((start, min(len(LONG_TEXT), start + len(sentence) + 1)))
        start += len(sentence) + 2
    spans.insert(5, (0, 120))  # longer than the window
    encoder = TransformerEncoder(folder, long="late", document_prompt="zoo ")
    texts = [*passages_of(LONG_TEXT, spans), "moon"]
    together = encoder.encode_documents(texts, ["dense"])["dense"]
    assert len(together) == 14 and np.isfinite(together).all()
    for i in (0, 5, 7, 12, 13):
        near(encoder.encode_documents([texts[i]], ["dense"])["dense"][0], together[i])


@pytest.mark.parametrize("long", ["windows", "truncate", "late"])
def test_tokens_stand_where_the_vectors_come_from(folder, long):
    """A network that tells tokens apart by their vectors alone."""
    encoder = TransformerEncoder(folder, long=long, document_prompt="of the ", query_prompt="a ")
    table = unit(np.random.default_rng(0).normal(size=(len(VOCABULARY), 16)))
    encoder._runner = lambda ids, mask: [table[ids].astype(np.float32)]
    whole = Whole(f"zoo jazz {LONG_TEXT}", [(a + 9, b + 9) for a, b in [*SPANS, (0, 149)]])
    texts = [
        *(PassageText.of(f"zoo jazz {LONG_TEXT[a:b]}", whole, i)
          for i, (a, b) in enumerate([*SPANS, (0, 149)])),
        *TEXTS, LONG_TEXT, "!",
    ]  # fmt: skip
    for query in (False, True):
        method = encoder.encode_queries if query else encoder.encode_documents
        values, ends = method(texts, ["multivector"])["multivector"]
        told = encoder.token_places(texts, query=query)
        assert [len(rows) for rows in told] == np.diff(ends).tolist()
        for text, rows, start in zip(texts, told, ends.tolist(), strict=False):
            assert rows[:, 0].tolist() == list(range(len(rows)))
            standing = rows[rows[:, 1] < rows[:, 2]]
            own = (table @ values[start : start + len(rows)].T).argmax(axis=0)
            found = [VOCABULARY[own[token]].removeprefix("##") for token in standing[:, 0]]
            assert found == [text[a:b] for _, a, b in standing.tolist()]
            if isinstance(text, PassageText) and long == "late":
                assert standing[0, :2].tolist() == [0, 9]  # its title is not read with it
                assert len(standing) == len(rows)
            elif not query and len(text) < 60:
                words = {text[a:b] for _, a, b in standing.tolist()}
                assert words == set(re.findall(r"\w+", text))


def test_late_chunking_in_a_collection(tmp_path, folder):
    for long in ("late", "windows"):
        bigrain.register_encoder(long, lambda long=long: TransformerEncoder(folder, long=long))
        chunking = bigrain.Chunking(max_chars=60)
        field = {"dense": bigrain.DenseField(encoder=long)}
        with bigrain.create(tmp_path / long, field, chunking=chunking) as col:
            col.add([{"id": "a", "title": "zoo", "text": LONG_TEXT}, {"id": "b", "text": "water"}])
            col.commit()
            assert col.stats()["fields"]["dense"]["rows"] > 3
            found = col.search("grain of pizza", k=2)
            assert {hit.id for hit in found} == {"a", "b"}
    scores = []
    for long in ("late", "windows"):
        with bigrain.open(tmp_path / long) as col:
            scores.append({hit.id: hit.score for hit in col.search("grain of pizza", k=2)})
    near(scores[0]["b"], scores[1]["b"])
    assert abs(scores[0]["a"] - scores[1]["a"]) > 1e-4


# -- temperature and positions ------------------------------------------------------------------


def test_temperature_divides_the_logits_of_attention(tmp_path, folder):
    """The same as dividing the weights that make queries of tokens."""
    from safetensors.numpy import load_file, save_file

    sharper = tmp_path / "sharper"
    shutil.copytree(folder, sharper)
    arrays = load_file(folder / "model.safetensors")
    for name in arrays:
        if "attention.self.query" in name:
            arrays[name] = arrays[name] / np.float32(0.8)
    save_file(arrays, sharper / "model.safetensors", {"format": "pt"})
    as_is = TransformerEncoder(folder)
    found = TransformerEncoder(folder, temperature=0.8)
    near(*(e.encode_documents(TEXTS, ["dense"])["dense"] for e in
           (found, TransformerEncoder(sharper))))  # fmt: skip
    one = TransformerEncoder(folder, temperature=1)
    vectors = [e.encode_documents(TEXTS, ["dense"])["dense"] for e in (as_is, one, found)]
    assert np.array_equal(vectors[0], vectors[1]) and np.abs(vectors[0] - vectors[2]).max() > 1e-3
    told = [e.head("dense").fingerprint() for e in (as_is, one, found)]
    assert told[0] == told[1] != told[2]


@pytest.mark.parametrize(
    ("how", "runtime"), [("interpolate", "torch"), ("group", "torch"), ("interpolate", "openvino")]
)
def test_more_positions_than_the_model_has(folder, how, runtime):
    if runtime == "openvino":
        pytest.importorskip("openvino")
    import torch
    import transformers

    encoder = TransformerEncoder(folder, positions=how, max_tokens=150, runtime=runtime)
    text = " ".join(["moon", "zoo", "jazz"] * 40)
    short = TransformerEncoder(folder, max_tokens=64).encode_documents(TEXTS, ["dense"])["dense"]
    found = encoder.encode_documents([*TEXTS, text], ["dense"])["dense"]
    near(found[:-1], short)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    table = model.embeddings.position_embeddings.weight.detach()
    places = torch.arange(122) * 63 / 121
    below, above = places.floor().long(), (places.floor().long() + 1).clamp(max=63)
    share = (places - places.floor())[:, None] if how == "interpolate" else 0
    table = table[below] * (1 - share) + table[above] * share
    model.embeddings.position_embeddings = torch.nn.Embedding.from_pretrained(table)
    ids = torch.tensor([[CLS, *ids_of(text), SEP]])
    with torch.inference_mode():
        hidden = model(
            ids, position_ids=torch.arange(122)[None], token_type_ids=torch.zeros_like(ids)
        ).last_hidden_state[0].numpy()  # fmt: skip
    near(found[-1], unit(hidden.mean(axis=0)))


def test_rotary_positions_are_compressed(tmp_path):
    import torch
    import transformers

    folder = tiny.plain(tmp_path / "rotary")
    config = transformers.ModernBertConfig(
        vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=64, pad_token_id=0, cls_token_id=CLS,
        sep_token_id=SEP,
    )  # fmt: skip
    model = transformers.ModernBertModel(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    model.save_pretrained(folder)
    text = " ".join(["moon", "zoo", "jazz"] * 40)
    usual = TransformerEncoder(folder, max_tokens=64)
    found = TransformerEncoder(folder, max_tokens=150, positions="interpolate")
    texts = TEXTS[:3]
    near(*(e.encode_documents(texts, ["dense"])["dense"] for e in (usual, found)))
    (one,) = found.encode_documents([text], ["dense"])["dense"]
    assert np.isfinite(one).all() and found.head("dense").fingerprint()["positions"]
    grouped = TransformerEncoder(folder, max_tokens=150, positions="group")
    assert np.abs(grouped.encode_documents([text], ["dense"])["dense"][0] - one).max() > 1e-6


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_every_runtime_gives_the_same_vectors(tmp_path, folder, runtime):
    pytest.importorskip({"openvino": "openvino", "onnx": "onnxruntime"}[runtime])
    splade = tiny.plain(tmp_path / "mlm", "BertForMaskedLM")
    for model, families, options in (
        (folder, FAMILIES, {}),
        (splade, ("sparse",), {"sparse": "mlm"}),
    ):
        reference = TransformerEncoder(model, runtime="torch", **options)
        other = TransformerEncoder(model, runtime=runtime, **options)
        expected = reference.encode_documents(TEXTS, families)
        found = other.encode_documents(TEXTS, families)
        assert other.runtime == runtime
        near(dense_of(found["sparse"]), dense_of(expected["sparse"]))
        if "dense" in families:
            near(found["dense"], expected["dense"])
            near(found["multivector"][0], expected["multivector"][0])
        assert other.head("sparse").fingerprint() == reference.head("sparse").fingerprint()


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Runtimes that only say that they were made; the second is not faithful where `far`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(choosing, "PATIENCE", 0.0)
    monkeypatch.setattr(choosing, "PATIENCE_KNOWN", 0.0)
    made, far, torch_run = [], [], runtimes._torch

    def make(name, network, threads):
        made.append(name)
        run = torch_run(network, threads)
        if name == "onnx" and far:
            return lambda ids, mask: [one + 5 * (ids[:, :, None] % 3) for one in run(ids, mask)]
        if name == "torch":  # the slower one
            return lambda ids, mask: time.sleep(0.01) or run(ids, mask)
        return run

    monkeypatch.setattr(runtimes, "make_runtime", make)
    monkeypatch.setattr(runtimes, "candidates", lambda: ["torch", "onnx"])
    return made, far


def test_auto_keeps_torch_where_the_others_are_not_faithful(folder, measured):
    made, far = measured
    far.append(True)
    encoder = TransformerEncoder(folder)
    before = encoder.encode_documents(["moon"], ["dense"])["dense"]
    assert encoder.runtime == "torch" and made == ["torch"]
    encoder.encode_documents(["moon zoo"] * 3, ["dense"])
    assert encoder.runtime == "torch"
    assert encoder.measurements["onnx"][1] < runtimes.FAITHFUL <= encoder.measurements["torch"][1]
    n = len(made)
    near(encoder.encode_documents(["moon"] * 3, ["dense"])["dense"][:1], before)
    assert len(made) == n


def test_auto_does_not_measure_few_texts(folder, measured, monkeypatch):
    made, _ = measured
    monkeypatch.setattr(choosing, "PATIENCE", 1000.0)
    encoder = TransformerEncoder(folder)
    for _ in range(3):
        encoder.encode_documents(["moon zoo"] * 50, ["dense"])
    assert made == ["torch"] and not encoder.measurements


def test_auto_remembers_what_was_quickest_here(folder, measured, tmp_path):
    made, _ = measured

    def runtime(**options):
        made.clear()
        encoder = TransformerEncoder(folder, **options)
        for _ in range(2):
            encoder.encode_documents(["moon zoo"], ["dense"])
        return encoder.runtime

    assert runtime() == "onnx" and made == ["torch", "torch", "onnx"]
    assert runtime() == "onnx" and made == ["torch", "onnx"]  # not measured again
    assert runtime(threads=1) == "onnx" and made == ["torch", "torch", "onnx"]
    (kept,) = (tmp_path / "cache").rglob("*.json")
    kept.write_text("[1")
    assert runtime() == "onnx" and made == ["torch", "torch", "onnx"]
    assert len(json.loads(kept.read_text())) == 1


def test_auto_goes_on_with_torch_where_the_choice_fails(folder, measured, monkeypatch):
    TransformerEncoder(folder).encode_documents(["moon zoo"], ["dense"])
    for _ in range(2):
        again = TransformerEncoder(folder)
        again.encode_documents(["moon zoo"], ["dense"])
        again.encode_documents(["moon zoo"], ["dense"])
    make = runtimes.make_runtime

    def broken(name, network, threads):
        if name == "onnx":
            raise RuntimeError("no such operator")
        return make(name, network, threads)

    monkeypatch.setattr(runtimes, "make_runtime", broken)
    encoder = TransformerEncoder(folder)
    first = encoder.encode_documents(["moon zoo"], ["dense"])["dense"]
    with pytest.warns(UserWarning, match="onnx cannot run this model: no such operator"):
        again = encoder.encode_documents(["moon zoo"], ["dense"])["dense"]
    assert encoder.runtime == "torch"
    near(again, first)


def test_the_cache_need_not_be_writable(folder, measured, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    encoder = TransformerEncoder(folder)
    for _ in range(2):
        encoder.encode_documents(["moon zoo"], ["dense"])
    assert encoder.runtime == "onnx"


def test_batches_by_length_change_nothing(folder):
    encoder = TransformerEncoder(folder, runtime="torch")
    texts = ["moon " * n for n in (1, 20, 3, 17, 5, 2)] * 40
    together = encoder.encode_documents(texts, ["dense"])["dense"]
    near(together[:6], [encoder.encode_documents([t], ["dense"])["dense"][0] for t in texts[:6]])


# -- in a collection ----------------------------------------------------------------------------


def test_passages_are_as_long_as_the_smallest_window(tmp_path, folder):
    """24 tokens, two of them marks: about 80 characters."""
    name = str(folder)
    bigrain.register_encoder("long-window", lambda: TransformerEncoder(folder, max_tokens=64))
    for fields, most in (
        ({"a": bigrain.DenseField(encoder=name)}, 100),
        ({"a": bigrain.DenseField(encoder="long-window")}, 200),
        ({"a": bigrain.DenseField(encoder="long-window"), **bigrain.fields_of(name)}, 100),
        ({"a": bigrain.DenseField(encoder="bigrain/static-v1")}, 2000),
        ({"a": bigrain.LexicalField()}, 2000),
    ):
        with bigrain.create(
            tmp_path / f"{len(fields)}-{most}-{list(fields.values())[0].family}", fields
        ) as col:
            assert col.stats()["chunking"] == {
                "by": "sentence", "max_chars": most, "overlap_chars": most // 10
            }  # fmt: skip
    fields = bigrain.fields_of(name)
    with bigrain.create(tmp_path / "own", fields, chunking=bigrain.Chunking(max_chars=500)) as col:
        assert col.stats()["chunking"]["max_chars"] == 500
    with bigrain.create(tmp_path / "whole", fields, chunking=None) as col:
        assert col.stats()["chunking"] is None
        text = " ".join(["moon"] * 60 + ["pizza"])
        assert col.add([text, "zoo of jazz"]).warnings == ()  # read in windows
        col.commit()
        assert col.search("pizza", fields="multivector", k=1)[0].text == text
    for odd in (500, "sentence", {"by": "sentence"}):
        with pytest.raises(bigrain.ConfigError, match="must be a bigrain.Chunking, None"):
            bigrain.create(tmp_path / "odd", fields, chunking=odd)


def test_a_folder_is_an_encoders_name(tmp_path, folder):
    name = str(folder)
    assert list(bigrain.fields_of(name)) == ["lexical", *FAMILIES]
    with bigrain.create(tmp_path / "c.grain", bigrain.fields_of(name)) as col:
        col.add([text for text in TEXTS if text])
        col.commit()
        assert set(col.search("moon earth", k=1)[0].parts) == {"lexical", *FAMILIES}
        assert make_encoder(name, "dense").model is make_encoder(name, "sparse").model
    with bigrain.open(tmp_path / "c.grain") as col:
        assert col.search("grain", fields="dense", k=1)


def test_one_pass_serves_all_families(tmp_path, folder):
    encoder = TransformerEncoder(folder)
    run, passed = encoder._runner, []

    def counted(ids, mask):
        passed.append(len(ids))
        return run(ids, mask)

    counted.network = run.network
    encoder.__dict__["_runner"] = counted
    bigrain.register_encoder("tiny", lambda: encoder)
    with bigrain.create(tmp_path / "c.grain", bigrain.fields_of("tiny")) as col:
        col.add([text for text in TEXTS if text])
        assert passed == [4]
        col.commit()
        col.search("moon")
        assert passed == [4, 1]


def test_a_moved_folder_is_the_same_model_and_other_weights_are_not(tmp_path, folder):
    shutil.copytree(folder, tmp_path / "moved")
    here = TransformerEncoder(folder, runtime="torch")
    moved = TransformerEncoder(tmp_path / "moved")
    assert here.head("dense").fingerprint() == moved.head("dense").fingerprint()
    int8 = TransformerEncoder(folder, runtime="onnx-int8")
    assert int8.head("dense").fingerprint()["precision"] == "int8"
    weights = bytearray((tmp_path / "moved" / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "moved" / "model.safetensors").write_bytes(weights)
    other = TransformerEncoder(tmp_path / "moved")
    assert here.head("dense").fingerprint() != other.head("dense").fingerprint()


# -- bad input ----------------------------------------------------------------------------------


def refused(folder, said, error=bigrain.ConfigError, **options):
    with pytest.raises(error, match=said):
        TransformerEncoder(folder, **options)


def test_folders_that_are_no_whole_model(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "is no model folder: config.json is missing")
    refused(tmp_path / "nowhere" / "at" / "all", "there is no such folder")
    refused(folder / "config.json", "is a file; name the model's folder")
    for name, said in (
        ("model.safetensors", "holds no weights"),
        ("1_Pooling/config.json", "is no pooling module: config.json is missing"),
    ):
        broken = tmp_path / name.replace("/", "-")
        shutil.copytree(folder, broken)
        (broken / name).unlink()
        refused(broken, said)
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare)
    for name in ("tokenizer.json", "vocab.txt"):
        (bare / name).unlink(missing_ok=True)
    refused(bare, "holds no tokeniser: tokenizer.json is missing")
    cut = tmp_path / "cut"
    shutil.copytree(folder, cut)
    whole = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(whole[:-10])
    refused(cut, "cut short", bigrain.DamagedError)


def test_the_tokeniser_of_another_model_is_refused(tmp_path, folder):
    wrong = tmp_path / "wrong"
    shutil.copytree(folder, wrong)
    told = json.loads((wrong / "tokenizer.json").read_text())
    told["model"]["vocab"]["another"] = len(VOCABULARY) + 70
    tiny.write(wrong / "tokenizer.json", told)
    refused(wrong, r"the tokeniser has 1\d\d tokens, but .* rows; they belong to different models")


def test_modules_that_are_not_known_are_refused(tmp_path):
    folder = tiny.sentence(tmp_path / "model")
    listed = json.loads((folder / "modules.json").read_text())
    tiny.write(folder / "modules.json", [*listed, {"path": "4", "type": "a.LSTM"}])
    refused(folder, "modules.json names a LSTM, which is not supported")
    tiny.write(folder / "modules.json", listed)
    tiny.write(folder / "1_Pooling" / "config.json", {"pooling_mode_weightedmean_tokens": True})
    refused(folder, "weightedmean_tokens is not supported; one of mean, cls, max and last is")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sparse": "mlm"}, "has no head of a masked language model.*sparse='tokens'"),
        ({"pooling": "sum"}, "pooling='sum' is not one of 'cls', 'mean'"),
        ({"skiplist_words": "the"}, "skiplist_words='the' must be a list of words"),
        ({"dim": 17}, "dim=17 must be a whole number from 1 to 16"),
        ({"max_tokens": 65}, "max_tokens=65 must be a whole number from 8 to 64"),
        ({"long": "cut"}, "long='cut' is not one of 'truncate', 'windows', 'late'"),
        ({"long": "late", "pooling": "cls"}, "long='late' pools the tokens of each passage"),
        ({"long": "late", "sparse": "mlm"}, "has no head of a masked language model"),
        ({"temperature": 0}, "temperature=0 must be a number from 0.1 to 10"),
        ({"positions": "ntk"}, "positions='ntk' is not one of 'interpolate', 'group'"),
        ({"runtime": "tensorrt"}, "runtime='tensorrt' is not 'auto' or one of torch"),
        ({"token_weights": [1.0, 2.0]}, r"token_weights must be \d+ numbers"),
        ({"top": 0}, "top=0"),
    ],
)
def test_settings_that_do_not_fit(folder, options, said):
    refused(folder, said, **options)


def test_a_dimension_that_does_not_match_the_field(tmp_path, folder):
    field = bigrain.DenseField(dim=384, encoder=str(folder))
    with pytest.raises(bigrain.ConfigError, match="dim=384, but encoder .* gives 16"):
        bigrain.create(tmp_path / "c.grain", {"d": field})
    with pytest.raises(bigrain.ConfigError, match="gives dense, sparse, multivector, not 'x'"):
        bigrain.fields_of(str(folder), ["x"])


def test_a_licence_that_forbids_commerce_is_told(tmp_path):
    folder = tiny.sentence(tmp_path / "model")
    assert TransformerEncoder(folder).notices(["moon"]) == ()
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\nA model.\n")
    bigrain.register_encoder("nc", lambda: TransformerEncoder(folder))
    with bigrain.create(tmp_path / "c.grain", bigrain.fields_of("nc")) as col:
        with pytest.warns(UserWarning, match="licence cc-by-nc-4.0: it does not allow commercial"):
            counts = col.add(["moon"])
    assert len(counts.warnings) == 1


def test_an_unknown_hub_name_says_what_to_do(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def offline(name, **_):
        raise OSError(f"cannot find {name} in the cache")

    monkeypatch.setattr(hub, "snapshot_download", offline)
    field = bigrain.DenseField(encoder="acme/nothing")
    with pytest.raises(bigrain.ConfigError, match=r"neither registered, nor a folder.*the cache"):
        bigrain.create(tmp_path / "c.grain", {"d": field})
    assert not (tmp_path / "c.grain").exists()


def test_a_hub_name_is_taken_from_the_cache(folder, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    asked = []
    monkeypatch.setattr(
        hub, "snapshot_download", lambda name, **_: asked.append(name) or str(folder)
    )
    assert make_encoder("acme/tiny", "dense").dim == 16 and asked == ["acme/tiny"]


def test_a_collection_begins_with_the_weights_that_suit_its_encoder(tmp_path, folder):
    usual, name = bigrain.Fusion().weights, str(folder)
    plain = {"dense": 0.65, "sparse": 0.1, "multivector": 0.65}
    for case, fields, expected in (
        ("a", bigrain.fields_of(name), usual | plain),
        (
            "b",
            bigrain.fields_of(name, ["dense", "sparse"]),
            usual | {"dense": 0.65, "sparse": 0.35},
        ),
        ("c", bigrain.fields_of("bigrain/static-v1"), usual),
        ("d", {"words": bigrain.LexicalField()}, usual),
    ):
        with bigrain.create(tmp_path / case, fields) as col:
            assert col.stats()["fusion"]["weights"] == expected
        with bigrain.create(tmp_path / f"own-{case}", fields, fusion=bigrain.Fusion()) as col:
            assert col.stats()["fusion"]["weights"] == usual
    with pytest.raises(bigrain.ConfigError, match=r"fusion='rrf' must be a bigrain.Fusion"):
        bigrain.create(tmp_path / "odd", fusion="rrf")
