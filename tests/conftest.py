"""How hypothesis draws: the same examples each time, so that a failure is the change's.

`make explore` draws new ones; `make fuzz` gives the readers of foreign files (tests/fuzz) 2,000 new ones each.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.register_profile("explore", print_blob=True)
settings.register_profile("fuzz", max_examples=2000, print_blob=True)
settings.load_profile("same")
