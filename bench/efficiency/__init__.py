"""What methods cost at a suite's real sizes, measured on random weights and made-up samples: no data, and no score."""
