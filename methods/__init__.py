"""Methods, one file each, and the modules that they share. Imported as `bench.methods`."""
