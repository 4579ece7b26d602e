"""The embedded encoders: a folder each, in the form that transformers reads, with a card."""
