"""Files of `results/` that are part of the package: tuned settings, and the baseline of `bench check`.

A checkout has them in `results/`, and an installed wheel in `bench/results/` (see packaging/backend.py).
"""

from __future__ import annotations

from pathlib import Path

from bench.errors import UsageError, did_you_mean

_PACKAGE = Path(__file__).parents[1]
_TUNED = "tuned"


def results_folder() -> Path:
    """Return the folder of results that are part of the package, with one folder per suite."""
    installed = _PACKAGE / "results"
    return installed if installed.is_dir() else _PACKAGE.parent / "results"


def tuned_files() -> dict[str, Path]:
    """Return the files of tuned settings by name: the folder's name plus the part of the file's name after `tuned`.

    `results/mini/tuned.toml` is `mini`, and `results/mini/tuned-cola-size.toml` is `mini-cola-size`.
    """
    paths = sorted(results_folder().glob(f"*/{_TUNED}*.toml"))
    return {path.parent.name + path.stem.removeprefix(_TUNED): path for path in paths}


def tuned_path(name_or_path: str | Path) -> Path:
    """Return the path of a file of tuned settings, given its name or a path that ends in `.toml`.

    Raises:
        UsageError: There is no file of that name.
    """
    name, files = str(name_or_path), tuned_files()
    if name.endswith(".toml"):
        return Path(name)
    if name not in files:
        raise UsageError(f"unknown settings {name}: {did_you_mean(name, files)}; or give the path of a .toml file")
    return files[name]


def baseline_path(path: Path) -> Path:
    """Return the path of a baseline: the package's own if `results/...` does not exist in the working folder."""
    shipped = results_folder() / Path(*path.parts[1:])
    return shipped if path.parts[:1] == ("results",) and not path.exists() and shipped.is_file() else path
