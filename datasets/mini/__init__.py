"""The generated data: a small audio-visual world, written in the layouts of the official releases.

`world` decides what happens in a video, `draw` and `sound` render it, `write` writes it in a release's layout, and
`floors` computes from the generator's ground truth which scores are possible without using both modalities. `refavs_world`
and its writer and floors are those of Ref-AVS, whose expressions need sight, hearing and words together.
"""

VERSION = 3  # increases with every change of the generated data
