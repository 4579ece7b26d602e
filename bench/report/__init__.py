"""Records put side by side: a table for the terminal, and the leaderboard. Needs no heavy import."""

from bench.report.leaderboard import leaderboard, write_leaderboard
from bench.report.terminal import run_table

__all__ = ["leaderboard", "run_table", "write_leaderboard"]
