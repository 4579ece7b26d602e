"""Compares adapter methods for pairs of pretrained encoders, on several tasks, seeds and equal terms."""

__version__ = "0.1.0"
