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


def test_retrieval_names_the_inputs_it_does_not_read_and_splits_come_in_their_order(tmp_path, capsys):
    rows = [f"images/{n}.png,a.wav,text {n},red,{split}" for n, split in enumerate(["test", "dev", *["train"] * 3])]
    (tmp_path / "a.csv").write_text("\n".join(["image,audio,text,label,split", *rows]) + "\n")
    for name in ["a.wav", *(f"images/{n}.png" for n in range(5))]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    path = tmp_path / "a.toml"
    assert cli.main(["init-suite", str(path), "--csv", str(tmp_path / "a.csv"), "--task", "retrieval"]) == 0
    assert capsys.readouterr().out.startswith(
        f"{path}: own-retrieval with vision and text; train 3, val 1, test 1\n"
        "not read: audio; retrieval pairs two inputs: for others, change the suite's streams\n"
        "next: bench run"
    )


def test_an_existing_file_is_not_overwritten(tmp_path, table, capsys):
    path = tmp_path / "a.toml"
    path.write_text("precious")
    assert cli.main(["init-suite", str(path), "--csv", str(table)]) == 2
    assert "exists: choose another name" in capsys.readouterr().err and path.read_text() == "precious"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "{table}"], "--images {table}: --csv takes a file and --images a folder"),
        (["--csv", "{root}"], "--csv {root}: --csv takes a file and --images a folder"),
        (["--csv", "{table}x.csv"], "--csv {table}x.csv does not exist\n"),
        (["--images", "{root}/nosuch"], "--images {root}/nosuch does not exist\n"),
        (["--csv", "{table}", "--task", "retrieval", "--audio", "x"], "has only the streams vision, text"),
        (["--csv", "{table}", "--vision", "embedded:audio-v1"], "it reads sounds, but vision"),
        (["--csv", "{table}", "--text", "nobody/nothing"], "nobody/nothing"),
        (["--images", "{root}"], "expected one folder per class"),
    ],
)
def test_what_cannot_run_is_not_written(tmp_path, table, capsys, options, message):
    path = tmp_path / "a.toml"
    arguments = [option.format(table=table, root=tmp_path) for option in options]
    assert cli.main(["init-suite", str(path), *arguments]) == 2
    assert message.format(table=table, root=tmp_path) in capsys.readouterr().err and not path.exists()


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
    assert cli.main(["init-suite", str(tmp_path / "a.toml"), "--csv", str(tmp_path / "a.csv"), *options]) == 2
    assert message in capsys.readouterr().err


HEADER = "text,label,split\n"
ROWS = "a,red,train\nb,blue,train\nc,red,val\nd,blue,test\n"
MISTAKES = {
    "an unknown column": HEADER.replace("label", "lable") + ROWS,
    "an empty split": HEADER + ROWS.replace("d,blue,test\n", ""),
    "a header only": HEADER,
    "an empty file": "",
    "no UTF-8": b"text,label,split\n\xff\xfe\n",
    "a quote that is not closed": HEADER + ROWS + 'e,"red,train\n',
    "classes without images": ["cats/a.txt", "dogs/a.txt"],
    "classes beside splits": ["cats/a.png", "train/cats/a.png"],
    "too few images": ["cats/a.png", "dogs/b.png"],
    "no folder of a class": [],
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_data_with_mistakes_is_wrong_input_and_named_as_the_user_does(mistake, tmp_path, capsys, monkeypatch):
    """Both when a suite is written, and when a run finds that its data has changed since."""
    monkeypatch.chdir(tmp_path)
    content = MISTAKES[mistake]
    option, source = ("--images", Path("photos")) if isinstance(content, list) else ("--csv", Path("a.csv"))
    Path("right.csv").write_text(HEADER + ROWS)
    if option == "--images":
        source.mkdir()
        for name in content:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).touch()
    else:
        source.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert cli.main(["init-suite", "new.toml", option, str(source)]) == 2
    error = capsys.readouterr().err
    assert str(source) in error and str(tmp_path) not in error and not Path("new.toml").exists()

    assert cli.main(["init-suite", "right.toml", "--csv", "right.csv", "--quiet"]) == 0
    run = ["run", "--suite", "right.toml", "--methods", "lora", "--tasks", "own-classification", "--dry-run"]
    assert cli.main([*run, "--data-root", "right.csv", "--quiet"]) == 0
    capsys.readouterr()
    assert cli.main([*run, "--data-root", str(source)]) == 2
    run_error = capsys.readouterr().err
    assert str(source) in run_error and str(tmp_path) not in run_error
    if option == "--csv":
        source.rename("right.csv")
        assert cli.main(run) == 2
        assert capsys.readouterr().err == run_error.replace("a.csv", str(tmp_path / "right.csv"))


def test_rows_files_and_arguments_with_mistakes_are_reported_at_once(tmp_path, capsys, table):
    path = table.parent / "wrong.csv"
    rows = table.read_text().splitlines()
    rows[1:4] = [",sounds/0.wav,a,red", "images/1.png,sounds/nosuch.wav,b,red", rows[3].replace("sounds/2", "../2")]
    path.write_text("\n".join(rows) + '\nimages/1.png,sounds/1.wav,"c,red\n')
    (path.parent / "sounds/broken.wav").write_bytes(b"RIFF")
    path.write_text(path.read_text().replace("sounds/3.wav", "sounds/broken.wav"))
    assert cli.main(["init-suite", str(tmp_path / "a.toml"), "--csv", str(path), "--text", "nobody/nothing"]) == 2
    error = capsys.readouterr().err
    for message in (
        "broken.wav cannot be read",
        "line 2: image is empty",
        f"line 3: {path.parent}/sounds/nosuch.wav does not exist",
        "line 4: expected audio to be a path",
        "line 32: cannot be read as CSV",
        "the encoder nobody/nothing is missing",
    ):
        assert error.count(message) == 1
    assert "6 mistakes" in error


def test_a_suite_is_not_written_into_a_folder_that_is_not_there(tmp_path, table, capsys):
    assert cli.main(["init-suite", str(tmp_path / "nosuch/a.toml"), "--csv", str(table)]) == 2
    assert f"there is no folder {tmp_path}/nosuch: make it first" in capsys.readouterr().err
    assert not (tmp_path / "nosuch").exists()


def test_names_of_suites_are_no_names_of_built_in_ones():
    assert (
        suite_name("mini") == "mini-data" and suite_name("my birds (2)") == "my-birds-2" and suite_name("??") == "own"
    )
