"""The example workflow: what it calls is there and takes its arguments, and its steps fit together."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from bench.cli import COMMANDS, _parse, _parser

CHECKOUT = Path(__file__).parents[3]
WORKFLOW = CHECKOUT / "examples/ci/bench-check.yml"


@pytest.fixture(scope="module")
def workflow():
    return yaml.safe_load(WORKFLOW.read_text())


def steps(workflow, job):
    return workflow["jobs"][job]["steps"]


def calls(workflow, program):
    """The arguments of each call of a program in a `run`, of all jobs."""
    lines = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    words = [shlex.split(line) for text in lines for line in text.replace("\\\n", " ").splitlines()]
    return [call[call.index(program) + 1 :] for call in words if program in call]


def arguments(workflow):
    (call,) = calls(workflow, "bench")
    return _parse(_parser(call[0]), call)


def test_each_bench_command_takes_its_arguments(workflow):
    commands = calls(workflow, "bench")
    assert [call[0] for call in commands] == ["check"] and "check" in COMMANDS
    args = arguments(workflow)
    assert args.baseline == Path("results/mini/baseline.json") and not args.update
    with pytest.raises(Exception, match="unknown option --reprot"):
        _parse(_parser("check"), ["check", "--reprot", "x"])


def test_each_make_target_exists(workflow):
    targets = {line.partition(":")[0] for line in (CHECKOUT / "Makefile").read_text().splitlines() if ":" in line}
    commands = [target for call in calls(workflow, "make") for target in call]
    assert commands and set(commands) <= targets


def test_the_comment_is_the_report_of_the_check(workflow):
    args = arguments(workflow)
    (upload,) = [step for step in steps(workflow, "check") if "upload-artifact" in step.get("uses", "")]
    (download,) = [step for step in steps(workflow, "comment") if "download-artifact" in step.get("uses", "")]
    paths = upload["with"]["path"].split()
    # What is kept are a file at the top and a folder below: the artifact has them under their own paths.
    assert paths == [str(args.report), str(args.results / "records")]
    assert upload["with"]["name"] == download["with"]["name"]
    posted = Path(download["with"]["path"]) / args.report
    bodies = [call[call.index("--body-file") + 1] for call in calls(workflow, "gh")]
    bodies += re.findall(r"--body-file (\S+)", steps(workflow, "comment")[-1]["run"])
    assert set(bodies) == {str(posted)}


def test_the_table_is_uploaded_and_posted_if_the_check_fails(workflow):
    names = [step.get("name") for step in steps(workflow, "check")]
    after = steps(workflow, "check")[names.index("Check") + 1 :]
    assert after and all(step["if"] == "always()" for step in after)
    assert not any("continue-on-error" in step for step in steps(workflow, "check"))
    assert workflow["jobs"]["comment"]["needs"] == "check"
    assert workflow["jobs"]["comment"]["if"].startswith("always()")


def test_jobs_that_run_a_pull_requests_code_have_no_write_permission(workflow):
    triggers = workflow[True]  # YAML 1.1 reads `on` so
    assert "pull_request" in triggers and "pull_request_target" not in triggers
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in workflow["jobs"]["check"]
    assert workflow["jobs"]["comment"]["permissions"] == {"pull-requests": "write"}
    assert not any("checkout" in step.get("uses", "") for step in steps(workflow, "comment"))
    # No expression is pasted into a shell's text: a title or a branch's name could be a command.
    assert not any("${{" in step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"])


def test_the_cached_data_is_where_the_check_looks_for_it(workflow):
    (cache,) = [step for step in steps(workflow, "check") if "actions/cache" in step.get("uses", "")]
    assert cache["with"]["path"] == str(arguments(workflow).data_root)
    for pattern in re.findall(r"'([^']+)'", cache["with"]["key"]):
        assert list(CHECKOUT.glob(pattern)), pattern


@pytest.mark.parametrize("table", ["| a table |", None])
@pytest.mark.parametrize("posted_before", [True, False])
def test_the_script_that_posts_the_table_works(workflow, tmp_path, table, posted_before):
    (tmp_path / "gh").write_text(
        f'#!/bin/sh\ncase "$*" in *--edit-last*) {"true" if posted_before else "exit 1"};; esac\n'
        'for last; do :; done\necho "$3" > asked; cp "$last" body\n'
    )
    (tmp_path / "gh").chmod(0o755)
    if table:
        (tmp_path / "artifact").mkdir()
        (tmp_path / "artifact/bench-check.md").write_text(table)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PULL_REQUEST": "12", "REPOSITORY": "o/r"}
    script = steps(workflow, "comment")[-1]["run"]
    subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "asked").read_text() == "12\n"
    assert (table or "its log says why") in (tmp_path / "body").read_text()
