"""Fewer token vectors: groups of tokens of one document or query, each replaced by one vector.

`groups` says what every pooling gives back; `ward` and `centroids` pool documents when they
are indexed. One idea a file.
"""
