"""The types of questions of MUSIC-AVQA. Imports nothing heavy, for the task's metrics are named after them."""

from __future__ import annotations

AUDIO, VISUAL, AUDIO_VISUAL = "Audio", "Visual", "Audio-Visual"
TYPES = (
    (AUDIO, "Counting"),
    (AUDIO, "Comparative"),
    (VISUAL, "Counting"),
    (VISUAL, "Location"),
    (AUDIO_VISUAL, "Existential"),
    (AUDIO_VISUAL, "Counting"),
    (AUDIO_VISUAL, "Location"),
    (AUDIO_VISUAL, "Comparative"),
    (AUDIO_VISUAL, "Temporal"),
)
"""The types of questions: what a question is about, and what it asks for."""
