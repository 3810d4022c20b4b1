"""Studies over many runs: the published figures done again, and the leaderboard of training recipes."""
