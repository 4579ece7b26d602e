"""What an encoder's configuration, or a suite, may ask of inputs: far beyond any encoder's, and far from all memory."""

SIDES = (1, 8_192)
"""Of square images, in pixels."""
FRAMES = (1, 360_000)
"""Of spectrograms: an hour."""
TOKENS = (3, 2**20)
"""Of texts."""
WINDOWS = (0.1, 600.0)
"""Of sound, in seconds."""
MEANS = (-1e6, 1e6)
"""Of inputs."""
DEVIATIONS = (1e-6, 1e6)
"""Of inputs."""
