from __future__ import annotations

import dataclasses
import json

import mocks
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.config.plan import RunRequest, make_plan
from bench.config.spec import Spec
from bench.errors import UsageError

VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
TABLES = st.dictionaries(st.text(), VALUES | st.lists(VALUES), max_size=5)
SPECS = st.builds(
    Spec,
    suite=st.text(),
    task=st.text(),
    method=st.text(),
    seed=st.integers(0, 2**32 - 1),
    settings=TABLES,
    task_settings=TABLES,
    recipe=TABLES,
    streams=st.dictionaries(st.text(), TABLES, max_size=3),
    data=TABLES,
)


def reverse_keys(value):
    if isinstance(value, dict):
        return {key: reverse_keys(item) for key, item in reversed(value.items())}
    return value


@given(SPECS)
def test_id_does_not_depend_on_the_order_of_keys_and_survives_json(spec):
    as_dict = dataclasses.asdict(spec)
    assert Spec(**reverse_keys(as_dict)).id == spec.id
    assert Spec(**json.loads(json.dumps(as_dict))).id == spec.id
    assert len(spec.id) == 12
    int(spec.id, 16)


@given(SPECS, st.sampled_from(["settings", "task_settings", "recipe", "streams", "data"]), st.text(), VALUES)
def test_id_changes_with_every_change(spec, part, key, value):
    before = getattr(spec, part)
    after = {**before, key: value}
    changed = dataclasses.replace(spec, **{part: after})
    assert (changed.id == spec.id) == (json.dumps(after, sort_keys=True) == json.dumps(before, sort_keys=True))
    assert dataclasses.replace(spec, seed=spec.seed + 1).id != spec.id


def test_ids_never_change():
    spec = Spec("mini", "ave", "lora", 0, {"r": 16}, {}, {"epochs": 1}, {"vision": {"model": "x"}}, {"source": "y"})
    assert spec.id == "aa69502a2614"
    assert spec.label == "ave lora seed 0"


def test_runs_are_ordered_by_task_seed_method(mock_suite):
    plan = make_plan(RunRequest(str(mock_suite), ["lora", "cola", "lora"], ["avs", "ave"], ["1", "0", 1]))
    assert [spec.label for spec in plan] == [
        f"{task} {method} seed {seed}" for task in ("avs", "ave") for seed in (1, 0) for method in ("lora", "cola")
    ]
    assert len({spec.id for spec in plan}) == len(plan)


def test_worlds_vary_the_seed_of_the_data_and_nothing_else(mock_suite):
    """The suite's world is 7."""
    usual = make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave"], [0, 1]))
    plan = make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave"], [0, 1], worlds=["7", "2", 7]))
    assert [spec.id for spec in plan[:4]] == [spec.id for spec in usual]
    assert [spec.label for spec in plan[4:]] == [spec.label for spec in usual]
    assert [spec.data for spec in plan[4:]] == [{"source": "generated", "version": 3, "seed": 2}] * 4
    assert all(
        dataclasses.replace(spec, data=usual[0].data).id == same.id for spec, same in zip(plan[4:], usual, strict=True)
    )


@pytest.mark.parametrize(
    ("worlds", "override", "message"),
    [
        (
            [0],
            "data.source=official",
            "--worlds: worlds are seeds of generated or composed data, but data.source is off",
        ),
        (
            [0],
            "data.source=own",
            "--worlds: worlds are seeds of generated or composed data, but data.source is own: le",
        ),
        ([0, 1], "data.seed=1", "--set data.seed=1: --worlds chooses the values of data.seed; give only one of them"),
        ([0, -1], "cola.r=8", f"a world must be a whole number from 0 to {2**32 - 1}, not -1"),
    ],
)
def test_worlds_that_the_data_has_not_are_refused_once(mock_suite, worlds, override, message):
    with pytest.raises(UsageError) as raised:
        make_plan(RunRequest(str(mock_suite), ["cola"], ["ave", "avs"], [0], [override], worlds=worlds))
    (problem,) = raised.value.problems
    assert problem.startswith(message)


def test_a_spec_contains_everything_that_affects_a_measurement(mock_suite):
    ave, avs = make_plan(RunRequest(str(mock_suite), ["cola"], ["ave", "avs"], ["0"]))
    cola = {"r": 16, "alpha": 8.0, "summary": "cls", "targets": ["q", "v"]}
    assert ave.settings == {**cola, "inter_scale": 0.1}
    assert avs.settings == {**cola, "inter_scale": None}
    assert avs.task_settings == {"window_s": 2.0}
    assert (ave.recipe["epochs"], avs.recipe["epochs"]) == (4, 6)
    assert ave.streams == {"vision": {"model": "embedded:vision-v2"}, "audio": {"model": "embedded:audio-v1"}}
    assert ave.data == {"source": "generated", "version": 3, "seed": 7}


def test_set_overrides_the_suite_and_a_task_overrides_all_tasks(mock_suite):
    overrides = ["train.epochs=1", "avs.epochs = 2", "avs.window_s=3", "cola.r=8", "cola.inter_scale=none"]
    overrides += ["cola.targets=q,k,v", "cola.summary=mean", "data.source=official"]
    ave, avs = make_plan(RunRequest(str(mock_suite), ["cola"], ["ave", "avs"], ["0"], overrides))
    assert (ave.recipe["epochs"], avs.recipe["epochs"]) == (1, 2)
    assert avs.task_settings == {"window_s": 3.0}
    assert ave.settings == {"r": 8, "alpha": 8.0, "inter_scale": None, "summary": "mean", "targets": ["q", "k", "v"]}
    assert ave.data == {"source": "official"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "cola.rr=8",
            "--set cola.rr=8: unknown key cola.rr: did you mean r? known: alpha, head_factor, inter_scale, "
            "lr_adapter, lr_head, r, ",
        ),
        ("cola.r=eight", "--set cola.r=eight: cola.r must be a whole number, not 'eight'"),
        ("cola.r=0", "cola: r must be at least 1, not 0"),
        ("ave.hiden=3", "unknown key ave.hiden: did you mean hidden?"),
        ("ave.epochs=0", "ave: epochs must be above 0"),
        ("train.epoch=1", "unknown key train.epoch: did you mean epochs?"),
        (
            "data.source=web",
            "--set data.source=web: data.source must be one of generated, composed, official, own, not 'web'",
        ),
        ("lora.r=8", "--set lora.r=8: lora is not part of this command"),
        ("avs.epochs=8", "--set avs.epochs=8: avs is not part of this command"),
        (
            "tarin.epochs=8",
            "--set tarin.epochs=8: unknown tarin: did you mean train? known: audio, ave, cola, data, train, vision",
        ),
        ("cola", "--set cola: write <owner>.<key>=<value>"),
        ("r=8", "--set r=8: write <owner>.<key>=<value>"),
    ],
)
def test_wrong_overrides(mock_suite, override, message):
    with pytest.raises(UsageError) as raised:
        make_plan(RunRequest(str(mock_suite), ["cola"], ["ave"], ["0"], [override]))
    assert len(raised.value.problems) == 1
    assert message in raised.value.problems[0]


def test_a_setting_of_a_stream_that_no_task_has_is_refused():
    with pytest.raises(UsageError) as raised:
        make_plan(RunRequest("mini", ["lora"], ["refcoco"], overrides=["audio.size=3"]))
    assert raised.value.problems == [
        "--set audio.size=3: no task of this command has a stream audio; their streams: vision, text"
    ]
    make_plan(RunRequest("mini", ["lora"], ["refcoco", "ave"], overrides=["audio.frames=64"]))


@pytest.mark.parametrize(("suite", "task"), [("mimi", "ave"), ("mini", "avee")])
def test_settings_of_streams_are_no_mistake_where_the_streams_are_unknown(suite, task):
    with pytest.raises(UsageError) as raised:
        make_plan(RunRequest(suite, ["lora"], [task], overrides=["audio.size=3"]))
    (problem,) = raised.value.problems
    assert problem.startswith("unknown")


def test_all_mistakes_of_a_command_are_reported_together(mock_suite):
    overrides = ["loraa.r=4", "cola.r=-1", "ave.epochs=two", "data.sede=1"]
    with pytest.raises(UsageError) as raised:
        make_plan(
            RunRequest(str(mock_suite), ["loraa", "cola"], ["ave", "avz"], ["0", "-1", "x", str(2**32)], overrides)
        )
    problems = raised.value.problems
    assert len(problems) == 8
    beginnings = ["unknown method loraa", "unknown task avz", "a seed must be", "a seed must be", "a seed must be"]
    beginnings += ["--set ave.epochs", "--set data.sede=1", "cola: r must be"]
    assert [problem[: len(beginning)] for problem, beginning in zip(problems, beginnings, strict=True)] == beginnings


def test_a_range_of_seeds_and_worlds_has_both_ends(mock_suite):
    plan = make_plan(RunRequest(str(mock_suite), ["cola"], ["ave"], ["0-2", "2", 7], worlds=["3-4"]))
    assert [(spec.data["seed"], spec.seed) for spec in plan] == [
        (world, seed) for world in (3, 4) for seed in (0, 1, 2, 7)
    ]
    assert len(make_plan(RunRequest(str(mock_suite), ["cola"], ["ave"], ["1-1000"]))) == 1000


@pytest.mark.parametrize("seed", ["2-0", "0-1000", "0-4294967295", f"0-{2**32}", "0:2", "0..2", "0-", "0-1-2", "-3--1"])
def test_a_range_that_is_none_is_refused_with_how_to_write_one(mock_suite, seed):
    with pytest.raises(UsageError) as raised:
        make_plan(RunRequest(str(mock_suite), ["cola"], ["ave"], [seed], worlds=[seed]))
    several = f"not {seed}; several are written as 0,1,2 or 0 1 2, or as a range of up to 1,000, as in 0-2"
    assert [problem.endswith(several) for problem in raised.value.problems] == [True, True]


def test_an_unknown_suite_does_not_hide_other_mistakes(mock_registry):
    with pytest.raises(UsageError) as raised:
        make_plan(RunRequest("mimi", ["loraa"], [], ["0"]))
    message = str(raised.value)
    assert "unknown suite mimi" in message
    assert "did you mean lora?" in message
    assert "no tasks given: choose from ave, avs" in message


def test_a_task_that_the_suite_lacks(mock_suite):
    mock_suite.write_text(mocks.SUITE.partition("[tasks.avs]")[0])
    with pytest.raises(UsageError, match="suite mock has no task avs; it has ave"):
        make_plan(RunRequest(str(mock_suite), ["lora"], ["avs"], ["0"]))


OWN_RATE = """
[methods.cola]
lr_adapter = 1e-4

[tasks.avs.methods."c*"]
lr_adapter = 1e-5
"""


@pytest.mark.parametrize(
    ("overrides", "ave", "avs"),
    [
        ([], 1e-4, 1e-5),
        (["train.lr_adapter=0.5"], 0.5, 0.5),
        (["train.lr_adapter=0.5", "avs.lr_adapter=0.25"], 0.5, 0.25),
        (["train.lr_adapter=0.5", "avs.lr_adapter=0.25", "cola.lr_adapter=0.125"], 0.125, 0.125),
        (["cola.lr_adapter=1"], 1.0, 1.0),
    ],
)
def test_a_method_may_have_a_learning_rate_of_its_own(mock_suite, overrides, ave, avs):
    """Before the suite's rate its own counts, before both the command line's."""
    mock_suite.write_text(mocks.SUITE + OWN_RATE)
    plan = make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave", "avs"], [0], overrides))
    rates = {(spec.method, spec.task): spec.recipe["lr_adapter"] for spec in plan}
    assert (rates["cola", "ave"], rates["cola", "avs"]) == (ave, avs)
    common = next((float(o.partition("=")[2]) for o in overrides if o.startswith("train")), 1e-3)
    assert rates["lora", "ave"] == common
    lora, cola = plan[:2]
    assert {k: v for k, v in lora.recipe.items() if k != "lr_adapter"} == {
        k: v for k, v in cola.recipe.items() if k != "lr_adapter"
    }
    assert "lr_adapter" not in cola.settings


def test_a_head_may_be_trained_longer_than_others_alone_are(mock_suite):
    """What one method has for itself leaves the runs of the others what they were."""
    plain = make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave", "avs"]))
    mock_suite.write_text(mocks.SUITE + '\n[tasks.ave.methods."c*"]\nhead_factor = 8\n')
    plan = make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave", "avs"]))
    assert [spec.id == before.id for spec, before in zip(plan, plain, strict=True)] == [True, False, True, True]
    assert [spec.method_settings["head_factor"] for spec in plan] == [1, 8, 1, 1]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("cola.lr_adapter=fast", "--set cola.lr_adapter=fast: cola.lr_adapter must be a finite number, not 'fast'"),
        ("cola.lr_adapter=0", "lr_adapter must be above 0, not 0"),
        ("cola.clip=1", "--set cola.clip=1: unknown key cola.clip"),
        ("cola.epochs=1", "--set cola.epochs=1: unknown key cola.epochs"),
    ],
)
def test_methods_share_the_rest_of_the_recipe(mock_suite, override, message):
    with pytest.raises(UsageError) as raised:
        make_plan(RunRequest(str(mock_suite), ["cola"], ["ave"], [0], [override]))
    (problem,) = raised.value.problems
    assert message in problem


def test_settings_of_family_members_are_reported_by_their_full_names():
    overrides = ["peft:vera.r=8", "cola+peft:ia3.inter_r=2", "cola+peft:ia3.lr_adapter=0.5"]
    vera, ia3 = make_plan(RunRequest("mini", ["peft:vera", "cola+peft:ia3"], ["ave"], [0], overrides))
    assert vera.settings["r"] == 8
    assert (ia3.settings["inter_r"], ia3.recipe["lr_adapter"]) == (2, 0.5)
    with pytest.raises(UsageError, match=r"unknown key peft:vera\.rr: did you mean r"):
        make_plan(RunRequest("mini", ["peft:vera"], ["ave"], [0], ["peft:vera.rr=8"]))


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (
            "vision>audi",
            "cola on ave: paths: vision>audi: this task has no stream audi: did you mean audio? known: audio, vision",
        ),
        ("audio>audio", "cola on ave: paths: audio>audio connects a stream with itself, not two of vision, audio"),
        ("vision-audio", "cola: paths: write source>target, as in vision>audio, not vision-audio"),
    ],
)
def test_paths_between_streams_that_the_task_has_not_are_reported_before_anything_is_loaded(paths, message):
    for task in ("ave", "avs"):
        assert make_plan(RunRequest("mini", ["cola"], [task], [0], ["cola.paths=vision>audio"]))[0].settings[
            "paths"
        ] == ["vision>audio"]
    with pytest.raises(UsageError) as raised:
        make_plan(RunRequest("mini", ["cola"], ["ave"], [0], [f"cola.paths={paths}"]))
    assert raised.value.problems == [message]


def test_streams_that_one_of_several_tasks_has_not_are_told_with_that_task():
    with pytest.raises(UsageError) as raised:
        make_plan(RunRequest("mini", ["cola"], ["ave", "refcoco"], [0], ["cola.paths=vision>audio"]))
    (problem,) = raised.value.problems
    assert problem.startswith("cola on refcoco: paths: vision>audio: this task has no stream audio: known: ")


@pytest.mark.parametrize(
    ("overrides", "ranks"),
    [
        (["lora.r.vision=8"], {"default": 4, "vision": 8}),
        (["lora.r=6", "lora.r.vision=8", "lora.r.audio.q=2"], {"default": 6, "vision": 8, "audio": {"q": 2}}),
        (["lora.r.vision.q=2", "lora.r.vision.0=3"], {"default": 4, "vision": {"q": 2, "0": 3}}),
        (["lora.r={vision=8}"], {"vision": 8}),
        (["lora.r={vision=8}", "lora.r.vision.q=2"], {"vision": {"default": 8, "q": 2}}),
        (["lora.r.vision=8", "lora.r=4"], 4),
    ],
)
def test_a_key_of_a_table_leaves_its_other_keys(overrides, ranks):
    (spec,) = make_plan(RunRequest("mini", ["lora"], ["ave"], [0], overrides))
    assert spec.settings["r"] == ranks
    assert Spec(**json.loads(json.dumps(dataclasses.asdict(spec)))).id == spec.id


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lora.r.vision=many", r"--set lora.r.vision=many: lora.r.vision must be a whole number or a table"),
        ("lora.r.visoin=8", "lora on ave: r: unknown key visoin: did you mean vision?"),
        ("lora.alpha.vision=8", "--set lora.alpha.vision=8: lora.alpha must be a finite number"),
        ("lora.rr.vision=8", "unknown key lora.rr.vision: did you mean r?"),
        ("loar.r.vision=8", "unknown loar: did you mean lora?"),
        ("lora.streams=video", "lora on ave: streams: unknown stream video: known: audio, vision"),
        ("lora.linears=atention", "lora on ave: linears: unknown atention: did you mean attention?"),
        ("lora.blocks=middle", "lora.blocks must be one of all, first, last or a list, each a whole number"),
    ],
)
def test_wrong_choices_of_linears_and_ranks(override, message):
    with pytest.raises(UsageError) as raised:
        make_plan(RunRequest("mini", ["lora"], ["ave"], [0], [override]))
    assert len(raised.value.problems) == 1
    assert message in raised.value.problems[0]


def test_choices_of_linears_are_left_out_of_ids_by_default():
    (plain,) = make_plan(RunRequest("mini", ["lora"], ["ave"]))
    (chosen,) = make_plan(
        RunRequest("mini", ["lora"], ["ave"], [0], ["lora.streams=vision", "lora.linears=q,v", "lora.blocks=3"])
    )
    assert plain.settings.keys() == {"r", "alpha", "dropout"}
    assert chosen.settings == {**plain.settings, "streams": ["vision"], "linears": ["q", "v"], "blocks": [3]}
    (all_linears,) = make_plan(RunRequest("mini", ["lora"], ["ave"], [0], ["lora.linears=all", "lora.streams=[]"]))
    assert all_linears.id == plain.id


def test_naming_all_streams_is_an_ordinary_run():
    def planned(*changes):
        return make_plan(RunRequest("mini", ["cola"], ["refavs"], [0], changes))[0]

    assert planned('data.streams=["text","audio","vision"]') == planned()
    one = planned('data.streams=["text","vision"]')
    assert one.data["streams"] == ["vision", "text"], "in the order of the task"
    assert planned('data.streams=["vision","text","text"]').id == one.id != planned().id


def test_a_path_that_is_named_twice_is_one_path():
    once, twice = (
        make_plan(RunRequest("mini", ["cola"], ["ave"], [0], [f"cola.paths={paths}"]))[0]
        for paths in ("audio>vision", "audio>vision,audio>vision")
    )
    assert once == twice
