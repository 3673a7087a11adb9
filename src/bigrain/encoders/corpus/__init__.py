"""Encoders learned from the raw texts of a corpus: no weights, no labels, any language.

>>> from bigrain.encoders import corpus
>>> texts = ["wheat in silos", "grain in silos", "moon and earth", "the moon in orbit"]
>>> encoder = corpus.learn("lsa", texts, dim=2)
>>> encoder.encode_queries(["a silo on the moon"]).shape
(1, 2)

After `encoder.save("my-encoder")`, `DenseField(encoder="my-encoder")` encodes documents and queries
with it. `learn` needs the extra `corpus`; what was learned is used without.

    kind        what it is                                            file
    lsa         truncated SVD of tf-idf                               lsa.py
    pmi         words: SVD of positive PMI; texts: SIF                pmi.py, sif.py
    skip-gram   words: each predicts its neighbours; texts: SIF       dbow.py, sif.py
    rand-walk   words: squared-norm objective; texts: SIF             squared_norm.py, sif.py
    bit-cipher  words: codes by rank, summed over neighbours; SIF     bitcipher.py, sif.py
    fastrp      words: FastRP of the graph of neighbours; SIF         fastrp.py, sif.py
    pv          paragraph vectors                                     dbow.py, paragraph.py
    binary-pv   paragraph vectors whose signs predict the words       dbow.py, paragraph.py
    rb-pv       binary codes and real vectors, both predict           dbow.py, paragraph.py
"""

from bigrain.encoders.corpus.fastrp import fastrp
from bigrain.encoders.corpus.learn import KINDS, learn
from bigrain.encoders.corpus.learned import LearnedEncoder
from bigrain.encoders.corpus.load import is_learned, load

__all__ = ["KINDS", "LearnedEncoder", "fastrp", "is_learned", "learn", "load"]
