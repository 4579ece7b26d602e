"""The configuration of runs: suites, settings, plans and budgets."""
