"""Searches settings of methods on validation data."""
