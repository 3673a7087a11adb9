"""A model of three families that anybody can check: letters of words."""

from collections import Counter

import numpy as np

import bigrain

DIM = 26
FAMILIES = ("dense", "sparse", "multivector")


def rows(text):
    """(words, 26): how often each word has each letter, and one more 'a'."""
    counts = np.zeros((max(len(text.split()), 1), DIM), np.float32)
    counts[:, 0] = 1
    for row, word in zip(counts, text.lower().split(), strict=False):
        for letter in word:
            if "a" <= letter <= "z":
                row[ord(letter) - 97] += 1
    return counts


def dense(texts):
    return np.array([rows(text).sum(axis=0) for text in texts]).reshape(-1, DIM)


def sparse(texts):
    return [dict(enumerate(np.log1p(rows(text).max(axis=0)).tolist())) for text in texts]


def multivector(texts):
    return [rows(text) for text in texts]


FUNCTIONS = {"dense": dense, "sparse": sparse, "multivector": multivector}


def alone(family, name="letters"):
    return bigrain.CallableEncoder(name, FUNCTIONS[family], DIM, family=family)


class Letters:
    """Gives any of the families, and counts the texts it was given."""

    families = FAMILIES

    def __init__(self, texts_at_once=None):
        self.documents, self.queries, self.calls = Counter(), Counter(), []
        self.texts_at_once = texts_at_once

    def head(self, family):
        return bigrain.Head(self, family, DIM, {"name": "letters", "family": family})

    def encode_documents(self, texts, families):
        self.documents.update(texts)
        self.calls.append((len(texts), tuple(families)))
        return {family: alone(family).encode_documents(texts) for family in families}

    def encode_queries(self, texts, families):
        self.queries.update(texts)
        return {family: alone(family).encode_queries(texts) for family in families}
