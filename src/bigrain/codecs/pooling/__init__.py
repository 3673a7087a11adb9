"""Fewer token vectors: groups of tokens of one document, each replaced by one vector.

`groups` says what every pooling gives back; `ward` makes one vector for so many tokens, `centroids`
at most so many a document.
"""
