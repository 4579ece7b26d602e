from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from user_files import write_csv

from bench import cli
from bench.config.plan import RunRequest, make_plan
from bench.config.suite import load_suite
from bench.config.suite_template import EMBEDDED, SuiteTemplate, suite_name


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return write_csv(tmp_path_factory.mktemp("init") / 'my "own" data', 30)


def test_every_template_is_a_suite_whose_methods_can_be_planned(tmp_path, table):
    for size, task in itertools.product((1, 2, 3), ("own-classification", "own-retrieval")):
        for streams in itertools.combinations(EMBEDDED, size):
            if task == "own-retrieval" and size != 2:
                continue
            for encoders in ({name: EMBEDDED[name] for name in streams}, dict.fromkeys(streams, "some/encoder")):
                template = SuiteTemplate("a", task, encoders)
                path = tmp_path / "a.toml"
                path.write_text(template.text(str(table)))
                specs = make_plan(RunRequest(str(path), template.methods, [task]))
                assert [spec.method for spec in specs] == template.methods
                base = load_suite("mini" if template.is_small else "full")
                assert specs[1].settings["r"] == base.methods["lora"]["r"]
                assert specs[1].recipe["epochs"] == base.train.epochs


def test_the_suite_names_its_data_relative_to_itself_and_fits_windows_to_the_recordings(tmp_path, table, capsys):
    inside, outside = table.parent / "inside.toml", tmp_path / "outside.toml"
    for path in (inside, outside):
        assert cli.main(["init-suite", str(path), "--csv", str(table)]) == 0
        assert load_suite(str(path)).data.path == str(table)
        assert load_suite(str(path)).tasks["own-classification"].settings["windows"] == 1  # recordings of 1.25 s
    assert 'path = "things.csv"' in inside.read_text()
    output = capsys.readouterr().out
    assert output.count("3 classes") == 2 and f"--suite '{inside}' --methods head,lora,cola" in output


def test_an_existing_file_is_not_overwritten(tmp_path, table, capsys):
    path = tmp_path / "a.toml"
    path.write_text("precious")
    assert cli.main(["init-suite", str(path), "--csv", str(table)]) == 2
    assert "exists: choose another name" in capsys.readouterr().err and path.read_text() == "precious"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "{table}"], "--csv takes a file and --images a folder"),
        (["--csv", "{table}x.csv"], "does not exist"),
        (["--csv", "{table}", "--task", "retrieval", "--audio", "x"], "has only the streams vision, text"),
        (["--csv", "{table}", "--vision", "embedded:audio-v1"], "it reads sounds, but vision"),
        (["--csv", "{table}", "--text", "nobody/nothing"], "nobody/nothing"),
        (["--images", "{root}"], "expected one folder per class"),
    ],
)
def test_what_cannot_run_is_not_written(tmp_path, table, capsys, options, message):
    path = tmp_path / "a.toml"
    arguments = [option.format(table=table, root=tmp_path) for option in options]
    assert cli.main(["init-suite", str(path), *arguments]) != 0
    assert message in capsys.readouterr().err and not path.exists()


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("image,split\n", ["--task", "classification"], "no rows"),
        ("image,split\na.png,train\nb.png,val\nc.png,test\n", ["--task", "classification"], "needs a column label"),
        ("image,split\na.png,train\nb.png,val\nc.png,test\n", [], "retrieval needs two columns"),
        ("label,group\n" + "".join(f"a,{n}\nb,x{n}\n" for n in range(20)), [], "no column with inputs"),
    ],
)
def test_data_without_the_columns_of_a_task_is_refused(tmp_path, capsys, text, options, message):
    (tmp_path / "a.csv").write_text(text)
    assert cli.main(["init-suite", str(tmp_path / "a.toml"), "--csv", str(tmp_path / "a.csv"), *options]) != 0
    assert message in capsys.readouterr().err


def test_names_of_suites_are_no_names_of_built_in_ones():
    assert (
        suite_name("mini") == "mini-data" and suite_name("my birds (2)") == "my-birds-2" and suite_name("??") == "own"
    )
