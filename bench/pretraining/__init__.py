"""Pretrains the small encoders of suite mini."""
