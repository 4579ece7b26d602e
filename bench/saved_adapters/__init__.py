"""Trained adapters on disk."""
