"""Answering: plan, candidates, verify, fuse; filters and calibration beside them."""
