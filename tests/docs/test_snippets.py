"""Every fenced command and Python snippet of README, CONTRIBUTING and docs works.

How each is run is in `snippets`. With SNIPPETS=train (`make docs-run`) all are trained that have no mode of their own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mocks
import pytest
import snippets
import yaml
from PIL import Image
from snippets import ROOT, Snippet
from user_files import write_csv, write_folders

from bench import cli, load_records, registry
from bench.config import toml
from bench.config.experiment import read_experiment
from bench.config.suite import load_suite
from bench.errors import UsageError
from bench.tasks.base import Task

ONE_EPOCH = ("train.train_share=1", "train.passes=1", "train.epochs=1", "train.head_first=0")
"""Settings that make a run on the few generated videos of a test short."""

NOT_HERE = {"--jobs", "--time-limit", "--memory-limit", "--track"}
"""Options of `bench run` that take other processes or packages: parsed, but left out when a command is run."""

PAGES = snippets.pages()


class Place:
    """A working folder for all snippets, with what a checkout has in it, and the results of earlier commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trains = False
        for name in ("examples", "bench/suites", "datasets", "methods", "tests", "pyproject.toml", "constraints.txt"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(ROOT / name)
        (folder / "results" / "mini").mkdir(parents=True)
        write_captions(folder / "captions")
        write_csv(folder / "things")
        write_folders(folder / "things" / "things.csv", folder / "photos")
        for path in [*(ROOT / "results" / "mini").glob("tuned*.toml"), ROOT / "results" / "mini" / "baseline.json"]:
            shutil.copy(path, folder / "results" / "mini")

    def fill_in(self, argument: str) -> str:
        """Return an argument with what stands for something in documentation replaced by a thing that is there."""
        if argument.endswith("...") and (matches := sorted(self.folder.glob(f"{argument[:-3]}*"))):
            return str(matches[-1].relative_to(self.folder))
        if argument == "ID":
            saved = sorted((self.folder / "results" / "adapters").iterdir())
            return saved[-1].name.rpartition("-")[2]
        return argument


def write_captions(folder: Path) -> None:
    """Write the data of the task in docs/extend/task.md: two pictures, and captions of both in every split."""
    folder.mkdir()
    for color in ("red", "blue"):
        Image.new("RGB", (40, 30), color).save(folder / f"{color}.png")
    pairs = [(picture, caption) for picture in ("red", "blue") for caption in ("red", "blue")]
    for split in ("train", "val", "test"):
        lines = [
            json.dumps({"picture": f"{picture}.png", "caption": caption, "match": int(picture == caption)})
            for picture, caption in pairs
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The working folder, with a cache of its own and generated data of a few videos."""
    from bench.data import splits

    folder = tmp_path_factory.mktemp("snippets")
    place = Place(folder)
    with pytest.MonkeyPatch.context() as patch:
        mocks.generate_few(patch)
        mocks.count_once(patch)
        patch.setattr("bench.system.checksums.user_cache", lambda: tmp_path_factory.getbasetemp() / "snippets-cache")
        patch.chdir(folder)
        yield place
    splits._cache.clear()


@pytest.fixture
def execute(place: Place, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, Any], Any]:
    """What does a run in place of `bench.execution.single_run`: it trains, or invents what it would have measured."""
    from bench.execution.single_run import execute as train

    def execute(spec: Any, options: Any) -> Any:
        if place.trains:
            return train(spec, options)
        score = 60.0 + zlib.crc32(f"{spec.method}{spec.seed}".encode()) % 1000 / 100
        return mocks.trial(spec) if options.validate_only else mocks.record(spec, score)

    monkeypatch.setitem(sys.modules, "bench.execution.single_run", SimpleNamespace(execute=execute))
    return execute


def parsed(argv: Sequence[str]) -> Any:
    """Return the options of a `bench` command as the command line reads them."""
    args = cli._parse(cli._parser(argv[0] if argv else None), argv)
    args.argv = list(argv)
    return args


def plan(place: Place, argv: Sequence[str]) -> None:
    """Parse a `bench` command, and plan its runs where it has any."""
    args = parsed(argv)
    if args.command in ("run", "tune", "profile") and args.methods:
        changes = ["--set", *args.set] if args.set else []
        seeds = ["--seeds", *args.seeds] if getattr(args, "seeds", None) else []
        same = ["--methods", *args.methods, "--tasks", *args.tasks, "--suite", args.suite or "mini", *seeds, *changes]
        assert cli.main(["status", *same, "--results", str(place.folder / "none")]) == 0, argv


def run(place: Place, argv: Sequence[str]) -> None:
    """Run a `bench` command with few data; its options are parsed as they stand first."""
    argv = [place.fill_in(word) for word in argv]
    if {"--help", "-h", "--version"} & {*argv}:
        with pytest.raises(SystemExit, match=r"^0$"):
            cli.main(argv)
        return
    args = parsed(argv)
    if args.command in ("run", "tune"):
        argv = without(argv, NOT_HERE)
        if place.trains:
            few = [*(["--seeds", "0,1"] if args.seeds else []), *(["--trials", "2"] if args.command == "tune" else [])]
            argv = [*without(argv, {"--seeds", "--trials"}), *few, "--set", *ONE_EPOCH]
    if args.command == "profile":
        argv += ["--rounds", "1"]
    assert cli.main(argv) == 0, argv


def without(argv: Sequence[str], options: set[str]) -> list[str]:
    """Return the arguments without some options and their values."""
    arguments: list[str] = []
    skipping = False
    for word in argv:
        if word.startswith("--"):
            skipping = word in options
        if not skipping:
            arguments.append(word)
    return arguments


def shell(place: Place, snippet: Snippet, patch: pytest.MonkeyPatch) -> None:
    """Check the commands of a snippet, and run those of this project."""
    done = subprocess.run(["bash", "-n"], input=snippet.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{snippet.place}: {done.stderr}"
    for command in snippet.commands:
        while command and (variable := re.fullmatch(r"(\w+)=(.*)", command[0])):
            patch.setenv(*variable.groups())
            command = command[1:]
        try:
            _command(place, snippet, command)
        except (UsageError, AssertionError, SystemExit) as error:
            raise AssertionError(f"{snippet.place}: {' '.join(command)}: {error!r}") from error


def _command(place: Place, snippet: Snippet, command: Sequence[str]) -> None:
    program, *arguments = command
    if program in ("torchrun", "accelerate", "nohup", "mpirun") and "bench" in command:
        assert snippet.mode == "plan", f"{program} is only planned: give the mode and a reason"
        program, *arguments = command[command.index("bench") - (command[command.index("bench") - 1] == "-m") :]
        program = "bench" if program == "bench" else "python"
        arguments = arguments if arguments[:1] != ["bench"] else ["-m", *arguments]
    if Path(program).name in ("python", "python3") and arguments[:2] == ["-m", "bench"]:
        program, arguments = "bench", arguments[2:]
    if Path(program).name in ("bench", "crossmodal-bench"):
        assert snippet.mode != "syntax", "the mode of a `bench` command is plan or train, or none"
        (plan if snippet.mode == "plan" else run)(place, arguments)
    elif program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in arguments if "=" not in word} <= {*targets}, f"no such target among {targets}"
    elif Path(program).name in ("pip", "uv") or arguments[:2] == ["-m", "pip"]:
        installs(arguments)
    elif Path(program).name in ("python", "python3", "pytest", "ruff"):
        files = [word for word in arguments if word.endswith(".py") or word.startswith("tests/")]
        assert all((ROOT / file).exists() for file in files), f"not all of {files} exist"
    else:
        assert snippet.mode == "syntax", f"a test cannot run {program}: give the mode syntax and a reason"


def installs(arguments: Sequence[str]) -> None:
    """Check that the files and extras that are installed exist."""
    project = toml.parse((ROOT / "pyproject.toml").read_text())["project"]
    for word in arguments:
        if extras := re.search(r"\[([\w,-]+)\]$", word):
            assert {*extras[1].split(",")} <= {*project["optional-dependencies"]}, f"no such extra: {word}"
        path = word.partition("[")[0]
        if (path.startswith("./") and not path.endswith(".whl")) or path.endswith(".txt"):
            assert (ROOT / path).exists(), f"there is no {path}"
        assert not word.startswith(project["name"]), "that name is not on the package index: write a folder or a wheel"


def check(place: Place, snippet: Snippet, names: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    """Check one snippet by its language."""
    place.trains = snippet.mode == "train" or (not snippet.mode and os.environ.get("SNIPPETS") == "train")
    if snippet.language == "sh":
        shell(place, snippet, patch)
    elif snippet.language == "python":
        code = compile(snippet.text, snippet.place, "exec")
        if snippet.mode not in ("plan", "syntax"):
            exec(code, names)
            for cls in list(names.values()):
                if isinstance(cls, type) and issubclass(cls, Task) and cls is not Task:
                    registry.add("tasks", cls.__name__.lower(), cls)
    elif snippet.language == "toml":
        table = toml.parse(snippet.text)
        if {"name", "streams", "tasks"} <= {*table}:
            (path := place.folder / f"{table['name']}.toml").write_text(snippet.text)
            load_suite(str(path))
        if "stages" in table:
            (path := place.folder / "experiment.toml").write_text(snippet.text)
            assert not read_experiment(path).problems
    elif snippet.language in ("yaml", "json"):
        yaml.safe_load(snippet.text)


def register(package: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the entry points of an example package be read, and its modules be imported."""
    project = toml.parse((package / "pyproject.toml").read_text())["project"]
    metadata = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = [
        line
        for group, entries in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.syspath_prepend(str(folder))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_snippets(page: Path, place: Place, execute: object, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for kind in ("methods", "tasks"):
        monkeypatch.setitem(registry._added, kind, {})  # what a page registers is gone after it
    if (page.parent / "pyproject.toml").is_file() and page.parent != ROOT:  # as after its installation
        register(page.parent, place.folder / page.parent.name, monkeypatch)
    (place.folder / "results" / "tuned.toml").unlink(missing_ok=True)  # another page tuned with other trials
    for snippet in snippets.snippets(page):
        assert not snippet.problems, snippet.problems
        check(place, snippet, names, monkeypatch)


def test_the_task_of_the_page_has_scores(place: Place, execute: object, monkeypatch: pytest.MonkeyPatch) -> None:
    test_snippets(ROOT / "docs" / "extend" / "task.md", place, execute, monkeypatch)
    records = [record for record in load_records(place.folder / "results") if record.spec.task == "matching"]
    assert {record.spec.method for record in records} == {"lora", "cola"}
    assert all(record.status == "ok" and set(record.scores.test) == {"accuracy"} for record in records)
    assert not any(record.scores.floors for record in records), "nothing is generated for it"


def test_every_page_is_looked_at() -> None:
    assert {ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs" / "index.md"} <= {*PAGES}
    assert not [path for path in (ROOT / "docs").rglob("*.md") if path not in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_no_command_is_outside_of_a_fence(page: Path) -> None:
    prose = re.sub(r"^( *)(`{3,}).*?^\1\2$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^ {4,}(?:\S*bench|make|pip|uv|\.venv\S*|python|from|import) .*", prose, re.MULTILINE) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("```\nbench run\n```\n", "a fence needs one of the languages"),
        ("```console\nbench run\n```\n", "a fence needs one of the languages"),
        ("<!-- snippet: plan -->\n```sh\nbench run\n```\n", "mode plan needs a reason"),
        ("<!-- snippet: skip: no -->\n```sh\nbench run\n```\n", "unknown mode 'skip'"),
    ],
)
def test_a_fence_that_would_not_be_tested_is_a_problem(text: str, problem: str, tmp_path: Path) -> None:
    (page := tmp_path / "page.md").write_text(text)
    (snippet,) = snippets.snippets(page)
    assert len(snippet.problems) == 1 and problem in snippet.problems[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("```sh\nbench run --methods lora --tasks ave --seed 1\n```\n", "unknown option --seed"),
        ("```sh\nbench run --methods colaa --tasks ave\n```\n", "bench run --methods colaa"),
        (
            "<!-- snippet: plan: x -->\n```sh\nbench run --suite full --methods lora --tasks ave --set a.b=2\n```\n",
            "--suite full",
        ),
        ("```sh\nbench list method\n```\n", "bench list method"),
        ("```sh\npytest tests/none\n```\n", "not all of"),
        ("```sh\nmake runn\n```\n", "no such target"),
        ('```sh\npip install "crossmodal-bench[ray]"\n```\n', "not on the package index"),
        ('```sh\npip install ".[rai]"\n```\n', "no such extra"),
        ("```sh\nsbatch examples/cluster/slurm.sh\n```\n", "a test cannot run sbatch"),
        ("```python\nimport bench\nbench.runn\n```\n", "runn"),
        ('```toml\nname = "x"\nabout = ""\n[data]\n[streams]\n[train]\n[tasks]\n```\n', "train"),
    ],
)
def test_what_has_rotted_fails(
    text: str, problem: str, place: Place, execute: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (page := tmp_path / "page.md").write_text(text)
    (snippet,) = snippets.snippets(page)
    with pytest.raises((AssertionError, AttributeError, UsageError), match=re.escape(problem)):
        check(place, snippet, {}, monkeypatch)
