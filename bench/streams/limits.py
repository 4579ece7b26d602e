"""Bounds on what a configuration or suite may set for inputs: far beyond any encoder's values, far below all memory."""

SIDES = (1, 8_192)
"""Side of square images, in pixels."""
FRAMES = (1, 360_000)
"""Frames of spectrograms; an hour at most."""
TOKENS = (3, 2**20)
"""Tokens of texts."""
WINDOWS = (0.1, 600.0)
"""Length of sound windows, in seconds."""
MEANS = (-1e6, 1e6)
"""Mean of inputs."""
DEVIATIONS = (1e-6, 1e6)
"""Standard deviation of inputs."""
