"""The generated data: a small audio-visual world, written in the layouts of the official releases.

`world` decides what happens in a video, `draw` and `sound` render it, `write` writes it in a release's layout, and
`floors` computes from the generator's ground truth which scores are possible without using both modalities.
"""

VERSION = 3  # increases with every change of the generated data
