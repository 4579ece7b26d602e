"""What runs take of a Ray cluster, and commands that ask for none, without one."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench import cli
from bench.config.plan import RunRequest, make_plan
from bench.config.run_options import RunOptions
from bench.errors import UsageError
from bench.execution import ray_resources, ray_runs
from bench.execution.ray_resources import Cluster


def node(alive: bool = True, **resources: float) -> dict[str, object]:
    return {"Alive": alive, "Resources": resources}


CPUS, GPUS = node(CPU=8.0, memory=32e9), node(CPU=16.0, GPU=4.0, memory=64e9)


@pytest.mark.parametrize(
    ("nodes", "device", "cluster", "need", "places"),
    [
        ([CPUS], "auto", Cluster(), {"CPU": 1}, [8]),
        ([CPUS, GPUS], "auto", Cluster(), {"CPU": 1, "GPU": 1}, [0, 4]),
        ([CPUS, GPUS], "cpu", Cluster(cpus=3), {"CPU": 3}, [2, 5]),
        ([node(False, CPU=1.0, GPU=1.0), CPUS], "auto", Cluster(), {"CPU": 1}, [0, 8]),
        ([CPUS], "cuda", Cluster(), {"CPU": 1, "GPU": 1}, [0]),
        ([GPUS], "auto", Cluster(gpus=0.1, cpus=1), {"CPU": 1, "GPU": 0.1}, [16]),
        ([GPUS], "auto", Cluster(gpus=0, memory=int(10e9)), {"CPU": 1, "memory": 10e9}, [6]),
    ],
)
def test_resources_of_a_run_and_places_of_a_node(nodes, device, cluster, need, places):
    resources = ray_resources.resources_of(cluster, RunOptions(device=device), [], nodes)
    assert resources == need
    assert [ray_resources.places(host, resources) for host in nodes] == places


def test_memory_is_the_limit_or_the_profiled_memory(mock_suite, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_resources, "profiled_memory", lambda specs, results: 3)
    limited = RunOptions(results=tmp_path, device="cpu", memory_limit=2)
    assert ray_resources.resources_of(Cluster(memory=1), limited, [], [CPUS])["memory"] == 1
    assert ray_resources.resources_of(Cluster(), limited, [], [CPUS])["memory"] == 2
    assert ray_resources.resources_of(Cluster(), RunOptions(results=tmp_path), [], [CPUS])["memory"] == 3
    assert "memory" not in ray_resources.resources_of(Cluster(), RunOptions(results=tmp_path), [], [GPUS]), (
        "not the GPU's"
    )


def test_a_run_on_cuda_needs_a_gpu():
    with pytest.raises(UsageError, match="--gpus-per-run 0"):
        ray_resources.resources_of(Cluster(gpus=0), RunOptions(device="cuda"), [], [GPUS])


def test_a_small_local_cluster_is_an_error_and_a_remote_one_a_warning(caplog):
    with pytest.raises(UsageError, match=r"does not have the resources of a run \(CPU 9\)"):
        ray_resources.check_places({"CPU": 9}, Cluster("local"), [CPUS])
    ray_resources.check_places({"CPU": 9}, Cluster("auto"), [CPUS])
    assert "waiting for one that does" in caplog.text


def test_nothing_is_connected_where_there_is_nothing_to_do(mock_suite, monkeypatch):
    monkeypatch.setattr(ray_resources, "find_spec", lambda name: None)
    assert list(ray_runs.run_all(lambda: None, RunOptions(), Cluster(), [])) == []
    plan = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"]))
    with pytest.raises(UsageError, match=r'pip install "ray\[client\]'):
        next(ray_runs.run_all(iter(plan).__next__, RunOptions(), Cluster(), plan))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--address local --cpus-per-run 2", "--address, --cpus-per-run: only with --executor ray"),
        ("--executor ray --jobs 2", "--jobs: only with --executor local"),
        (
            "--executor ray --gpus-per-run 1.5",
            "--gpus-per-run must be a whole number or a part of 1, as in 0.5, not 1.5",
        ),
        ("--executor ray --cpus-per-run 0", "--cpus-per-run must be a whole number of at least 1, not 0"),
        ("--executor ray --memory-per-run 8", "--memory-per-run must be a size, as in 500MB, 8GB or 8GiB, not 8"),
        ("--executor ray", 'Ray is not installed: pip install "ray[client]'),
    ],
)
def test_mistakes_in_a_command_are_reported_before_anything_runs(
    options, message, mock_suite, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(ray_resources, "find_spec", lambda name: None)
    arguments = [
        "run",
        "--methods",
        "lora",
        "--tasks",
        "ave",
        "--suite",
        str(mock_suite),
        "--results",
        str(tmp_path / "out"),
    ]
    assert cli.main([*arguments, *options.split()]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_profiled_memory_is_that_of_the_largest_run_on_a_cpu(mock_suite, tmp_path, monkeypatch):
    def measured(spec, device, step):
        memory = SimpleNamespace(resident=100, step=step)
        environment = SimpleNamespace(device=device)
        return SimpleNamespace(spec=spec, environment=environment, memory=memory, batch_size=2)

    lora, cola = make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave"], [3]))
    avs_spec = make_plan(RunRequest(str(mock_suite), ["lora"], ["avs"]))[0]
    measurements = [
        measured(lora, "cpu", 10),
        measured(cola, "cpu", 30),
        measured(lora, "H100", 99),
        measured(avs_spec, "cpu", 99),
    ]
    monkeypatch.setattr("bench.profiling.record.read_all", lambda results: measurements)
    assert lora.recipe["batch_size"] == 8
    bytes_of_process = int(ray_resources._PROCESS_MEMORY)
    assert ray_resources.profiled_memory([replace(lora, seed=7)], tmp_path) == bytes_of_process + 100 + 10 * 8 // 2
    assert ray_resources.profiled_memory([lora, cola], tmp_path) == bytes_of_process + 100 + 30 * 8 // 2
    assert ray_resources.profiled_memory([replace(avs_spec, task="ave")], tmp_path) is None
