"""Fewer token vectors: groups of tokens of one document or query, each replaced by one vector.

`groups` says what every pooling gives back; `ward`, `centroids`, `windows` pool documents when they
are indexed, `carving` pools queries. One idea a file.
"""
