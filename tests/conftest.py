"""How hypothesis draws: the same examples each time, so that a failure is the change's; `make explore` draws new ones."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.register_profile("explore", print_blob=True)
settings.load_profile("same")
