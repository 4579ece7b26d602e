"""The generated data: a small audio-visual world, written in the layouts of the official releases.

`world` decides what happens in a video, `draw` and `sound` render it, `write` writes it in a release's layout, and
`floors` computes from the generator's ground truth which scores are possible without using both modalities. Ref-AVS,
whose expressions need sight, hearing and words together, has a world, a writer and floors of its own (`refavs_world`).
"""

VERSION = 3  # increases with every change of the generated data
