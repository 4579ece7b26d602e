"""What the machine offers: CPUs, threads, processes, checksums of files."""
