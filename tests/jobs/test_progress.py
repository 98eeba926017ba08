"""How a night tells how far it is: bars on a terminal, lines in a file, JSON for a collector."""

import json

from graphguard.jobs.progress import BETWEEN_LINES, JsonLines, Lines, TimeLeft, reporting


def test_time_left_is_that_of_steps_like_those_before():
    now = 0.0
    left = TimeLeft(lambda: now)
    found = []
    for done, seconds in ((1, 10.0), (2, 12.0), (4, 16.0), (0, 20.0), (1, 30.0)):
        now = seconds
        found.append(left.after(done, 10))

    assert found == [None, 16.0, 12.0, None, 90.0]


def test_a_file_gets_a_line_a_stage_and_now_and_then_one_of_its_steps(capsys):
    now = 0.0
    lines = Lines(lambda: now)
    lines.stage("link", 4, 12)
    for done in range(1, 5):
        now += 0.4 * BETWEEN_LINES
        lines.step(done, 2000, "anchors")
    now += 2 * BETWEEN_LINES
    lines.step(2000, 2000, "anchors")
    lines.note("link: 7 rows\nin 2 s")

    assert capsys.readouterr().err.splitlines() == [
        "link (stage 4 of 12)",
        "link: 3 of 2,000 anchors, about 6:39:24 left",
        "link: 7 rows in 2 s",
    ]


def test_what_is_no_terminal_gets_lines_and_no_empty_one(capsys):
    with reporting(json_logs=False) as reporter:
        assert isinstance(reporter, Lines)
        reporter.note("the only line")
    with reporting(json_logs=True) as reporter:
        assert isinstance(reporter, JsonLines)
        reporter.note("an object", rows=3)

    plain, collected = capsys.readouterr().err.splitlines()
    assert plain == "the only line"
    assert json.loads(collected) == {"event": "note", "text": "an object", "rows": 3}
