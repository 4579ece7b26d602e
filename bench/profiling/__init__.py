"""Efficiency of methods at the size of real encoders."""
