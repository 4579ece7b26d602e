"""Records of runs, and the files beside them in a results folder."""
