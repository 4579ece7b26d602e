"""What every method must satisfy, as checks on tiny models: `bench check-method`."""
