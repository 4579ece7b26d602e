"""Pretraining of the small encoders of the suite mini."""
