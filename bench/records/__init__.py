"""Records of runs, and what lies beside them in a results folder."""
