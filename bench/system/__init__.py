"""The operating system's side: CPUs, threads, processes, signals, checksums of files."""
