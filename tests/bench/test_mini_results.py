"""The scripts beside the published results of mini: what they plan, and what the audit makes of records."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from statistics import stdev

import mocks
import pytest
import result_scripts
from result_scripts import plan

from bench.config.experiment import read_experiment
from bench.config.tuned_settings import read_tuned
from bench.records import store
from bench.report.finding.comparisons import ALL
from bench.report.leaderboard import leaderboard
from bench.report.standings import compute_standings
from bench.report.stats import smallest_gain

FOLDER = Path(__file__).parents[2] / "results" / "mini"
WITH_LEADERBOARD = sorted(path.parent for path in FOLDER.parent.glob("*/leaderboard.md"))


@pytest.fixture(scope="module")
def scripts():
    with result_scripts.scripts("mini", ["audit", "study"]) as modules:
        yield modules


def specs(stage, labels=None, tasks=None):
    """Specifications of a stage of experiment.toml; of these labels and tasks only."""
    return result_scripts.specs(plan("mini"), stage, labels, tasks)


def measured_of(scores):
    """Records that are made up of pairs of a run and its score."""
    return result_scripts.measured(plan("mini"), scores)


def test_the_experiment_plans_exactly_the_committed_runs(scripts):
    planned = {spec.id: spec for stage in plan("mini") for spec in specs(stage)}
    recorded = {record.id: record.spec for record in store.read_all(FOLDER)}
    assert planned == recorded and len(planned) == 625


def test_the_stages_contain_what_the_leaderboard_shows(scripts):
    _, study = scripts
    planned = {stage: specs(stage) for stage in plan("mini")}
    main = {(spec.method, spec.task) for spec in planned["main"]}
    methods = {*study.TEN_SEED_METHODS, *study.FIVE_SEED_METHODS}
    assert main == {(method, task) for method in methods for task in study.TASKS}
    ids = {spec.id for spec in planned["main"]}
    assert len(ids) == len(planned["main"]) == 5 * len(main)
    assert sum(spec.id in ids for spec in planned["more-seeds"]) == 4 * 5 * 5, "the first five seeds are the same runs"
    for stage in ("controls", "longer", "ablations", "together"):
        assert planned[stage] and not ids & {spec.id for spec in planned[stage]}
    joint = {(spec.method, spec.seed) for stage in ("together", "together-more-seeds") for spec in planned[stage]}
    assert len(joint) == 4 * 10 + 4 * 5
    assert all(spec.settings["r"] > 4 for spec in planned["together-budget"] if spec.method == "lora")
    assert all(spec.data["streams"] for spec in planned["controls"])
    assert {spec.recipe["epochs"] for spec in planned["longer"] if spec.task == "avs"} == {
        2 * next(spec.recipe["epochs"] for spec in planned["main"] if spec.task == "avs")
    }


def test_runs_have_the_rates_of_a_search_at_their_size():
    stages = ("main", "budget", "more-seeds", "together", "together-budget", "together-more-seeds")
    result_scripts.check_searches("mini", stages)


@pytest.mark.parametrize("name", ["tuned", "tuned-cola-size", "tuned-together", "tuned-together-cola-size"])
def test_the_searches_of_the_experiment_are_those_that_found_the_rates(name, scripts):
    _, study = scripts
    (search,) = (item for item in read_experiment(study.EXPERIMENT).searches if item.out.stem == name)
    tuning = read_tuned(search.out).tuning
    assert (tuning.suite, tuning.trials, tuning.seeds) == (search.request.suite, search.trials, search.request.seeds)
    assert (tuning.budget, tuning.set) == (search.request.budget or "none", tuple(search.request.overrides))


def test_a_rerun_reports_scores_that_differ_from_the_record(scripts, monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(FOLDER))
    import rerun

    first = mocks.record(specs("main")[0])
    store.write(first, tmp_path)
    monkeypatch.setattr(rerun, "specification", lambda record, folder: record.spec)
    monkeypatch.setattr(rerun, "execute_run", lambda spec, options, threads: first)
    assert rerun.main(tmp_path, count=3, seed=0) == 0
    assert f"({first.id}): the recorded scores" in capsys.readouterr().out
    scores = {name: score + 1e-9 for name, score in first.scores.test.items()}
    changed = replace(first, scores=replace(first.scores, test=scores))
    monkeypatch.setattr(rerun, "execute_run", lambda spec, options, threads: changed)
    assert rerun.main(tmp_path, count=3, seed=0) == 1
    assert f"test {first.scores.metric}" in capsys.readouterr().out
    curve = [replace(epoch, train_loss=9.0) for epoch in first.scores.validation]
    assert rerun.differences(first, replace(first, scores=replace(first.scores, validation=curve)))
    assert rerun.main(tmp_path / "none", count=3, seed=0) == 1, "nothing was shown"


def measured(method_scores, one=30.0):
    """Made-up records of AVE: what each method scores, give or take a tenth from seed to seed."""
    return measured_of(
        (spec, (one if spec.data.get("streams") else method_scores.get(spec.method, 60.0)) + 0.1 * (spec.seed % 5))
        for stage in ("main", "more-seeds", "controls")
        for spec in specs(stage, tasks=["ave"])
    )


def verdict_on(lines, *words):
    verdicts = [holds for holds, text in lines if text.startswith("ave") and all(word in text for word in words)]
    assert len(verdicts) == 1, words
    return verdicts[0]


def test_the_audit_tells_what_holds_and_what_does_not(scripts):
    audit, _ = scripts
    good = measured({"head": 50.0, "lora": 60.0, "full": 65.0})
    lines = list(audit.order(good, audit.TASKS, audit.FIVE, "one-modality oracle"))
    assert verdict_on(lines, "constant answer", "< head") and verdict_on(lines, "head < LoRA")
    assert verdict_on(lines, "one-modality oracle") and verdict_on(lines, "the best, full")
    assert [holds for holds, text in lines if text.startswith("avs")] == [None], "no records"
    assert verdict_on(audit.modalities(good, 5), "vision only") and verdict_on(audit.modalities(good, 5), "audio only")
    assert verdict_on(audit.times(good), "a run takes")
    assert verdict_on(audit.settled(good), "cola-dora gains")

    bad = measured({"head": 60.5, "lora": 60.0, "full": 99.0}, one=60.0)
    lines = list(audit.order(bad, audit.TASKS, audit.FIVE, "one-modality oracle"))
    assert verdict_on(lines, "head < LoRA") is False and verdict_on(lines, "the best, full") is False
    assert verdict_on(audit.modalities(bad, 5), "vision only") is False
    slow = next(iter(bad.records.values()))
    bad.records[slow.id] = replace(slow, times=replace(slow.times, total=1e4))
    assert verdict_on(audit.times(bad), "a run takes") is False
    for key, record in bad.records.items():
        if record.spec.method == "cola-dora":
            (only,) = record.scores.validation
            rising = [replace(only, epoch=1 + n, scores={record.scores.metric: 60.0 + 2 * n}) for n in range(10)]
            bad.records[key] = replace(record, scores=replace(record.scores, validation=rising))
    assert verdict_on(audit.settled(bad), "cola-dora gains") is False and verdict_on(
        audit.settled(bad), "cola-adalora gains"
    )


@pytest.mark.parametrize(
    ("head", "lora", "cola", "little", "same"),
    [(0.5, 1.0, -1.0, True, True), (0.5, 1.0, 2.5, False, True), (0.0, 1.9, -4.0, True, False)],
)
def test_the_audit_tells_what_twice_the_epochs_change(scripts, head, lora, cola, little, same):
    audit, _ = scripts
    usual = {"head": 50.0, "lora": 60.0, "cola": 65.0}
    gain = {"head": head, "lora": lora, "cola": cola}
    assert verdict_on(audit.settled(measured_of([])), "twice") is None, "not measured"
    of = [
        (spec, usual[spec.method] + gain[spec.method] * (stage == "longer") + 0.1 * spec.seed)
        for stage in ("main", "longer")
        for spec in specs(stage, usual, ["ave"])
    ]
    lines = list(audit.settled(measured_of(of)))
    assert verdict_on(lines, "twice the epochs add") is little
    assert verdict_on(lines, "twice the epochs reverse") is same


@pytest.fixture
def comparisons(scripts, monkeypatch):
    """The comparisons, with some of their questions."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import comparisons

    questions = tuple(question for question in comparisons.QUESTIONS if question.title.endswith("of its own size"))
    assert len(questions) == 3
    monkeypatch.setattr(comparisons, "QUESTIONS", questions)
    return comparisons


def answered(comparisons, reads):
    return comparisons.answers(comparisons.QUESTIONS[0], comparisons.usual_runs(reads), comparisons.TASKS).rows


def differences(table):
    """Differences by seed of each row of a table, by its name."""
    return {row.name: pytest.approx(row.mean_difference.by_seed) for row in table.rows.values()}


def test_the_finding_compares_on_the_seeds_that_both_have(scripts, comparisons):
    from bench.report.finding.pages import written_table

    reads = measured({"cola": 65.0, "lora": 60.0, "adalora": 61.0, "cola-adalora": 61.0})
    rows = answered(comparisons, reads)
    assert [*rows] == ["ave"], "the other tasks have no records"
    assert rows["ave"].mean_difference.by_seed == pytest.approx([5.0] * 10)
    lost = next(spec for spec in specs("main", ["lora"], ["ave"]) if spec.seed == 3)
    del reads.records[lost.id]
    assert len(answered(comparisons, reads)["ave"].mean_difference.by_seed) == 9
    lines = "".join(map(written_table, comparisons.all_tables(reads).values())).splitlines()
    assert any(line.startswith("| ave") and "| +5.00 " in line.replace("  ", " ") for line in lines)
    verdicts = [line.split("|")[9].strip() for line in lines if line.startswith("| ave")]
    assert verdicts == ["significant", "not significant", "significant", "significant"]


def test_the_finding_of_all_tasks_is_the_mean_over_tasks_by_seed(scripts, comparisons, monkeypatch):
    _, study = scripts
    monkeypatch.setattr(comparisons, "TASKS", study.AUDIO_VISUAL)
    of = []
    for spec in specs("main", ["lora", "cola"], comparisons.TASKS):
        gain = 1.0 + 2 * comparisons.TASKS.index(spec.task) + spec.seed
        if spec.seed < 2 or spec.task == "ave":
            of.append((spec, 50.0 + (gain if spec.method == "cola" else 0.0)))
    rows = answered(comparisons, measured_of(of))
    assert [*rows] == [*comparisons.TASKS, ALL]
    assert rows["ave"].mean_difference.by_seed == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0])
    mean = rows[ALL]
    assert mean.mean_difference.by_seed == pytest.approx([2.0, 3.0]), "over the seeds that every task has"
    assert (mean.first, mean.second) == pytest.approx((52.5, 50.0))


def test_the_finding_judges_as_the_leaderboard_does(scripts, comparisons):
    """On the committed records: the gains of CoLA over LoRA are those of the leaderboard, before the correction."""
    records = [record for record in store.read_all(FOLDER) if record.spec.task == "avs"]
    (usual, *_) = compute_standings(records)
    (expected,) = (s.gain for s in usual.tasks[0].standings if s.row.label == "cola")
    reads = comparisons.Measured(records, plan("mini"))
    row = answered(comparisons, reads)["avs"]
    gain = comparisons.Table("", {"avs": row}).gains["avs"]
    assert (gain.points, gain.interval, gain.p, gain.seeds) == (*(expected.points, expected.interval), expected.p, 10)
    assert gain.with_samples and gain.p_holm == gain.p < expected.p_holm


def test_the_finding_says_what_twice_the_epochs_change(scripts, comparisons):
    reads = measured_of([])
    assert not comparisons.all_tables(reads)
    scores = {"head": (50.0, 50.0), "lora": (60.0, 63.0), "cola": (65.0, 65.5)}
    of = [
        (spec, scores[spec.method][which] + 0.1 * spec.seed)
        for which, stage in enumerate(("main", "longer"))
        for spec in specs(stage, scores, ["ave"])
    ]
    tables = dict(comparisons.longer(measured_of(of)))
    assert differences(tables["longer"]) == {"ave": [2.5] * 5}
    assert differences(tables["twice"]) == {"ave, head": [0.0] * 5, "ave, lora": [3.0] * 5, "ave, cola": [0.5] * 5}


def test_the_finding_of_ablations(scripts, comparisons):
    of = [(spec, 65.0 if spec.method == "cola" else 60.0) for spec in specs("main", ["cola", "lora"], ["avs"])]
    of += [(spec, 63.0) for spec in specs("ablations", ["paths=vision>audio", "r=2"], ["avs"])]
    tables = comparisons.all_tables(measured_of(of))
    assert differences(tables["ablations avs"]) == {"paths=vision>audio": [-2.0] * 5, "r=2": [-2.0] * 5}
    assert differences(tables["one way avs"]) == {"paths=vision>audio": [3.0] * 5}


def test_the_finding_of_grounding_in_one_model(scripts, comparisons):
    of = [
        (spec, 70.0 if spec.method.startswith("cola") else 69.0)
        for stage in ("together", "together-more-seeds")
        for spec in specs(stage)
        if spec.method != "cola-adalora"
    ]
    ((name, table),) = comparisons.all_tables(measured_of(of)).items()
    assert name == "together"
    assert differences(table) == {"CoLA over LoRA, each of its own size": [1.0] * 10}


@pytest.mark.parametrize(("later_gain", "holds"), [(3.0, True), (0.0, False), (-3.0, False)])
def test_the_audit_compares_the_order_of_adapters_without_head(scripts, later_gain, holds):
    audit, _ = scripts
    ((whether, text),) = stable(audit, measured_of([]))
    assert whether is None and text.startswith("order of lora, dora, cola in")
    of = [
        (spec, 60.0 + 0.1 * spec.seed * (spec.seed % 3) + gain * (spec.method == "cola"))
        for stage, gain in (("more-seeds", later_gain), ("main", 3.0))
        for spec in specs(stage, audit.ADAPTERS)
    ]
    ((whether, text),) = stable(audit, measured_of(of))
    assert whether is holds and "head" not in text, "without any record of head"
    assert f"tau-b {(later_gain > 0) - (later_gain < 0):.2f}" in text


def stable(audit, reads):
    runs = reads.runs("main", "more-seeds")
    return audit.stable(runs, audit.TASKS, audit.ADAPTERS, audit.TEN)


def test_the_smallest_gains_come_of_the_deviations(scripts, comparisons, monkeypatch):
    import finding

    monkeypatch.setattr(finding, "TASKS", ("ave",))
    seeds = range(5)
    of = [
        (spec, 50.0 + (spec.seed if spec.method == "cola" else 0.0))
        for spec in specs("main", ["lora", "cola"], ["ave"])
    ]
    _, _, cola, every = finding.resolution(measured_of(of)).strip().splitlines()
    cells = [cell.strip() for cell in cola.split("|")[1:-1]]
    assert cells[:3] == ["CoLA over LoRA, ave", "5", f"{stdev(seeds):.2f}"]
    single = [smallest_gain(stdev(seeds), number) for number in (5, 10)]
    corrected = [smallest_gain(stdev(seeds), number, alpha=0.025) for number in (5, 10)]
    assert cells[3:] == [f"{gain:.1f}" for gain in (*single, *corrected)]
    assert every.split("|")[2:] == cola.split("|")[2:], "the mean over one task is that task"


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in FOLDER.parent.glob("*/leaderboard.md")), ids=attrgetter("name")
)
def test_leaderboards_are_what_the_program_says_of_the_records(folder):
    written = (folder / "leaderboard.md").read_text(encoding="utf-8")
    today = leaderboard(compute_standings(store.read_all(folder), each_split=True))

    def without_numbers(
        text,
    ):  # without the numbers: intervals over samples take long, and products may round them otherwise
        return [line.split("|")[1].strip(" :-") if line.startswith("|") else line for line in text.splitlines()]

    assert without_numbers(today) == without_numbers(written), f"bench leaderboard --results {folder} writes it anew"


def test_a_rerun_on_another_processor_says_so_and_may_be_given_a_tolerance(scripts, monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(FOLDER))
    import rerun

    first = mocks.record(specs("main")[0])
    store.write(first, tmp_path)
    recorded = replace(first.environment, processor="Xeon", instructions="AVX512", variables={})
    current = replace(recorded, processor="EPYC", variables={"ATEN_CPU_CAPABILITY": "avx2"})
    metric = first.scores.metric
    scores = replace(first.scores, test={**first.scores.test, metric: first.scores.test[metric] + 1.5})
    repeated = replace(first, scores=scores, environment=current)
    store.write(replace(first, environment=recorded), tmp_path)
    monkeypatch.setattr(rerun, "specification", lambda record, folder: record.spec)
    monkeypatch.setattr(rerun, "execute_run", lambda spec, options, threads: repeated)
    assert rerun.main(tmp_path, count=1, seed=0) == 1
    out = capsys.readouterr().out
    assert "recorded with processor Xeon, here EPYC; ATEN_CPU_CAPABILITY unset, here avx2. " in out
    assert "usually differ" in out and "(+1.50)" in out
    assert rerun.main(tmp_path, count=1, seed=0, tolerance=2) == 0
    assert rerun.main(tmp_path, count=1, seed=0, tolerance=1) == 1
    assert rerun.is_chance([1.0, -1.2, 0.3]) and not rerun.is_chance([1.0, 1.2, 1.1])


def test_the_picture_has_a_panel_for_natural_once_that_has_records(scripts, comparisons, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    import figure

    monkeypatch.setattr(figure, "PICTURE", tmp_path / "finding.svg")
    of = [(spec, 50.0 + spec.seed % 3 + len(spec.method)) for spec in specs("main", ["lora", "cola"], ["ave", "avs"])]
    of += [(spec, 50.0 + spec.seed % 2) for spec in specs("budget", ["lora-cola-size"], ["ave", "avs"])]
    question = comparisons.Question("CoLA over LoRA, both of CoLA's size", "cola", "lora-cola-size")
    monkeypatch.setattr(figure, "QUESTIONS", (question,))
    shown = comparisons.answers(question, comparisons.usual_runs(measured_of(of)), ("ave", "avs"))
    natural = result_scripts.tuned_plan("natural", tmp_path)
    for stage in ("main", "budget"):
        for spec in result_scripts.specs(natural, stage, ["lora", "cola", "lora-cola-size"]):
            store.write(mocks.record(spec, 60.0 + spec.seed % 3 + len(spec.method)), tmp_path)
    figure.draw(shown, tmp_path / "experiment.toml")
    both = figure.PICTURE.read_text(encoding="utf-8")
    for title in (*figure.SUITES, "RefCOCO, accuracy"):
        assert f"<!-- {title} -->" in both
