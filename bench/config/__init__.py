"""What a command asks for: suites, settings, plans, budgets."""
