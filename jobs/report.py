"""Report: the whole run as one page."""

from pathlib import Path

from graphguard.jobs.context import Facts, Job


def run(job: Job, out: Path) -> Facts:
    """Placeholder until the page is in."""
    (out / "report.html").write_text("soon")
    return {}
