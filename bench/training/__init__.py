"""Sets up, trains and scores one run."""
