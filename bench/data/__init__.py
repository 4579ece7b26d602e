"""The data of a run: generated or official, decoded and batched."""
