"""The embedded data: a small audio-visual world, written in the layouts of the official releases.

`world` says what happens in a video, `draw` and `sound` render it, `write` lays it out as the releases do, and `floors`
computes from the generator's own truth what can be scored without using both modalities.
"""
