"""Natural data: photographed things and recorded sounds, composed into scenes in the layouts of official releases.

The media are Tux Paint's stamps, which the user has; `media` finds and reads them, `facts` says by hand what no rule
can tell, and `things` makes a catalogue of them. `scene` and `wording` compose pictures and words, `clip` composes
videos, and `write` puts both into the layouts of REFER and AVSBench's S4.
"""

VERSION = 4  # increases with every change of the composed data
