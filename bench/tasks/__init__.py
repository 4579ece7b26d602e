"""Tasks: a dataset, a head, a loss and scores. The head is the same for every method."""
