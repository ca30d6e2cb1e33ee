"""The parity report of a model file as a document of its own: JSON, or one page of HTML; and what
differs between two reports of the same file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from affectrt.errors import ExportError

from .whole_files import write_whole

Report = Mapping[str, Any]

FORMATS = (".json", ".html")
# Where figures of two runs differ by less, they differ by rounding.
_SAME_RELATIVE, _SAME_ABSOLUTE = 1e-2, 1e-5

_STYLE = """\
body{font:16px/1.5 'Helvetica Neue',Helvetica,Arial,'DejaVu Sans',sans-serif;color:#22303c;\
max-width:1120px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}
.passed{color:#1b7a4b}.failed{color:#b3261e}
table{border-collapse:collapse;margin:.6em 0}
td,th{padding:.2em .9em .2em 0;text-align:right;white-space:nowrap;\
font-variant-numeric:tabular-nums}
td:first-child,th:first-child{text-align:left}
th{font-weight:600;border-bottom:1px solid #c8d0d8}
code{font-size:.85em;overflow-wrap:anywhere}
dt{font-weight:600;float:left;clear:left;width:9em}dd{margin:0 0 .2em 9.5em}
.scroll{overflow-x:auto}
"""


def check_formats(files: Sequence[Path]) -> None:
    """Raise ExportError for names that `write_certificate` cannot write, before any long work."""
    for file in files:
        if file.suffix.lower() not in FORMATS:
            raise ExportError(f"{file}: a certificate ends with {' or '.join(FORMATS)}")
        if file.is_dir() or not file.parent.is_dir():
            raise ExportError(f"{file}: is no place for a file; give one in an existing directory")


def write_certificate(file: Path, report: Report) -> None:
    """Write a report as it stands in a model file, ``.json`` or ``.html``, whole or not at all."""
    check_formats([file])
    text = json.dumps(report, ensure_ascii=False, indent=1) + "\n"
    if file.suffix.lower() == ".html":
        text = to_html(report)
    write_whole(file, text)


def differences(stored: object, fresh: Report) -> tuple[str, ...]:
    """What a new report says otherwise than the one in the file; rounding is left out.

    Figures are compared only where both are of the same rows.
    """
    if not isinstance(stored, Mapping):
        return ("the file has no report to compare with",)
    if stored.get("data_sha256") != fresh["data_sha256"]:
        rows = f"{stored.get('rows')} rows of {stored.get('data')}"
        return (f"the file's report is of other rows ({rows}); its figures are not compared",)
    found = [
        f"{key}: {stored[key]} in the file's report, {fresh[key]} now"
        for key in ("rows", "truncated", "precision", "passed", "source_sha256")
        if key in stored and stored[key] != fresh[key]
    ]
    was = {(h["head"], h["backend"]): h for h in stored.get("heads", ())}
    now = {(h["head"], h["backend"]): h for h in fresh["heads"]}
    for head, backend in sorted({*was, *now}):
        where = f"head {head} on {backend}"
        one, other = was.get((head, backend)), now.get((head, backend))
        if one is None or other is None:
            which = "new" if one is None else "file's"
            found.append(f"{where}: only in the {which} report")
            continue
        found += [f"{where}: {line}" for line in _unlike("", one, other)]
    for package, version in fresh["versions"].items():
        before = stored.get("versions", {}).get(package)
        if found and before != version:
            found.append(f"{package} is {version} now, and was {before}")
    return tuple(found)


def _unlike(path: str, one: Report, other: Report) -> Iterator[str]:
    for key in other:
        if key not in one:  # a report of an older version has fewer figures
            continue
        a, b, name = one[key], other[key], f"{path}{key}"
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from _unlike(f"{name}.", a, b)
        elif isinstance(a, float) and isinstance(b, float):
            if abs(a - b) > max(_SAME_ABSOLUTE, _SAME_RELATIVE * max(abs(a), abs(b))):
                yield f"{name} {a:.6g} in the file's report, {b:.6g} now"
        elif a != b:
            yield f"{name} {a} in the file's report, {b} now"


def to_html(report: Report) -> str:
    """A page that needs nothing else. The report may be of any origin: every text is escaped."""
    passed = bool(report.get("passed"))
    verdict = "passed" if passed else "FAILED"
    name = escape(str(report.get("name")))
    heads = [h for h in report.get("heads", ()) if isinstance(h, Mapping)]
    metrics = [
        (h, metric, values)
        for h in heads
        for metric, values in (h.get("metrics") or {}).items()
        if isinstance(values, Mapping)
    ]
    body = [
        f'<h1>Parity of {name}: <span class="{verdict.lower()}">{verdict}</span></h1>',
        "<p>What the model file answers, text in and decision out, beside what the checkpoint that "
        "it was made of answers through Hugging Face <i>tokenizers</i> and torch.</p>",
        *(f'<p class="failed">Beyond the bar: {escape(str(f))}</p>' for f in report["failures"]),
        *(f"<p>Note: {escape(str(n))}</p>" for n in report.get("notes", ())),
        _facts(report),
        "<h2>Answers</h2>",
        _table(
            ("head", "task", "labels", "backend", "rows", "decisions", "flipped", "rows with flips",
             "max |d|", "mean |d|", "largest logit", "cosine", "least", "alone / batch"),
            [_answer_row(h) for h in heads],
        ),
    ]  # fmt: skip
    if metrics:
        body += [
            "<h2>Task</h2>",
            "<p>With 95 % bootstrap intervals, on the rows with targets; the change is drawn on "
            "the same rows for both. Blue is the source, orange the product.</p>",
            _table(
                ("head", "backend", "metric", "rows", "source", "product", "change", ""),
                [_metric_row(*one) for one in metrics],
            ),
        ]
    calibrated = [h for h in heads if h.get("calibration_error")]
    if calibrated:
        rows = [
            [h["head"], h["backend"], *(f"{h['calibration_error'][s]:.4f}" for s in _SIDES)]
            for h in calibrated
        ]
        body += [
            "<h2>Calibration error</h2>",
            "<p>Expected, of 15 bins: of the highest score where one label is right, of every "
            "label's where several may be.</p>",
            _table(("head", "backend", *_SIDES), [[escape(str(c)) for c in r] for r in rows]),
        ]
    bars = [(k, "none" if v is None else f"{v:g}") for k, v in report.get("bars", {}).items()]
    body += ["<h2>Bars</h2>", _list(bars), "<h2>Made with</h2>"]
    body.append(_list([(str(k), str(v)) for k, v in report.get("versions", {}).items()]))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>Parity of {name}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


_SIDES = ("source", "product")
_COLOURS = {"source": "#2b6cb0", "product": "#c05621"}


def _facts(report: Report) -> str:
    if "features" in report:
        rows = f"{report['rows']} clips ({report['cut']} cut)"
        read = ("features", f"differ by at most {report['features']['max_difference']:.3g}")
    else:
        tokens = report["tokens"]
        rows = f"{report['rows']} rows ({report['pairs']} pairs, {report['truncated']} truncated)"
        read = ("token ids", f"equal on {tokens['equal']} of {tokens['rows']} texts")
    facts = [
        ("precision", str(report["precision"])),
        ("data", f"{report['data']}: {rows}"),
        ("their SHA-256", str(report["data_sha256"])),
        read,
        ("checkpoint", str(report["source_sha256"])),
        *((f"{entry}", str(digest)) for entry, digest in report.get("product", {}).items()),
        ("again", str(report["command"])),
    ]  # fmt: skip
    signature = report.get("signature")
    if isinstance(signature, Mapping):
        facts.append(("signed", f"{signature.get('algorithm')}, key {signature.get('key')}"))
    return _list(facts)


def _list(pairs: Sequence[tuple[str, str]]) -> str:
    rows = (f"<dt>{escape(k)}</dt><dd><code>{escape(v)}</code></dd>" for k, v in pairs)
    return f"<dl>{''.join(rows)}</dl>"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells of `rows` are HTML."""
    head = "".join(f"<th>{escape(t)}</th>" for t in titles)
    lines = ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    body = "\n".join(lines)
    return f'<div class="scroll"><table>\n<tr>{head}</tr>\n{body}\n</table></div>'


def _answer_row(head: Report) -> list[str]:
    share = 100.0 * head["flipped_decisions"] / max(head["decisions"], 1)
    flips = f"{head['flipped_decisions']} ({share:.2f} %)" if head["decisions"] else "–"  # noqa: RUF001
    cells = [head["head"], head["task"], head["labels"], head["backend"], head["rows"]]
    cells += [head["decisions"] or "values", flips, head["flipped_rows"]]
    keys = ("max_logit_difference", "mean_logit_difference", "largest_logit")
    cells += [f"{head[key]:.3g}" for key in keys]
    cells += [f"{head[k]:.6f}" if k in head else "" for k in ("mean_cosine", "min_cosine")]
    cells.append(f"{head['max_neighbour_difference']:.3g}")
    return [escape(str(cell)) for cell in cells]


def _metric_row(head: Report, name: str, values: Report) -> list[str]:
    bounded = all(f"{side}_{end}" in values for side in _SIDES for end in ("low", "high"))
    cells = [head["head"], head["backend"], name, head["rows_with_target"]]
    for side in _SIDES:
        cell = f"{values[side]:.4f}"
        if bounded:
            cell += f" ({values[f'{side}_low']:.4f} to {values[f'{side}_high']:.4f})"
        cells.append(cell)
    change = f"{values['product'] - values['source']:+.4f}"
    if bounded:
        change += f" ({values['change_low']:+.4f} to {values['change_high']:+.4f})"
    drawn = _picture(values) if bounded else ""
    return [*(escape(str(cell)) for cell in (*cells, change)), drawn]


def _picture(values: Report) -> str:
    """Both intervals on one scale, their values as dots."""
    ends = [float(values[f"{side}_{end}"]) for side in _SIDES for end in ("low", "high")]
    low, span = min(ends), (max(ends) - min(ends)) or 1.0
    parts = []
    for y, side in zip((7, 17), _SIDES, strict=True):
        a, b, c = (
            4 + 112 * (float(values[key]) - low) / span
            for key in (f"{side}_low", f"{side}_high", side)
        )
        parts.append(
            f'<line x1="{a:.1f}" x2="{b:.1f}" y1="{y}" y2="{y}" stroke="{_COLOURS[side]}" '
            f'stroke-width="2"/><circle cx="{c:.1f}" cy="{y}" r="3.5" fill="{_COLOURS[side]}"/>'
        )
    return f'<svg width="120" height="24" viewBox="0 0 120 24">{"".join(parts)}</svg>'
