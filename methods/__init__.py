"""Methods, one file each, and what they share. Imported as `bench.methods`."""
