from __future__ import annotations

import dataclasses

import made_standings
import mocks
import pytest

from bench.config.plan import RunRequest, make_plan
from bench.config.reference import check_reference
from bench.errors import BenchError, UsageError
from bench.records import store
from bench.report.formatting import NONE
from bench.report.grouping import row_labels
from bench.report.html.page import page
from bench.report.leaderboard import leaderboard as markdown
from bench.report.published import published
from bench.report.standings import compute_standings
from bench.report.write import write_leaderboard
from bench.text import escape


@pytest.fixture
def plan(mock_suite):
    return make_plan(RunRequest(str(mock_suite), ["lora", "cola"], ["ave", "avs"], [0, 1, 2]))


@pytest.fixture
def measured(plan):
    """Three seeds of two methods on two tasks: LoRA scores 70, 72 and 74, CoLA 80, 81 and 82."""
    return [mocks.record(spec, (70.0 + 2 * spec.seed) if spec.method == "lora" else 80.0 + spec.seed) for spec in plan]


def leaderboard(records):
    return markdown(compute_standings(records))


def tables(text):
    """The tables of a Markdown text, by heading and number: rows of cells by their first cell."""
    rows_by_table, heading, above = {}, "", ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading, count = line, 0
        elif line.startswith("|"):
            if not above.startswith("|"):
                rows = rows_by_table[heading, count] = {}
                count += 1
            first, *cells = (cell.strip() for cell in line.strip("|").split(" | "))
            rows[first] = cells
        above = line
    return rows_by_table


def test_tables_a_task_and_one_over_all(measured):
    rows_by_table = tables(leaderboard(measured))
    title = "suite mock, generated data v3 (world 7), not the benchmark's own"
    ave, avs, overall = f"### ave: {title}", f"### avs: {title}", f"## All tasks: {title}"
    of_tasks = [(task, number) for task in (ave, avs) for number in range(3)]
    assert list(rows_by_table) == [(overall, 0), (overall, 1), *of_tasks], "it begins with all tasks"
    scores, costs, other_scores = (rows_by_table[ave, number] for number in range(3))
    assert scores["method"][:6] == ["place", "accuracy", "95% interval", "seeds", "gain", "95% interval"]
    # Differences of 10, 9 and 8: mean 9, standard error 0.577, t of 0.975 with two degrees of freedom 4.303. There are
    # no scores of samples.
    assert scores["cola"] == [
        *("1", "81.00", "78.52 to 83.48°", "3"),
        *("+9.00", "+6.52 to +11.48°", "+12.5", "0.004", "better"),
    ]
    assert scores["lora"][0] == "2"
    assert scores["floor: sound alone"][1] == "41.50"
    assert list(scores)[2:] == ["cola", "lora", "floor: sound alone", "floor: constant answer"]
    assert costs["cola"][:4] == ["16,000", "16,000", "2,500", "2.00"]
    assert costs["cola"][4:] == ["812", "640", "151.2", "420.0", "1.25x", "80.94"]
    assert other_scores["cola"] == ["40.50 ± 0.50"]
    assert list(rows_by_table[overall, 0])[2:] == ["cola", "lora"]
    assert rows_by_table[overall, 0]["cola"] == [
        *("+9.00", "+6.52 to +11.48°", "+12.5", "0.004", "better"),
        *("+9.00 ▲", "+9.00 ▲"),
    ]
    assert rows_by_table[overall, 1]["cola"] == [
        *("81.00", "78.52 to 83.48", "1.00", "1.00 to 1.00"),
        *("81.00 ± 1.00", "81.00 ± 1.00"),
    ]


def test_controls_are_listed_below_their_methods(mock_suite, measured):
    def control(task, seed, stream, score):
        return mocks.record(
            make_plan(RunRequest(str(mock_suite), ["lora"], [task], [seed], [f'data.streams=["{stream}"]']))[0], score
        )

    streams = measured[0].spec.streams
    first, second = list(streams)[:2]
    of_one = [control("ave", seed, first, 50.0 + 4 * seed) for seed in (0, 1)]
    rows_by_table = tables(leaderboard([*measured, *of_one]))
    ave = next(table for (heading, _), table in rows_by_table.items() if heading.startswith("### ave"))
    below = f"control: lora, {first} only, 2 seeds"
    assert list(ave)[2:] == ["cola", "lora", below, "floor: sound alone", "floor: constant answer"]
    assert ave[below][:2] == ["", "52.00"]
    assert not any("control" in heading for heading, _ in rows_by_table), "no table of its own"
    assert "14 runs" in leaderboard([*measured, *of_one])

    bad = dataclasses.replace(control("ave", 2, second, 0.0), status="failed", reason="lost", scores=None)
    assert "lost" in leaderboard([*measured, bad])
    control_spec = make_plan(
        RunRequest(str(mock_suite), ["lora"], ["avs"], [0], ["train.epochs=9", f'data.streams=["{first}"]'])
    )[0]
    text = leaderboard([*measured, mocks.record(control_spec, 30.0)])
    assert f"control: {first} only" in text, "of another recipe than what stands there"


def test_one_seed_ranks_nothing(measured):
    rows_by_table = tables(leaderboard([record for record in measured if record.spec.seed == 0]))
    scores = next(rows for (heading, _), rows in rows_by_table.items() if heading.startswith("### ave"))
    assert scores["cola"] == ["too few seeds", "80.00", NONE, "1", "+10.00", NONE, "+14.3", NONE, "too few seeds"]
    assert scores["lora"] == ["too few seeds", "70.00", NONE, "1", *[NONE] * 5]


def test_a_method_without_all_tasks_has_no_rank(measured):
    rows_by_table = tables(leaderboard([r for r in measured if (r.spec.method, r.spec.task) != ("cola", "avs")]))
    overall = next(rows for (heading, _), rows in rows_by_table.items() if "All tasks" in heading)
    assert overall["cola"] == [*[NONE] * 4, "81.00 ± 1.00", NONE]


def test_families_of_tasks_are_named_where_means_are_over_them():
    text = leaderboard(made_standings.records(["ave", "refcoco", "refcoco_plus"], seeds=1))
    assert "over 2 families, each the mean of its tasks (grounding: refcoco, refcoco_plus)." in text
    assert "families, each" not in leaderboard(made_standings.records(["ave", "avs"], seeds=1))


def test_settings_are_folded(measured, plan):
    text = leaderboard([*measured[:-1], mocks.failed(plan[-1], "<lost>")])
    opened = text.split("<summary>Settings and conditions (")[1:]
    for part, note in zip(opened, ("", ", 1 run failed"), strict=True):
        count, fold = part.split(f" lines{note})</summary>\n\n", 1)
        lines = fold.split("\n\n</details>")[0].splitlines()
        assert len(lines) == int(count) and all(line.startswith("- ") for line in lines)


def test_gains_are_over_the_reference_that_is_chosen(measured):
    judged = compute_standings(measured, reference="cola")
    text = markdown(judged, reference="cola")
    scores = tables(text)["### ave: suite mock, generated data v3 (world 7), not the benchmark's own", 0]
    assert scores["lora"][4:6] == ["-9.00", "-11.48 to -6.52°"] and scores["cola"][4] == NONE
    assert "- **Gain**: the mean difference from cola over the seeds" in text and "over lora" not in text
    html = page(judged, reference="cola")
    assert "gain over cola" in html and "gain over lora" not in html


def test_a_reference_that_no_row_has_is_refused(measured):
    check_reference("lora", row_labels(record for record in measured if record.spec.method == "cola"))
    with pytest.raises(UsageError, match="--reference colla: no row has this label; choose one of cola, lora"):
        check_reference("colla", row_labels(measured))


def test_published_figures_have_a_table_of_their_own(measured):
    text = markdown(compute_standings(measured), published())
    measured_part, _, elsewhere = text.partition("## Reported elsewhere")
    assert measured_part == leaderboard(measured).rstrip("\n") + "\n\n"
    assert "88.7 / 90.5 / 86.0" in elsewhere
    assert "arXiv 2604.03314" in elsewhere
    assert elsewhere.count("Ours is the mean over videos, each at its own best threshold") == 1
    figures = [row for row in published() if row["metric"] != "f_score"]
    assert "threshold" not in markdown(compute_standings(measured), figures)


def test_failed_runs_are_counted_and_listed(measured, plan):
    text = leaderboard([*measured[:-1], mocks.failed(plan[-1], "out of\nmemory | <b>")])
    assert "12 runs, 1 of them failed." in text
    assert "- 1 failed: avs cola seed 2: out of memory \\| &lt;b>" in text


def test_only_failed_runs(plan):
    text = leaderboard([mocks.failed(spec) for spec in plan])
    assert "12 runs, 12 of them failed." in text


def test_names_cannot_break_the_page(plan):
    spec = dataclasses.replace(plan[0], method="a|b<script>", suite="<i>mine</i>")
    text = leaderboard([mocks.record(spec)])
    assert "a\\|b&lt;script>" in text
    assert "&lt;i>mine&lt;/i>" in text
    assert "<script>" not in text


def test_what_can_open_no_tag_stays_readable():
    assert escape.markdown("p <0.001, audio>vision, a & b, 1 < 2") == "p <0.001, audio>vision, a & b, 1 < 2"
    assert (
        escape.markdown("<b> </b> <!-- <?x &lt; &#60; a|b") == "&lt;b> &lt;/b> &lt;!-- &lt;?x &amp;lt; &amp;#60; a\\|b"
    )


def test_records_of_different_devices_are_reported_as_not_comparable(measured):
    first, *remaining = measured
    on_gpu = dataclasses.replace(first, environment=dataclasses.replace(mocks.ENVIRONMENT, device="NVIDIA H100"))
    text = leaderboard([on_gpu, *remaining])
    machines = "NVIDIA H100 (2 threads); cpu (2 threads)"
    assert f"{machines}: memory and speed are not comparable between these" in text


def test_deviations_of_a_suite_from_its_protocol_are_noted(measured):
    spec = dataclasses.replace(measured[0].spec, deviations=["another audio stream"])
    environment = dataclasses.replace(measured[0].environment, processes=4)
    page = leaderboard([dataclasses.replace(measured[0], spec=spec, environment=environment), *measured[1:]])
    assert page.count("Deviation from the published protocol: another audio stream") == 1
    assert "4 x " in page


def test_official_data_is_called_so(mock_suite):
    plan = make_plan(RunRequest(str(mock_suite), ["lora"], ["ave"], [0], ["data.source=official"]))
    assert "### ave: suite mock, official data\n" in leaderboard([mocks.record(spec) for spec in plan])


def test_it_is_written_from_the_records_of_a_folder(measured, tmp_path):
    for record in measured:
        store.write(record, tmp_path)
    paths = write_leaderboard(tmp_path)
    assert paths == [tmp_path / "leaderboard.md", tmp_path / "leaderboard.html"]
    assert "12 runs, none of them failed." in paths[0].read_text(encoding="utf-8")
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write_leaderboard(tmp_path)] == before


def test_without_records_nothing_is_written(tmp_path):
    with pytest.raises(BenchError, match=r"there are no records in .*: `bench run` makes them"):
        write_leaderboard(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_split_has_columns_of_the_metrics_that_it_has(measured):
    """As test_n of Ref-AVS has: neither IoU nor a column for it, but a score of its own."""
    more = {"mix": 71.0, "null_s": 4.0}
    of_splits = {"val": {"accuracy": 70.0, "mix": 71.0}, "test_s": {"accuracy": 72.0}, "test_n": {"null_s": 4.0}}
    records = [
        dataclasses.replace(record, scores=dataclasses.replace(scores, test={**scores.test, **more}, splits=of_splits))
        for record in measured
        if (scores := record.scores)
    ]
    for text in (leaderboard(records), page(compute_standings(records))):
        shown = ["accuracy val", "accuracy test_s", "null_s test_n"]
        assert all(name in text for name in shown), text[:500]
        assert not any(name in text for name in ("accuracy test_n", "mix test_s", "null_s val"))
