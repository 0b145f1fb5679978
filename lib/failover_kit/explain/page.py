"""Stories as one HTML file that needs nothing else, readable in light and dark. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from failover_kit.explain.facts import Told
from failover_kit.explain.judge import Story, main_phases
from failover_kit.explain.picture import CLASS, picture
from failover_kit.explain.text import in_order, phase_words, safe, shortened, stories_numbered
from failover_kit.explain.times import clock, day, span
from failover_kit.manager.actions import Level

STYLE = """
:root { color-scheme: light dark; --ink: #1b2430; --faint: #5a6675; --paper: #ffffff; --panel: #f6f7f9;
  --rule: #d5dae1; --wait: #b9c2cd; --wait2: #d3dae2; --disk: #8b6fc0; --off: #b3261e; --read: #d0721a;
  --on: #2e8540; --start: #2f6db5; --stop: #8a6d1a; --runs: #5b8fce; --bad: #b00020; --warning: #b87700;
  --in: #ffffff;  --inwait: #1b2430; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --faint: #9aa7b6; --paper: #14181d; --panel: #1c2229;
  --rule: #38424e; --wait: #5d6875; --wait2: #46505b; --disk: #a58fd6; --off: #e5655c; --read: #e8984a;
  --on: #5bb873; --start: #6aa5e8; --stop: #cfae4e; --runs: #4a7fc0; --bad: #ff6b7a; --warning: #f0b44c;
  --in: #10141a;  --inwait: #e4e8ee; } }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1060px; margin: 2em auto; padding: 0 1em;
  color: var(--ink); background: var(--paper); }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2.4em; border-top: 1px solid var(--rule);
  padding-top: 1em; }
.wide { overflow-x: auto; } .faint { color: var(--faint); }
svg { box-sizing: border-box; width: 100%; min-width: 760px; height: auto; background: var(--panel);
  border: 1px solid var(--rule); border-radius: 4px; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg text.axis { fill: var(--faint); font-size: 11px; }
svg text.in { fill: var(--in); pointer-events: none; }
.tick { stroke: var(--rule); } .line { fill: var(--rule); }
.wait { fill: var(--wait); background: var(--wait); } .wait2 { fill: var(--wait2); background: var(--wait2); }
.disk { fill: var(--disk); background: var(--disk); } .off { fill: var(--off); background: var(--off); }
.read { fill: var(--read); background: var(--read); } .on { fill: var(--on); background: var(--on); }
.start { fill: var(--start); background: var(--start); } .stop { fill: var(--stop); background: var(--stop); }
.runs { fill: var(--runs); background: var(--runs); }
.bad { fill: var(--panel); stroke: var(--bad); stroke-width: 2; box-shadow: inset 0 0 0 2px var(--bad); }
.bad + text.in { fill: var(--ink); }
.wait + text.in, .wait2 + text.in { fill: var(--inwait); }
polygon.alarm { fill: var(--bad); } polygon.warning { fill: var(--warning); } polygon.order { fill: var(--start); }
table { border-collapse: collapse; font-size: 13px; } td { padding: 1px 10px 1px 0; vertical-align: top; }
td.ms { text-align: right; white-space: nowrap; } td.when { white-space: nowrap; color: var(--faint); }
td.who { white-space: nowrap; font-weight: 600; }
tr.warning td.what { color: var(--warning); } tr.alarm td.what { color: var(--bad); font-weight: 600; }
td.part { padding-left: 1.5em; } i.key { display: inline-block; width: 12px; height: 12px; border-radius: 2px; }
dl { display: grid; grid-template-columns: 5.5em 1fr; gap: .3em .8em; } dt { color: var(--faint); }
dd { margin: 0; } dd p { margin: 0 0 .15em; } summary { cursor: pointer; color: var(--faint); }
"""


def page(told: Told, stories: Sequence[Story]) -> str:
    """The whole document."""
    heading = f"What happened on {told.node} and {told.peer}" if told.node else "What happened"
    count = len(told.episodes)
    covers = f"{day(told.from_wall_ms)} to {day(told.to_wall_ms)}: " if told.from_wall_ms else ""
    lives = "1 life" if told.lives == 1 else f"{told.lives} lives"
    head = f"{covers}{count} episode{'' if count == 1 else 's'} in {lives} of failoverd, as {told.node} saw them"
    parts = [
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'/>"
        "<meta name='viewport' content='width=device-width'/>",
        f"<title>{safe(heading)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{safe(heading)}</h1><p>{safe(head)}</p>",
        *(f"<p>{safe(remark)}</p>" for remark in told.remarks),
        "<p class='faint'>Thick bars: phases, in the lane of who did them. The thin bar below a node's lane: a "
        "group is known to run there. Triangles: orders, warnings and alarms; point at anything to read it. Times "
        "are of this journal's node.</p>",
        *(_story(number, story) for number, story in stories_numbered(told, stories)),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _story(number: int, story: Story) -> str:
    episode = story.episode
    rows = "".join(
        f"<dt>{label}</dt><dd>{''.join(f'<p>{safe(sentence)}</p>' for sentence in sentences)}</dd>"
        for label, sentences in (
            ("why", story.why),
            ("decided", story.decided),
            ("proof", story.proof),
            ("end", story.outcome),
            ("unknown", tuple(episode.unknown)),
            ("do", story.todo),
        )
        if sentences
    )
    return "\n".join(
        [
            f"<h2>#{number} {safe(story.title)}</h2>",
            f"<p class='faint'>{day(episode.begin_wall_ms)}, {span(story.total_ms)}</p>",
            f"<div class='wide'>{picture(episode, number)}</div>",
            f"<dl>{rows}</dl>",
            _took(story),
            f"<details><summary>timeline</summary><table>{_moments(story)}</table></details>",
        ]
    )


def _took(story: Story) -> str:
    phases, more = shortened(main_phases(story.episode))
    rows = []
    for phase in phases:
        what, took = phase_words(phase)
        key = CLASS[phase.step] if phase.good else "bad"
        part = " class='part'" if phase.inside else ""
        cells = f"<td{part}>{safe(what)}</td><td class='ms'>{safe(took)}</td>"
        rows.append(f"<tr><td><i class='key {key}'></i></td>{cells}</tr>")
    rows += [f"<tr><td></td><td>{safe(sentence)}</td><td></td></tr>" for sentence in more]
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _moments(story: Story) -> str:
    rows = []
    for moment in in_order(story.episode.moments):
        loud = "" if moment.level is Level.INFO else f"{moment.level.value.upper()}: "
        last = clock(story.episode, moment.last_ms)
        again = f" ({moment.count} times, the last at {last})" if moment.count > 1 else ""
        cells = (
            f"<td class='when'>{clock(story.episode, moment.at_ms)}</td><td class='who'>{safe(moment.lane)}</td>"
            f"<td class='what'>{safe(loud + moment.text + again)}</td>"
        )
        rows.append(f"<tr class='{moment.level.value}'>{cells}</tr>")
    return "".join(rows)
