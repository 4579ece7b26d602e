"""Suites: named TOML files that fix the data, the streams and the training recipe."""
