from msgspec import structs

from arriero.core.batch import Counts
from arriero.core.instance import Concurrency
from arriero.monitor.snapshot import InstanceSnapshot, Note, Snapshot, Tokens
from arriero.monitor.summary import resume_hint, summary

FINISHED = Snapshot(
    state="finished",
    counts=Counts(total=1000, succeeded=990, failed=10),
    rate_per_s=10.0,
    instances=(InstanceSnapshot(name="gpu-01", slots=37, slots_tested=True, succeeded=990),),
    makespan_s=100.0,
    p50_s=3.9,
    p95_s=11.23,
    failures={"poison": 1, "timeout": 9},
    finish_reasons={"stop": 978, "length": 12},
    usage=Tokens(prompt_tokens=50_000, output_tokens=200_000),
    notes=(Note(code="context_unknown", instances=("gpu-01",)),),
)


def test_the_summary_tells_counts_speed_failures_slots_notes_and_where_the_results_lie():
    lines = summary(
        FINISHED, target=("results.json",), written=["results.json"], concurrency=Concurrency(12, learned=False)
    )

    assert lines == [
        "finished   1,000 requests in 1 min 40 s   990 succeeded   10 failed",
        "speed      10 requests/s   2,000 tokens/s out   500 tokens/s in",
        "latency    p50 3.9 s   p95 11 s",
        "failed     timeout 9   poison 1   arriero errors results.json",
        "cut        12 answers are cut at the token limit (finish_reason length)",
        "slots      37 can run at once, -c 12 leaves 25 idle",
        "note       gpu-01: does not tell its context length: prompts are not checked against it and answers end at 2,048 tokens",
        "output     results.json",
    ]


def test_a_stopped_batch_says_how_far_it_came_and_what_was_there_before():
    snapshot = Snapshot(state="stopped", counts=Counts(total=1000, succeeded=400), makespan_s=9.5, restored=100)
    lines = summary(snapshot, target=("r.json",), written=["r.json.partial"], concurrency=Concurrency())

    assert lines[:2] == [
        "stopped    400 of 1,000 requests   400 succeeded   0 failed",
        "this run   300 requests in 9.5 s",
    ]
    assert lines[-1] == "output     r.json.partial"


def test_after_a_resume_each_line_says_whether_it_counts_the_batch_or_this_run():
    snapshot = structs.replace(FINISHED, restored=906)
    lines = summary(snapshot, target=("r.json",), written=["r.json"], concurrency=Concurrency())

    assert lines[:6] == [
        "finished   1,000 requests   990 succeeded   10 failed",
        "this run   94 requests in 1 min 40 s",
        "speed      10 requests/s   2,000 tokens/s out   500 tokens/s in   (this run)",
        "latency    p50 3.9 s   p95 11 s   (this run)",
        "failed     timeout 9   poison 1   arriero errors r.json",
        "cut        12 answers of this run are cut at the token limit (finish_reason length)",
    ]


def test_a_run_in_which_nothing_ended_has_no_speed():
    snapshot = Snapshot(state="stopped", counts=Counts(total=9, succeeded=4), makespan_s=2.0, restored=4)
    lines = summary(snapshot, target=("r.json",), written=["r.json"], concurrency=Concurrency())

    assert lines[1:] == ["this run   0 requests in 2.0 s", "output     r.json"]


def test_names_in_commands_are_quoted_for_the_shell_and_safe_for_the_terminal():
    lines = summary(
        FINISHED, target=("my results\x1b[2J.json",), written=["my results\x1b[2J.json"], concurrency=Concurrency()
    )

    assert r"arriero errors 'my results\x1b[2J.json'" in lines[3]
    assert not any("\x1b" in line for line in lines)


def test_sentences_of_the_caller_stand_among_the_notes():
    lines = summary(
        FINISHED, target=("r",), written=[], concurrency=Concurrency(), said=["num_ctx 5000 is rounded up to 5120"]
    )

    assert lines[-2:] == ["note       num_ctx 5000 is rounded up to 5120", "output     standard output"]


def test_the_resume_hint_is_the_exact_command():
    assert resume_hint(["arriero", "run", "my prompts.txt", "-o", "r.json"]) == (
        "resume     arriero run 'my prompts.txt' -o r.json"
    )
