"""Tasks: a dataset, a head, a loss and scores each. The head is the same for every method."""
