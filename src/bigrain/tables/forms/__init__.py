"""Inference forms: what a trained table is on disk, and how NumPy alone reads rows from it.

`base` says what a form is; each of the others is one way to keep a table. Methods that train
differently may share a form.
"""
