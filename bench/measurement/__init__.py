"""Measurement of memory and speed."""
