"""Experiment files: which runs they plan, and what is said of mistakes in them."""

from __future__ import annotations

import re

import mocks
import pytest

from bench.config.experiment import read_experiment
from bench.config.plan import RunRequest, make_plan
from bench.errors import UsageError
from bench.execution.planning import plan_experiment

STUDY = """\
suite = "mock.toml"
tasks = ["ave", "avs"]
methods = ["lora"]
set.lora.r = 4
set.avs.epochs = 3

[variations.wide]
method = "cola"
tasks = ["avs"]
set.cola = {r = 32, targets = ["k"]}

[[stages]]
name = "main"

[[stages]]
name = "seeds"
methods = ["lora"]
seeds = [0, 1]

[[stages]]
name = "ablations"
tasks = ["ave"]
set.ave.epochs = 9

[stages.variations."one stream"]
method = "cola"
streams = ["vision"]
"""


@pytest.fixture
def experiment_of(mock_suite):
    """Return the experiment in a file beside the mock suite."""

    def read(text):
        path = mock_suite.parent / "study.toml"
        path.write_text(text)
        return read_experiment(path)

    return read


@pytest.fixture
def problems_of(experiment_of):
    """Return the mistakes of a file, each without the file's name, which all have to begin with."""

    def problems(text, **options):
        with pytest.raises(UsageError) as error:
            plan_experiment(experiment_of(text), **options)
        return [re.fullmatch(r"\S*study\.toml: (.*)", problem)[1] for problem in error.value.problems]

    return problems


def test_stages_are_planned_in_order_and_each_run_once(experiment_of):
    plan = plan_experiment(experiment_of(STUDY))
    assert [run.title for run in plan.runs] == [
        "main: ave lora seed 0",
        "main: avs lora seed 0",
        "main: avs wide seed 0",
        "seeds: ave lora seed 1",
        "seeds: avs lora seed 1",
        "ablations: ave one stream seed 0",
    ]
    assert [run.title for run in plan.repeated] == ["seeds: ave lora seed 0", "seeds: avs lora seed 0"]


def test_runs_are_those_of_the_options(experiment_of, mock_suite):
    suite = str(mock_suite)
    main = make_plan(RunRequest(suite, ["lora"], ["ave", "avs"], [0, 1], ["lora.r=4", "avs.epochs=3"]))
    wide = make_plan(RunRequest(suite, ["cola"], ["avs"], [0], ["cola.r=32", 'cola.targets=["k"]', "avs.epochs=3"]))
    one = make_plan(RunRequest(suite, ["cola"], ["ave"], [0], ["ave.epochs=9", "data.streams=vision"]))
    planned = {spec.id for spec in plan_experiment(experiment_of(STUDY)).specs}
    assert planned == {spec.id for spec in (*main, *wide, *one)}


def test_runs_of_a_stage_are_ordered_by_task_seed_and_label(experiment_of):
    text = STUDY.replace("[variations.wide]", "[variations.narrow]\nmethod = 'cola'\nset.cola.r = 1\n[variations.wide]")
    plan = plan_experiment(experiment_of(text.replace('name = "main"', 'name = "main"\nseeds = [3, 0]')), ["main"])
    assert [run.title.removeprefix("main: ") for run in plan.runs] == [
        *(f"ave {label} seed {seed}" for seed in (3, 0) for label in ("lora", "narrow")),
        *(f"avs {label} seed {seed}" for seed in (3, 0) for label in ("lora", "narrow", "wide")),
    ]


def test_worlds_of_a_file_a_stage_and_a_variation(experiment_of, mock_suite):
    """As seeds: those of a stage replace those of the file, and those of a variation restrict them."""
    text = STUDY.replace('tasks = ["ave", "avs"]', 'tasks = ["ave"]\nworlds = [7, 1]')
    text = text.replace('name = "main"', 'name = "main"\nworlds = [2, 7]')
    text = text.replace('streams = ["vision"]', "worlds = [1]").replace('tasks = ["avs"]\n', "")
    text = text.replace("set.avs.epochs = 3\n", "")
    plan = plan_experiment(experiment_of(text))
    assert [run.title for run in plan.runs] == [
        *(f"main: ave {label} world {world} seed 0" for world in (2, 7) for label in ("lora", "wide")),
        "seeds: ave lora world 7 seed 1",
        *(f"seeds: ave lora world 1 seed {seed}" for seed in (0, 1)),
        "ablations: ave one stream world 1 seed 0",
    ]
    without = plan_experiment(experiment_of(STUDY))
    (same,) = (run.spec.id for run in without.runs if run.title == "seeds: ave lora seed 1")
    assert same in {run.spec.id for run in plan.runs}, "the world 7 is the suite's"


def test_a_later_stage_alone_has_the_runs_that_an_earlier_one_shares_with_it(experiment_of):
    plan = plan_experiment(experiment_of(STUDY), ["seeds"])
    assert [run.spec.seed for run in plan.runs if run.spec.task == "ave"] == [0, 1]


def test_a_file_without_stages_is_a_single_one(experiment_of):
    plan = plan_experiment(experiment_of(STUDY.partition("[[stages]]")[0]))
    assert [run.title for run in plan.runs] == ["ave lora seed 0", "avs lora seed 0", "avs wide seed 0"]
    assert plan.runs[0].spec.settings["r"] == 4


def test_all_levels_of_set_are_merged_and_the_most_specific_counts(experiment_of):
    text = STUDY.replace("set.lora.r = 4", "set.cola = {r = 4, alpha = 2.5, summary = 'mean'}").replace(
        "set.ave.epochs = 9", "set.cola = {r = 5, alpha = 3.5}"
    )
    text = text.replace('streams = ["vision"]', "set.cola.r = 6")
    (run,) = plan_experiment(experiment_of(text), ["ablations"]).runs
    assert [run.spec.settings[name] for name in ("r", "alpha", "summary")] == [6, 3.5, "mean"]


def test_tuned_settings_are_found_beside_the_file_and_noted_for_their_runs(experiment_of, tmp_path, caplog):
    tuning = "trials = 2\nepochs = 1\nseeds = [9]\nset = []\ndate = 'today'\nversion = '0.1.0'\n"
    (tmp_path / "rates.toml").write_text(
        f"[tuning]\nsuite = 'mock'\n{tuning}[tasks.ave.methods.lora]\nlr_adapter = 0.25\n"
    )
    text = STUDY.replace('name = "main"', 'name = "main"\nsettings = "rates.toml"')
    plan = plan_experiment(experiment_of(text), ["main", "seeds"])
    rates = {(run.stage, run.spec.task, run.label): run.spec.recipe["lr_adapter"] for run in plan.runs}
    assert (
        rates["main", "ave", "lora"] == 0.25 and rates["seeds", "ave", "lora"] == rates["main", "avs", "lora"] == 1e-3
    )
    assert {run.stage for run in plan.runs if run.spec.id in plan.tuned} == {"main"}
    assert caplog.messages == [
        "rates.toml has no settings for lora on avs, cola on avs: run with the suite's own, beside tuned ones"
    ]


def test_rates_that_another_stage_waits_for_do_not_hold_a_stage_up(experiment_of, problems_of):
    text = STUDY.replace('name = "main"', 'name = "main"\nsettings = "rates.toml"')
    (problem,) = problems_of(text, stages=["main"])
    assert problem.endswith("rates.toml does not exist: `bench tune` writes one") and problems_of(text) == [problem]
    experiment = experiment_of(text)
    assert {stage.name for stage in experiment.stages for part in stage.parts if part.untuned} == {"main"}
    rest = [stage.name for stage in experiment.stages if stage.name != "main"]
    assert {run.stage for run in plan_experiment(experiment, rest).runs} == {*rest}


def test_every_mistake_is_reported_at_once_with_its_key(problems_of):
    text = STUDY.replace('suite = "mock.toml"', 'suit = "mock.toml"\nsuite = "mock.toml"\nsettings = "none.toml"')
    text = text.replace("set.lora.r = 4", "set.lora.rr = 4").replace('name = "seeds"', "seed = 1")
    text = text.replace('tasks = ["ave"]', 'tasks = ["ave"]\nmethods = ["wyde"]\nseeds = "many"\nbudget = "5x"')
    text = text.replace('streams = ["vision"]', 'streams = ["text"]\nset.colla.r = 2').replace('tasks = ["avs"]', "")
    problems = problems_of(text)
    for start in (
        "unknown key suit: did you mean suite?",
        "stages.2.name is missing",
        "unknown key stages.2.seed: did you mean seeds?",
        "stages.ablations.seeds must be a list, not 'many'",
        "stages.ablations.methods: unknown method wyde: ",
        "the settings file ",
        "set.lora.rr: unknown key lora.rr: did you mean r?",
        "stages.ablations.budget takes a percentage",
        "stages.ablations.variations.one stream.streams: ave has no stream text",
        "stages.ablations.variations.one stream.set.colla.r: unknown colla: did you mean cola?",
    ):
        assert sum(problem.startswith(start) for problem in problems) == 1, (start, problems)
    assert len(problems) == 10 and "or a variation: did you mean wide?" in "".join(problems)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('method = "cola"\ntasks', "tasks"), "variations.wide.method is missing"),
        (("[variations.wide]", "[variations.lora]"), "variations.lora: lora is the name of a method; choose another"),
        (('name = "seeds"', 'name = "main"'), "stages.main: another stage has the same name"),
        (('tasks = ["ave", "avs"]', ""), "stages.main.tasks missing or empty"),
        (
            ('tasks = ["avs"]', 'tasks = ["refcoco"]'),
            "variations.wide.tasks: the stage has none of these tasks: it has ave",
        ),
        (
            ('method = "cola"\ntasks', 'method = "colla"\ntasks'),
            "variations.wide.method: unknown method colla: did you mean",
        ),
        (
            ("set.lora.r = 4", "set.cola = {r = 1}\nset.refcoco.epochs = 2"),
            "set.refcoco.epochs: unknown",
        ),
        (("r = 32", "r = 1979-05-27"), "variations.wide.set.cola.r: cola.r must be a whole number"),
        (('tasks = ["ave", "avs"]', 'tasks = "ave"'), "tasks must be a list, not 'ave'"),
        (('name = "main"', 'name = "main"\nseeds = 3'), "stages.main.seeds must be a list, not 3"),
        (
            ('name = "main"', 'name = "main"\nworlds = [1]\nset.data.source = "official"'),
            "stages.main.worlds: worlds are seeds of generated or composed data, but data.source is official: leave it "
            "out",
        ),
        (
            ('name = "main"', 'name = "main"\nworlds = [1]\nset.data.seed = 3'),
            "stages.main.set.data.seed: stages.main.worlds chooses the values of data.seed; give only one of them",
        ),
        (
            ('streams = ["vision"]', "worlds = [3]"),
            "stages.ablations.variations.one stream.worlds: the stage has none of these worlds: it has only that of "
            "the suite",
        ),
        (
            ('method = "cola"\ntasks', 'method = "colla"\nbudget = "foo"\ntasks'),
            "variations.wide.budget takes a percentage",
        ),
        (("set.lora.r = 4", "set.lora.r = 0"), "stages.main: lora: r must be at least 1"),
        (("set.lora.r = 4", "set.lora = 4"), "set.lora must be a table, not 4"),
    ],
)
def test_a_mistake(problems_of, change, message):
    assert change[0] in STUDY
    problems = problems_of(STUDY.replace(*change))
    assert problems[0].startswith(message) or problems[-1].startswith(message), problems


def test_settings_of_a_method_that_no_run_of_a_table_has_are_refused(problems_of):
    (problem,) = problems_of(STUDY.replace("set.ave.epochs = 9", "set.lora.r = 9"))
    assert problem == "stages.ablations.set.lora.r: lora is not part of these runs"


SPLIT = """\
suite = "mock.toml"
methods = ["lora"]
set.audio.frames = 64
[[stages]]
name = "sound"
tasks = ["ave"]
[[stages]]
name = "silent"
tasks = ["avs"]
"""


@pytest.fixture
def silent_avs(mock_suite):
    """The mock suite, with a stream that only one of its tasks has."""
    head, table, rest = mocks.SUITE.partition("[tasks.avs]")
    mock_suite.write_text(head + table + rest.replace(', "audio"', ""))


@pytest.mark.usefixtures("silent_avs")
def test_a_setting_of_a_stream_that_only_some_stages_have_is_for_those(experiment_of):
    ave, avs = plan_experiment(experiment_of(SPLIT)).specs
    assert ave.streams["audio"]["frames"] == 64 and "audio" not in avs.streams


@pytest.mark.usefixtures("silent_avs")
def test_a_setting_of_a_stream_that_no_run_of_a_table_has_is_refused(problems_of):
    (problem,) = problems_of(SPLIT.replace('name = "silent"', 'name = "silent"\nset.audio.frames = 64'))
    assert problem == "stages.silent.set.audio.frames: no task of these runs has a stream audio; their streams: vision"


def test_an_unknown_stage_is_refused(experiment_of):
    with pytest.raises(UsageError, match=r"--stage mian: .*study.toml has no such stage: did you mean main\?"):
        plan_experiment(experiment_of(STUDY), ["mian"])


def test_a_file_that_does_not_exist_or_is_not_toml_is_refused(tmp_path):
    with pytest.raises(UsageError, match="there is no experiment file"):
        read_experiment(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("tasks = [")
    with pytest.raises(UsageError, match=r"broken\.toml is not a readable TOML file"):
        read_experiment(tmp_path / "broken.toml")


def test_an_encoder_in_the_folder_of_the_file_is_found_from_anywhere(experiment_of, tmp_path):
    (tmp_path / "encoder").mkdir()
    experiment = experiment_of(
        STUDY.replace("set.lora.r = 4", 'set.vision.model = "encoder"\nset.audio.model = "none"')
    )
    request = experiment.stages[0].parts[0].request
    assert request.overrides[:2] == [f'vision.model="{tmp_path / "encoder"}"', 'audio.model="none"']


SEARCHES = """
[[searches]]
settings = "tuned.toml"
methods = ["lora", "cola"]
seeds = [100]

[[searches]]
settings = "tuned-wide.toml"
methods = ["lora"]
tasks = ["avs"]
seeds = [100, 101]
trials = 3
epochs = 2
budget = "cola"
set.lora.alpha = 2
"""


def test_searches_have_the_tasks_and_changes_of_the_file_and_their_own(experiment_of, tmp_path):
    experiment = experiment_of(STUDY + SEARCHES)
    assert experiment.problems == ()
    usual, wide = experiment.searches
    assert (usual.request.methods, usual.request.tasks) == (["lora", "cola"], ("ave", "avs"))
    assert (usual.request.seeds, usual.trials, usual.epochs, usual.request.tuned) == ((100,), 10, None, None)
    assert usual.request.overrides == ["lora.r=4", "avs.epochs=3"], "a variation's are not a search's"
    assert (wide.request.methods, wide.request.tasks, wide.request.seeds) == (["lora"], ("avs",), (100, 101))
    assert (wide.trials, wide.epochs, wide.request.budget) == (3, 2, "cola")
    assert wide.request.overrides == ["lora.r=4", "avs.epochs=3", "lora.alpha=2"]
    assert wide.out == experiment.path.parent / "tuned-wide.toml"
    assert experiment.searches_of(experiment.selected(["ablations"])) == ()
    stage = experiment_of(STUDY.replace("seeds = [0, 1]", 'settings = "tuned-wide.toml"') + SEARCHES)
    assert stage.searches_of(stage.selected(["seeds"])) == (stage.searches[1],)
    assert stage.searches_of(stage.selected(["main"])) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seeds = [100]", ""), "searches.tuned.toml.seeds missing or empty"),
        (('methods = ["lora", "cola"]', ""), "searches.tuned.toml.methods missing or empty"),
        (('settings = "tuned.toml"', ""), "searches.1.settings missing or empty"),
        (('settings = "tuned.toml"', 'settings = "mini"'), "searches.mini.settings must name a .toml file, not mini"),
        (("trials = 3", "trials = 0"), "searches.tuned-wide.toml.trials must be at least 1, not 0"),
        (("trials = 3", "trails = 3"), "unknown key searches.tuned-wide.toml.trails: did you mean trials?"),
        (('["lora", "cola"]', '["lroa"]'), "searches.tuned.toml.methods: unknown method lroa: did you mean lora?"),
        (
            ('["lora", "cola"]', '["wide"]'),
            "searches.tuned.toml.methods: wide is a variation: a search takes its method, cola",
        ),
        (("tuned-wide.toml", "sub/../tuned.toml"), "searches.tuned.toml: several searches write this file"),
        (("[[searches]]", "[searches]", 1), "searches must be a list: write [[searches]]"),
    ],
)
def test_a_mistake_in_a_search(problems_of, change, message):
    text = SEARCHES.replace(*change)
    if "\n[searches]" in text:
        text = text[: text.rindex("[[searches]]")]
    problems = problems_of(STUDY + text)
    assert [problem for problem in problems if message in problem], problems
