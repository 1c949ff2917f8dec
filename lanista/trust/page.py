"""The report as one HTML page that needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import final

from lanista.trust import plot, words
from lanista.trust.assessment import Assessment, Verdict
from lanista.trust.budget import RandomSearch
from lanista.trust.noise import Noise

_LIGHT = """--page:#fff;--panel:#f6f7f9;--rim:#d8dce3;--ink:#1d2530;--dim:#5d6776;--accent:#a84300;--band:#fdeadb;
--link:#1d5fb4;--dot:#8d98a8;--good:#1b6e3c;--good-ground:#e3f4e9;--middle:#855700;--middle-ground:#fcf1d9;--bad:#a3262a;
--bad-ground:#fbe6e6"""
_DARK = """--page:#14171c;--panel:#1b1f26;--rim:#343b47;--ink:#e6eaf0;--dim:#9aa5b5;--accent:#ffb37a;--band:#3a2a1d;
--link:#86b7f5;--dot:#8b97a8;--good:#7fd6a0;--good-ground:#17321f;--middle:#f0c66b;--middle-ground:#362b13;--bad:#f59a9a;
--bad-ground:#3d1d1f"""
_STYLE = f"""
:root{{color-scheme:light dark;{_LIGHT}}}
@media screen and (prefers-color-scheme:dark){{:root{{{_DARK}}}}}
*{{box-sizing:border-box}}
body{{margin:0 auto;max-width:880px;padding:28px 20px 48px;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}}
h1{{font-size:24px;margin:0 0 4px;overflow-wrap:anywhere}}h2{{font-size:18px;margin:36px 0 6px}}
p{{margin:6px 0 10px}}.dim,.told{{color:var(--dim)}}.told b{{color:var(--ink)}}
.verdict{{border-left:6px solid;border-radius:6px;padding:14px 18px;margin:18px 0}}
.verdict b{{display:block;font-size:21px;line-height:1.3}}.verdict b::first-letter{{text-transform:uppercase}}
.verdict span{{color:var(--ink)}}
.good{{color:var(--good);border-color:var(--good);background:var(--good-ground)}}
.middle-way{{color:var(--middle);border-color:var(--middle);background:var(--middle-ground)}}
.bad{{color:var(--bad);border-color:var(--bad);background:var(--bad-ground)}}
.pill{{display:inline-block;border-radius:10px;padding:0 9px;font-size:13px}}
.plots{{display:flex;flex-wrap:wrap;gap:12px 24px}}figure{{margin:8px 0;break-inside:avoid}}
figcaption{{max-width:390px;font-size:13px;color:var(--dim)}}
.scroll{{overflow-x:auto}}
table{{border-collapse:collapse;width:100%;margin:10px 0;font-variant-numeric:tabular-nums}}
th,td{{text-align:left;vertical-align:top;padding:7px 14px 7px 0;border-bottom:1px solid var(--rim)}}
th{{font-weight:600;white-space:nowrap}}thead th{{color:var(--dim);font-size:13px}}
tr{{break-inside:avoid}}td.number{{white-space:nowrap}}
svg{{display:block;max-width:100%;height:auto}}svg text{{font-size:12px;fill:var(--ink)}}
svg .small{{font-size:11px;fill:var(--dim)}}svg .end{{text-anchor:end}}svg .middle{{text-anchor:middle}}
svg .accent{{fill:var(--accent)}}
.ground{{fill:var(--panel);stroke:var(--rim)}}.band{{fill:var(--band)}}.grid{{stroke:var(--rim);stroke-width:.7}}
.zero{{stroke:var(--dim);stroke-width:1.2}}.dot{{fill:var(--dot);fill-opacity:.6}}
.best{{fill:var(--accent);fill-opacity:.85}}
.reach{{stroke-width:3;stroke-linecap:round}}.reach.own{{stroke:var(--accent)}}.reach.other{{stroke:var(--link)}}
.mark.own{{fill:var(--accent)}}.mark.other{{fill:var(--link)}}
.cap{{stroke:var(--ink);stroke-width:2;stroke-dasharray:3 2}}
.curve{{fill:none;stroke:var(--link);stroke-width:2}}.chosen{{stroke:var(--accent);stroke-width:2;stroke-dasharray:6 4}}
footer{{margin-top:40px;border-top:1px solid var(--rim);padding-top:10px;font-size:13px;color:var(--dim)}}
@media (max-width:640px){{th,td.number{{white-space:normal}}}}
@media print{{body{{max-width:none;padding:0;font-size:12px}}
*{{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
h2{{break-after:avoid}}}}
"""

_COLOR = {Verdict.INFORMATIVE: "good", Verdict.NO_BETTER: "middle-way", Verdict.UNINFORMATIVE: "bad"}


@final
@dataclass(frozen=True)
class Cloud:
    """A scatter plot of something against the real score.

    Attributes:
        name: what it is called.
        real_name: what the real score is called.
        values: of each architecture.
        real: its real score.
        labels: its name.
    """

    name: str
    real_name: str
    values: Sequence[float]
    real: Sequence[float]
    labels: Sequence[str]


def page(
    title: str,
    found: Assessment,
    sections: Sequence[words.Section],
    clouds: Sequence[Cloud],
    *,
    notes: Sequence[str] = (),
    noise: Noise | None = None,
    search: RandomSearch | None = None,
) -> str:
    """The page as text.

    Args:
        title: its heading.
        found: how the proxy ranks.
        sections: what the numbers mean; the first one is that of the ranking.
        clouds: the proxy, and the parameter counts if known, against the real score.
        notes: sentences on how the data came about.
        noise: between seeds, for the ceilings in the picture.
        search: for the picture of random search.
    """
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="dim">Can {escape(clouds[0].name)} be believed in place of {escape(clouds[0].real_name)}? '
        f"Both are known of {found.overall.size} architectures.</p>",
        f'<div class="verdict {_COLOR[found.verdict]}"><b>{escape(found.headline)}</b>'
        f"<span>{escape(words.summary(found))}</span></div>",
        '<div class="plots">',
        *(_figure(cloud, found, first=cloud is clouds[0]) for cloud in clouds),
        "</div>",
    ]
    for index, section in enumerate(sections):
        parts += [f"<h2>{escape(section.title)}</h2>", f"<p>{escape(section.summary)}</p>"]
        if index == 0:
            parts += [_bars(found, noise), _ranking(found, section)]
            continue
        if search is not None and index == len(sections) - 1:
            drawn = plot.rising(search.curve, search.chosen, search.evaluations, search.expected)
            parts.append(
                f'<figure class="scroll">{drawn}<figcaption>Curve: the expected best of so many random evaluations. '
                "Bar: the random search that costs as much as the search did, with its interval.</figcaption></figure>"
            )
        parts.append(_table(section))
    if notes:
        parts += ["<h2>Notes</h2>", *(f"<p>{escape(note)}</p>" for note in notes)]
    parts.append(_rule(found))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{escape(title)}: {escape(found.headline)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _figure(cloud: Cloud, found: Assessment, *, first: bool) -> str:
    over, top = (region.proxy if first else region.parameters for region in (found.overall, found.top))
    drawn = plot.scatter((cloud.name, cloud.real_name), cloud.values, cloud.real, cloud.labels, found.share)
    return (
        f"<figure>{drawn}<figcaption>Each point is an architecture, placed by its rank; a perfect "
        f"ranking is the diagonal. Correlation over all: {words.correlation(over)}; "
        f"in the band of the best {words.percent(found.share)}: "
        f"{words.correlation(top)}.</figcaption></figure>"
    )


def _bars(found: Assessment, noise: Noise | None) -> str:
    rows = []
    ceilings = (None, None) if noise is None else (noise.overall.value, noise.top.value)
    for (name, region), ceiling in zip(words.regions(found), ceilings, strict=True):
        rows.append((f"proxy, {name}", region.proxy, ceiling, "own"))
        if region.parameters is not None:
            rows.append((f"parameters, {name}", region.parameters, ceiling, "other"))
    caption = (
        "" if noise is None else "<figcaption>Dashed: what a perfect proxy would reach, given the noise.</figcaption>"
    )
    return f'<figure class="scroll">{plot.intervals(rows)}{caption}</figure>'


def _ranking(found: Assessment, section: words.Section) -> str:
    rows = []
    for (name, region), line in zip(words.regions(found), section.lines, strict=True):
        cells = (region.proxy, region.parameters, region.difference)
        rows.append(
            f"<tr><th>{escape(name)}</th><td>{region.size}</td>"
            + "".join(f'<td class="number">{words.correlation(cell)}</td>' for cell in cells)
            + f'<td><span class="pill {_COLOR[region.verdict]}">{escape(line.value)}</span></td></tr>'
        )
    head = "".join(f"<th>{name}</th>" for name in ("", "architectures", "proxy", "parameters", "difference", "verdict"))
    told = "".join(f"<p><b>{escape(line.name)}:</b> {escape(line.meaning)}</p>" for line in section.lines)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        f'<div class="told">{told}</div>'
    )


def _table(section: words.Section) -> str:
    rows = "".join(
        f'<tr><th>{escape(line.name)}</th><td class="number">{escape(line.value)}</td>'
        f'<td class="dim">{escape(line.meaning)}</td></tr>'
        for line in section.lines
    )
    return f'<div class="scroll"><table><tbody>{rows}</tbody></table></div>'


def _rule(found: Assessment) -> str:
    return (
        "<footer><p>How the verdict is made: <b>uninformative here</b> unless the interval lies above 0 both over all "
        "and among the best; then <b>informative</b> if the difference to parameter counts lies above 0 in one of the "
        "two and below 0 in neither; else <b>no better than parameter count</b>. Of scores that have nothing to do "
        f"with the real ones, at most {words.percent(1 - found.confidence)} look good by chance in either. "
        "Intervals: Fisher's z with the jackknife's error; for differences, Zou's (2007).</p></footer>"
    )
