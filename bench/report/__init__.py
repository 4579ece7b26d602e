"""Reports from records: a table for the terminal, the leaderboard, and exports for other tools. Does not need torch."""
