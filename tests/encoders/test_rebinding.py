"""A collection whose encoder is elsewhere finds it again, and no other."""

import numpy as np
import pytest

import bigrain
from bigrain.encoders import corpus
from tests.collection.faulting import QuickDisk

TEXTS = [
    "the moon orbits the earth in a month",
    "grain is stored in silos of steel",
    "the earth orbits the sun in a year",
    "bread is baked from the flour of grain",
] * 3


@pytest.fixture
def learned(tmp_path):
    """A collection by an encoder in a folder, which was moved since."""
    corpus.learn("lsa", TEXTS, dim=4).save(tmp_path / "old")
    fields = {
        "words": bigrain.LexicalField(),
        "dense": bigrain.DenseField(encoder=str(tmp_path / "old")),
        "static": bigrain.DenseField(encoder="bigrain/static-v1"),
    }
    with bigrain.create(tmp_path / "c.grain", fields, files=QuickDisk()) as col:
        col.add(TEXTS)
        col.commit()
    (tmp_path / "old").rename(tmp_path / "new")
    bigrain.registry._made.clear()
    bigrain.registry._heads.clear()
    return tmp_path / "c.grain", str(tmp_path / "new")


def test_a_moved_encoder_is_found_again(learned):
    path, new = learned
    with pytest.raises(bigrain.ConfigError, match=r"moved, bigrain.rebind\('.*c.grain', encoder\)"):
        bigrain.open(path)
    assert bigrain.rebind(path, new) == ("dense",)
    with bigrain.open(path) as col:
        assert col.fields["dense"].encoder == new
        assert col.fields["static"].encoder == "bigrain/static-v1"
        assert "grain" in col.search("stored grain", fields="dense", k=1)[0].text
        assert col.verify().ok
        col.add(["the sun warms the earth"])
        before = col.commit()
    assert bigrain.rebind(path, new, "dense") == ("dense",)  # nothing to change
    with bigrain.open(path) as col:
        assert col.snapshot == before and len(col) == 13


def test_another_encoder_is_refused_and_nothing_changes(learned, tmp_path):
    path, new = learned
    others = [*TEXTS, "another text altogether"]
    corpus.learn("lsa", others, dim=4).save(tmp_path / "other")
    with pytest.raises(
        bigrain.EncoderMismatchError, match="'dense' was built with .*differs in weights"
    ):
        bigrain.rebind(path, str(tmp_path / "other"))
    with pytest.raises(bigrain.EncoderMismatchError, match="'static' was built with"):
        bigrain.rebind(path, new, ["dense", "static"])
    with pytest.raises(bigrain.UnknownFieldError, match="no field 'words' with an encoder"):
        bigrain.rebind(path, new, ["words"])
    with pytest.raises(bigrain.ConfigError, match="not registered, nor a folder"):
        bigrain.rebind(path, "nobody")
    with pytest.raises(bigrain.ConfigError, match="encoder=3 must be a name"):
        bigrain.rebind(path, 3)
    with pytest.raises(bigrain.ConfigError, match="rebind"):
        bigrain.open(path)


def test_collections_without_encoders_and_with_a_writer(tmp_path):
    with bigrain.create(tmp_path / "w.grain", {"w": bigrain.LexicalField()}, files=QuickDisk()):
        pass
    with pytest.raises(bigrain.InvalidInputError, match="no field of this collection has an enc"):
        bigrain.rebind(tmp_path / "w.grain", "bigrain/static-v1")
    with pytest.raises(bigrain.NotACollectionError):
        bigrain.rebind(tmp_path / "none.grain", "bigrain/static-v1")
    fields = {"d": bigrain.DenseField(encoder="bigrain/static-v1")}
    with bigrain.create(tmp_path / "d.grain", fields, files=QuickDisk()) as col:
        col.add(["pending"])
        with pytest.raises(bigrain.LockedError):
            bigrain.rebind(tmp_path / "d.grain", "bigrain/static-v1")


def test_a_new_name_for_a_registered_encoder(tmp_path):
    def encode(texts):
        return np.array([[len(text), text.count("a"), 1] for text in texts], np.float32)

    made = bigrain.CallableEncoder("lengths", encode, dim=3, version="1")
    for name in ("lengths-old", "lengths-new"):
        bigrain.register_encoder(name, lambda: made)
    fields = {"d": bigrain.DenseField(encoder="lengths-old")}
    with bigrain.create(tmp_path / "d.grain", fields, files=QuickDisk()):
        pass
    assert bigrain.rebind(tmp_path / "d.grain", "lengths-new", ["d"]) == ("d",)
    with bigrain.open(tmp_path / "d.grain") as col:
        assert col.fields["d"].encoder == "lengths-new"
