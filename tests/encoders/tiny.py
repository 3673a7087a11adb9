"""Tiny transformer models, made with random weights: folders as the hub has them."""

import json
import string

import numpy as np

WORDS = "the moon orbits earth grain is stored in silos heavy water zoo jazz pizza of and a".split()
VOCABULARY = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]",
    *string.punctuation, *string.ascii_lowercase, *(f"##{c}" for c in string.ascii_lowercase),
    *WORDS[:-1],
]  # fmt: skip
TEXTS = [
    "the moon orbits the earth",
    "grain is stored in silos!",
    "pizza",
    "",
    "zoo of jazz, water",
]
WINDOW = 24


def config(**options):
    from transformers import BertConfig

    return BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=64, **options,
    )  # fmt: skip


def plain(folder, kind="BertModel", **options):
    """A Transformers folder: network and tokeniser."""
    import torch
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(7)
    model = getattr(transformers, kind)(config(**options)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    tokeniser = transformers.BertTokenizerFast(
        vocab={token: i for i, token in enumerate(VOCABULARY)}, model_max_length=WINDOW
    )
    tokeniser.save_pretrained(folder)
    return folder


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def sentence(folder, pooling="mean", dense=None, normalise=True, **settings):
    """A Sentence-Transformers folder; `dense`: the width of a Dense module."""
    import torch

    plain(folder)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    key = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens", "last": "lasttoken"}
    modes = {f"pooling_mode_{name}": name == key[pooling] for name in key.values()}
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, **modes})
    if dense:
        modules.append(("2_Dense", "Dense"))
        told = {"in_features": 16, "out_features": dense, "bias": True}
        told["activation_function"] = "torch.nn.modules.activation.Tanh"
        write(folder / "2_Dense" / "config.json", told)
        torch.manual_seed(1)
        linear = torch.nn.Linear(16, dense)
        state = {f"linear.{name}": value for name, value in linear.state_dict().items()}
        torch.save(state, folder / "2_Dense" / "pytorch_model.bin")
    if normalise:
        modules.append(("3_Normalize", "Normalize"))
        (folder / "3_Normalize").mkdir(exist_ok=True)
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(modules)
    ]
    write(folder / "modules.json", listed)
    write(folder / "sentence_bert_config.json", {"max_seq_length": WINDOW, "do_lower_case": False})
    write(folder / "config_sentence_transformers.json", settings)
    return folder


def hidden_states(folder, ids, mask=None, kind="AutoModel"):
    """The network's own output of one row of ids, by Transformers alone."""
    import torch
    import transformers

    model = getattr(transformers, kind).from_pretrained(folder).eval()
    given = torch.tensor([ids])
    mask = torch.ones_like(given) if mask is None else torch.tensor([mask])
    with torch.inference_mode():
        out = model(given, attention_mask=mask)
    return np.array((out.logits if kind.endswith("LM") else out.last_hidden_state)[0])


def ids_of(text):
    return [VOCABULARY.index(word) for word in text.split()]
