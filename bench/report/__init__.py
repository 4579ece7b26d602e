"""Records put side by side: a table for the terminal, the leaderboard, and forms for other tools. Needs no torch."""
