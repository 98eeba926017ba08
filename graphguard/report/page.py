"""The page as one HTML file: no script, nothing loaded, readable in light, dark and on paper."""

from typing import Any

from graphguard.report import sections
from graphguard.report.contents import ReportContents
from graphguard.report.markup import number, text
from graphguard.report.quality import quality

STYLE = """
:root{--ink:#1d2430;--soft:#5c6675;--line:#dfe3e9;--back:#f7f8fa;--card:#fff;--a:#2f6db5;--b:#c2571a;
--c:#2e8b57;--d:#7b4fb5;--bad:#b3261e;--warn:#9a6700;--good:#1a7f4b}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ee;--soft:#9aa5b4;--line:#2d3541;--back:#12161c;
--card:#1a2029;--a:#79b0ef;--b:#f0a36b;--c:#6fcf9b;--d:#bb9cf0;--bad:#ff8a80;--warn:#e3b341;
--good:#6fcf9b}}
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 24px 80px}h1{font-size:28px;margin:0 0 4px}
h2{font-size:20px;margin:0 0 4px}h3{font-size:15px;margin:16px 0 6px}h3 em{color:var(--b);
font-style:normal;font-weight:500}.lead{color:var(--soft);margin:0 0 14px;max-width:78ch}
.quiet{color:var(--soft);font-size:13px}section{background:var(--card);border:1px solid var(--line);
border-radius:10px;padding:20px 22px;margin:18px 0}.tiles{display:grid;gap:12px;margin:20px 0;
grid-template-columns:repeat(auto-fit,minmax(150px,1fr))}.tile{background:var(--card);
border:1px solid var(--line);border-radius:10px;padding:14px 16px}.tile b{display:block;
font-size:26px;line-height:1.2;font-variant-numeric:tabular-nums}.tile span{color:var(--soft);
font-size:13px}.banner{border-radius:10px;padding:12px 16px;margin:16px 0;border:1px solid}
.banner.red{color:var(--bad);border-color:var(--bad)}.banner.amber{color:var(--warn);
border-color:var(--warn)}.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;
margin:8px 0 12px;font-size:13.5px}th{text-align:left;color:var(--soft);font-weight:500}
th,td{padding:5px 10px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
td{overflow-wrap:break-word}td:last-child:not(.n){min-width:22ch}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}th.n{white-space:normal;min-width:9ch}
.pair{display:grid;gap:20px;grid-template-columns:repeat(auto-fit,minmax(300px,1fr))}
figure{margin:8px 0}figcaption{color:var(--soft);font-size:13px;max-width:44ch}.cards{display:grid;
gap:16px;grid-template-columns:repeat(auto-fill,minmax(300px,1fr))}.card{min-width:0;
border:1px solid var(--line);
border-radius:8px;padding:12px 14px}.card h3{margin:0 0 4px;font-size:14px}
.card p{margin:4px 0}details{margin:8px 0}summary{cursor:pointer;color:var(--a)}
svg{width:100%;height:auto;display:block}.grid{stroke:var(--line)}.tick{fill:var(--soft);font-size:11px}
.ideal{stroke:var(--soft);stroke-dasharray:4 4}.whisker{stroke:var(--a);stroke-width:1.5}
.dot,.bar{fill:var(--a)}.line{fill:none;stroke-width:2;stroke:var(--a)}.line.l1{stroke:var(--b)}
.line.l2{stroke:var(--c)}.line.l3{stroke:var(--d)}.key{font-size:12px;fill:var(--a)}
.key.l1{fill:var(--b)}.key.l2{fill:var(--c)}.key.l3{fill:var(--d)}.link{stroke:var(--soft);
opacity:.45}.node{fill:var(--card);stroke:var(--a);stroke-width:2}.node.core{fill:var(--a)}
.node.bad{fill:var(--bad);stroke:var(--bad)}.tie{fill:var(--b)}.red{color:var(--bad)}
.amber{color:var(--warn)}.green{color:var(--good)}nav{font-size:13px;margin:6px 0 0}
nav a{color:var(--a);margin-right:14px;text-decoration:none;display:inline-block}
@media print{body{background:#fff}section,.tile{break-inside:avoid}nav{display:none}}
"""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def render(contents: ReportContents) -> str:
    """The whole page; equal contents give equal bytes."""
    parts = [
        sections.decisions(contents),
        sections.rings(contents),
        quality(contents),
        sections.scores(contents),
        sections.drift(contents),
        sections.intake(contents),
        sections.stages(contents),
    ]
    names = [
        "Decisions",
        "Rings",
        "Model quality",
        "Scores",
        "Drift",
        "What went in",
        "Time and memory",
    ]
    links = "".join(f'<a href="#{one.lower().replace(" ", "-")}">{one}</a>' for one in names)
    day = text(contents.run["as_of"])
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>GraphGuard {day}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main><header><h1>Night of {day}</h1>"
        f'<p class="lead">{_tonight(contents)}</p><nav>{links}</nav></header>'
        f"{_banners(contents)}{_tiles(contents)}{''.join(parts)}"
        f'<p class="quiet">{_footer(contents)}</p></main></body></html>\n'
    )


def _tonight(contents: ReportContents) -> str:
    """One line: what is new."""
    counts: dict[str, int] = dict(contents.changes.group_by("change").len().iter_rows())
    new = counts.get("birth", 0) + counts.get("split", 0)
    words = [
        f"{number(new)} new {'ring' if new == 1 else 'rings'}",
        f"{number(counts.get('growth', 0))} grew",
        f"{number(counts.get('return', 0))} are back, {number(counts.get('dormant', 0))} asleep",
        f"{number(contents.decisions.height)} decisions",
    ]
    before = contents.run.get("previous")
    return f"{', '.join(words)}; {f'run before: {text(before)}' if before else 'the first run'}."


def _banners(contents: ReportContents) -> str:
    red = [
        f'<div class="banner red"><b>Gate red:</b> {text(gate, 400)}</div>'
        for gate in contents.gates
    ]
    amber = [f'<div class="banner amber">{text(one, 500)}</div>' for one in contents.warnings]
    return "".join([*red, *amber])


def _tiles(contents: ReportContents) -> str:
    champion = contents.metrics["models"][contents.metrics["champion"]]["newest"]
    tiles: list[tuple[str, Any, str]] = [
        (number(contents.scores.height), "users scored", ""),
        (number(contents.rings.height), "rings", f"{number(contents.members.height)} members"),
        (
            number(contents.summary["acted"]),
            "users acted on",
            f"{contents.summary['action_rate']:.2%}",
        ),
        (number(champion["auprc"]["value"]), "AUPRC, newest anchor", contents.metrics["champion"]),
        (
            number(champion["precision_at_budget"]["value"]),
            "precision at the review budget",
            f"{contents.metrics['review_budget']} users",
        ),
        (contents.drift["verdict"], "drift", ""),
    ]
    shown = [
        f'<div class="tile"><b>{text(value)}</b><span>{text(name)}'
        f"{' · ' + text(more) if more else ''}</span></div>"
        for value, name, more in tiles
    ]
    return f'<div class="tiles">{"".join(shown)}</div>'


def _footer(contents: ReportContents) -> str:
    versions = ", ".join(f"{name} {value}" for name, value in contents.run["versions"].items())
    return (
        f"Run {text(contents.run['run_id'], 80)} · "
        f"model {text(contents.metrics['model_id'], 80)} · "
        f"{text(versions, 1000)}"
    )
