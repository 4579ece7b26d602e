"""Escaping of untrusted text for a terminal, Markdown, CSV and HTML."""
