"""What a builder wrote, against its manifest."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from bench.datasets.build import Manifest
from bench.system.checksums import combined


def gives_fingerprint(root: Path, manifest: Manifest) -> bool:
    """Return whether the files under `root` give the manifest's fingerprint."""
    files = [path for path in root.rglob("*") if path.is_file()]
    digests = ((path.relative_to(root).as_posix(), sha256(path.read_bytes()).hexdigest()) for path in files)
    return combined(digests) == manifest.fingerprint
