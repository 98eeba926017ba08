"""The section on model quality: metrics, reliability, kinds of rows, thresholds."""

from typing import Any

from graphguard.report import charts
from graphguard.report.contents import ReportContents
from graphguard.report.markup import details, number, section, table, text

METRICS = {
    "auprc": "AUPRC",
    "auroc": "AUROC",
    "recall_at_fpr_0.01": "recall at 1% false positives",
    "precision_at_budget": "precision at the review budget",
    "recall_at_budget": "recall at the review budget",
    "recall_at_positives": "recall at as many as positives",
}
CAVEAT = (
    "A user counts as positive if it was enforced within the horizon. Users never decided count as "
    "negatives, which understates the truth."
)


def quality(contents: ReportContents) -> str:
    """How good the models are on rows that did not train them."""
    metrics = contents.metrics
    calibration = metrics["calibration"]
    pictures = (
        f'<div class="pair"><figure>{charts.reliability(calibration["bins"])}<figcaption>'
        f"{_reliability_words(calibration)}</figcaption></figure><figure>"
        f"{charts.precision_recall(contents.evaluation)}<figcaption>Precision and recall on the "
        f"newest anchor.</figcaption></figure></div>"
    )
    slices = [
        (text(one["name"]), number(one["rows"]), number(one["users"]), number(one["positives"]))
        for one in contents.card["slices"]
    ]
    columns = [
        (text(one["column"], 80), f"{one['gain']:.1%}") for one in contents.card["top_columns"]
    ]
    return section(
        "Model quality",
        f"{text(metrics['champion_reason'], 400)}. {CAVEAT}",
        _models(metrics),
        pictures,
        _kinds(metrics["kinds"]),
        _certificates(metrics["thresholds"]),
        details(
            "rows the model was made from",
            table(["slice", "rows#", "users#", "positives#"], slices),
        ),
        details("columns that weigh most", table(["column", "share of gain#"], columns)),
    )


def _models(metrics: dict[str, Any]) -> str:
    rows = []
    for name, slices in metrics["models"].items():
        mark = " ★" if name == metrics["champion"] else ""
        for part, found in slices.items():
            cells = [_interval(found.get(metric)) for metric in METRICS]
            rows.append((text(name) + mark, "newest anchor" if part == "newest" else part, *cells))
    heads = ["model", "rows", *(f"{words}#" for words in METRICS.values())]
    return table(heads, rows, "95% stratified bootstrap intervals in brackets")


def _kinds(kinds: list[dict[str, Any]]) -> str:
    rows = [
        (
            text(one["name"]),
            number(one["rows"]),
            number(one["positives"]),
            *(_interval(one["metrics"].get(metric)) for metric in METRICS),
        )
        for one in kinds
    ]
    heads = ["kind of row", "rows#", "positives#", *(f"{words}#" for words in METRICS.values())]
    return table(
        heads, rows, "the champion on the newest anchor; below five positives there is no figure"
    )


def _certificates(thresholds: dict[str, Any]) -> str:
    rows = [
        (text(name), number(one["threshold"], 4), text(one["reason"], 300))
        for name, one in thresholds.items()
    ]
    return table(["action", "certified score#", "what the held-out rows prove"], rows)


def _reliability_words(found: dict[str, Any]) -> str:
    return (
        f"Reliability on the newest anchor, each half told by a calibrator that saw only the "
        f"others. Calibration error {number(found['ece'], 4)}, slope {number(found['slope'])} "
        f"(below 1: too sure), Brier skill {number(found['brier_skill'])}; highest hundredth: said "
        f"{number(found['top_said'])}, came true {number(found['top_seen'])}."
    )


def _interval(found: dict[str, float] | None) -> str:
    if found is None:
        return "–"
    low, high = number(found["low"]), number(found["high"])
    return f'{number(found["value"])} <span class="quiet">[{low}, {high}]</span>'
