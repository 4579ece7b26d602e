"""Reference pages written from the code when the documentation is built, so that they cannot fall behind it."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args, get_type_hints

from bench import cli, registry
from bench.config.recipe import PER_METHOD, Recipe
from bench.config.suite import Data, StreamSource, SuiteTask, suite_names, suite_summary
from bench.records.schema import Record


def command_line() -> str:
    """Return the page of the command line, from its parsers."""
    parts = [
        "# Command line",
        "Every command is `bench COMMAND`, or `python -m bench COMMAND`. Options that take several values take them "
        "separated by commas or spaces.",
        "## Exit codes",
        table(
            ("code", "meaning"),
            [
                ("0", "all went well"),
                (
                    "1",
                    "a run failed, something is missing, a score differs from the recorded one, output could not be "
                    "written, or a signal ended the command (`^C`, SIGTERM, SIGHUP)",
                ),
                ("2", "the command is wrong: an unknown name, a wrong value, data or an encoder that is not there"),
            ],
        ),
    ]
    for name in cli.COMMANDS:
        parts += _command(name)
    return "\n\n".join(parts) + "\n"


def _command(name: str) -> Iterator[str]:
    parser = command_parser(name)
    yield f"## bench {name}"
    yield _sentence(parser.description or "")
    yield f"```text\n{parser.format_usage().removeprefix('usage: ').strip()}\n```"
    rows = []
    for action in parser._actions:
        if "--help" in action.option_strings:
            continue
        metavar = action.metavar or ("|".join(map(str, action.choices)) if action.choices else "")
        metavar = metavar or action.dest.upper()
        takes = f" {metavar if isinstance(metavar, str) else ' '.join(metavar)}" if action.nargs != 0 else ""
        names = ", ".join(f"`{option}{takes}`" for option in action.option_strings) or f"`{metavar or action.dest}`"
        rows.append((names, parser._get_formatter()._expand_help(action) if action.help else ""))
    yield table(("argument", "meaning"), [(_cell(a), _cell(b)) for a, b in rows])


def command_parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of a command."""
    (commands,) = (a for a in cli._parser(name)._actions if isinstance(a, argparse._SubParsersAction))
    return commands.choices[name]  # type: ignore[no-any-return]


def settings() -> str:
    """Return the page of suites and settings, from their dataclasses."""
    parts = [
        "# Suites and settings",
        "A suite is a TOML file. The built-in ones are in `bench/suites/`; `--suite FILE.toml` takes one of your own. "
        "`--set KEY=VALUE` changes a value for one command: a suite's table and field (`train.batch_size=16`, "
        "`data.source=official`, `vision.model=DIR`), a task's (`ave.epochs=2`) or a method's (`cola.r=8`).",
        table(("suite", "for"), [(f"`{name}`", _cell(suite_summary(name))) for name in suite_names()]),
        "The more particular value counts: a task's before the suite's, a method's name before a pattern such as "
        "`cola*`, `--settings FILE` before the suite, and `--set` before everything.",
        "## [data]",
        fields(Data),
        "## [streams.NAME]",
        "A name of your choice (`vision`, `audio`, `text`) and the pretrained encoder behind it.",
        fields(StreamSource),
        "## [train]",
        "The recipe, the same for every method of a task. A task changes it in `[tasks.NAME.train]`. Only "
        + ", ".join(f"`{name}`" for name in PER_METHOD)
        + " may differ between methods, in `[methods.NAME]` or `[tasks.NAME.methods.NAME]`.",
        fields(Recipe),
        "## [tasks.NAME]",
        "A task's name, or a pattern for several (`refcoco*`).",
        fields(SuiteTask),
        "## [methods.NAME]",
        "A method's name, or a pattern for several (`cola*`), with the method's own settings.",
    ]
    parts += ["[Methods](methods.md) lists them.", "## Settings of tasks"]
    for name in registry.names("tasks"):
        if "<" not in name:
            cls = registry.load("tasks", name)
            parts += [f"### {name}", prose(cls), fields(cls)]
    return "\n\n".join(part for part in parts if part) + "\n"


def methods() -> str:
    """Return the page of the methods: what each computes, its paper, choices that were made, and its settings."""
    parts = [
        "# Methods",
        "What `bench list methods` lists, with paper and settings. Where a paper leaves a choice, or the authors' code "
        "differs from it, the text says what is done here. `--set METHOD.SETTING=VALUE` changes a setting.",
    ]
    for name in registry.names("methods"):
        parts.append(f"## {_escaped(name)}")
        if "<" in name:  # a family, such as peft:<type>
            parts.append(_escaped(registry.summary("methods", name)))
        else:
            cls = registry.load("methods", name)
            parts += [prose(cls), fields(cls)]
    return "\n\n".join(part for part in parts if part) + "\n"


def records() -> str:
    """Return the page of the record schema, from the sentence that each key has in the code."""
    parts = [
        "# Records",
        "A record is one JSON file, `results/records/TASK-METHOD-sSEED-ID.json`: what one run measured. What every "
        "test sample scored is stored beside it. A key that is added later has a default, so old records stay "
        "readable; `bench.load_records` returns them as `bench.Record`.",
    ]
    pending: list[tuple[str, type]] = [("", Record)]
    for prefix, cls in pending:
        hints = get_type_hints(cls)
        rows = []
        for field in dataclasses.fields(cls):
            nested = [arg for arg in (hints[field.name], *get_args(hints[field.name])) if dataclasses.is_dataclass(arg)]
            nested += [
                arg for item in get_args(hints[field.name]) for arg in get_args(item) if dataclasses.is_dataclass(arg)
            ]
            pending += [(f"{prefix}{field.name}.", arg) for arg in nested if isinstance(arg, type)]
            rows.append(
                (
                    f"`{field.name}`",
                    f"`{_type(hints[field.name])}`",
                    field.metadata.get("doc") or _documented(cls).get(field.name, ""),
                )
            )
        parts += [
            f"## {prefix.rstrip('.') or 'The record'}",
            table(("key", "type", "meaning"), [tuple(map(_cell, row)) for row in rows]),
        ]
    return "\n\n".join(parts) + "\n"


def prose(cls: type) -> str:
    """Return the docstring of a class as Markdown, without its sections, and with links to papers on arXiv."""
    text, _, _ = (inspect.getdoc(cls) or "").partition("\nAttributes:\n")
    paragraphs = [part if part.startswith("    ") else _escaped(part) for part in text.strip("\n").split("\n\n")]
    return re.sub(r"arXiv\s(\d{4}\.\d{5})", r"[arXiv \1](https://arxiv.org/abs/\1)", "\n\n".join(paragraphs))


def fields(cls: type) -> str:
    """Return a dataclass's fields as a Markdown table with the text below each, or nothing if there are none."""
    if not dataclasses.is_dataclass(cls):
        return ""
    documented, hints = _documented(cls), get_type_hints(cls)
    rows = [
        (f"`{field.name}`", f"`{_type(hints[field.name])}`", _default(field), documented.get(field.name, ""))
        for field in dataclasses.fields(cls)
        if field.init and not field.name.startswith("_")
    ]
    return table(("setting", "type", "default", "meaning"), [tuple(map(_cell, row)) for row in rows]) if rows else ""


def _documented(cls: type) -> dict[str, str]:
    """Return the texts below the fields of a class and its bases, and those in `Attributes:` of their docstrings."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base is object or not dataclasses.is_dataclass(base) or base.__module__ == "types":
            continue
        try:
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        except (OSError, TypeError, ValueError):
            continue
        assert isinstance(tree, ast.ClassDef)
        texts |= _attributes(inspect.cleandoc(ast.get_docstring(tree) or ""))
        for field, text in zip(tree.body, tree.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                texts[field.target.id] = inspect.cleandoc(str(text.value.value))
    return texts


def _attributes(docstring: str) -> dict[str, str]:
    """Return the entries of the `Attributes:` section of a docstring."""
    _, _, section = docstring.partition("\nAttributes:\n")
    texts: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break
        if line.startswith("    ") and not line.startswith("     ") and ":" in line:
            name, _, text = line.strip().partition(":")
            name = name.split(" ")[0]
            texts[name] = text.strip()
        elif name:
            texts[name] += f" {line.strip()}"
    return {name: text.strip() for name, text in texts.items()}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table of cells that are Markdown themselves."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return "none" if field.default is None else f"`{field.default!r}`" if field.default != "" else ""
    if field.default_factory is not dataclasses.MISSING:
        return f"`{field.default_factory()!r}`"
    return "required"


def _type(hint: Any) -> str:
    text = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
    for module in ("typing.", "bench.records.schema.", "bench.config.spec.", "collections.abc."):
        text = text.replace(module, "")
    return text.removeprefix("<class '").removesuffix("'>")


def _cell(text: str) -> str:
    return _escaped(" ".join(text.split())).replace("|", r"\|")


def _sentence(text: str) -> str:
    return _escaped(text[:1].upper() + text[1:].rstrip(".") + ".") if text else ""


def _escaped(text: str) -> str:
    """Return a text in which `<` outside of code is not read as the start of an HTML tag."""
    return "`".join(part if index % 2 else part.replace("<", "&lt;") for index, part in enumerate(text.split("`")))


PAGES = {
    "reference/command-line.md": command_line,
    "reference/settings.md": settings,
    "reference/methods.md": methods,
    "reference/records.md": records,
}
"""The pages, by their place in the documentation."""


def modules() -> Iterator[str]:
    """Yield the names of the public API, by their full paths."""
    package = importlib.import_module("bench")
    for name in package.__all__:
        yield f"{getattr(package, name).__module__}.{name}"
