"""The search for settings of methods by validation score."""
