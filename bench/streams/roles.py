"""The roles of the linears of a block."""

from __future__ import annotations

STAGES = {"attend": ("q", "k", "v", "qkv"), "project": ("o",), "feed_forward": ("gate", "up", "fc1", "fc2")}
"""The linears of each stage of a block, by role. No family has all of them."""
