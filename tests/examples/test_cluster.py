"""The scripts for clusters parse, and start existing commands with existing options."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from bench import cli
from bench.cli.executor_arguments import executor_of

FOLDER = Path(__file__).parents[2] / "examples" / "cluster"


@pytest.fixture
def started(tmp_path):
    """Run the Slurm script with mock commands, and return those that it starts, with their arguments."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text("")
    for name in ("srun", "ray", "python", "sleep"):
        (commands / name).write_text(f'#!/bin/bash\necho {name} "$@" >> {tmp_path}/told\n')
    (commands / "scontrol").write_text("#!/bin/bash\nprintf 'node1\\nnode2\\n'\n")
    for path in commands.iterdir():
        path.chmod(0o755)
    slurm = {"JOB_ID": "123", "JOB_NODELIST": "node[1-2]", "NNODES": "2", "CPUS_PER_TASK": "32", "GPUS_PER_TASK": "4"}
    environment = {f"SLURM_{name}": value for name, value in slurm.items()} | {
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "PATH": f"{commands}:/usr/bin:/bin",
        "HOME": str(tmp_path),
    }
    subprocess.run(["bash", FOLDER / "slurm.sh"], env=environment, check=True, timeout=20)
    end = time.monotonic() + 10
    while (tmp_path / "told").read_text().count("srun ") < 2:  # they are in the background
        assert time.monotonic() < end
        time.sleep(0.02)
    return (tmp_path / "told").read_text().splitlines()


def test_the_slurm_script_starts_a_cluster_and_a_sweep_on_it(started):
    assert "ray get-auth-token --generate" in started
    head, worker = (next(line for line in started if word in line) for word in ("--head", "--address"))
    assert "--nodelist=node1 ray start --head --port=20123" in head and "--num-cpus 32 --num-gpus 4 --block" in head
    assert "--nodes=1 --ntasks=1 --exclude=node1 ray start --address=node1:20123" in worker
    (command,) = (line for line in started if line.startswith("python "))
    _check(command)


def test_the_ray_file_is_one_and_its_command_is_there():
    text = (FOLDER / "ray-cluster.yaml").read_text()
    config = yaml.safe_load(text)
    workers = config["provider"]["worker_ips"]
    assert config["min_workers"] == config["max_workers"] == len(workers)
    comments = re.sub(r"\\?\n#\s*", " ", text)
    _check(re.search(r"(python -m bench .*?)\"", comments)[1])
    util = pytest.importorskip("ray.autoscaler._private.util", reason='pip install "ray[client]"')
    util.validate_config(util.prepare_config(config))


def _check(command: str) -> None:
    """Check that a command is one of `bench`, and uses a Ray cluster."""
    python, dash_m, bench, *arguments = shlex.split(command)
    assert (python, dash_m, bench) == ("python", "-m", "bench")
    assert executor_of(cli._parser("run").parse_args(arguments))
