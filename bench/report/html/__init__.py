"""The leaderboard as a page."""
