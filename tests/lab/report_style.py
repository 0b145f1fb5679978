"""The style sheet of the table of steps: light and dark, telephone and wide screen."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b2430; --soft: #596575; --paper: #fff; --panel: #f6f7f9;
  --line: #d5dae1;
  --good: #17702f; --bad: #b00020; --wait: #c8394e; --mark: #9a6700; --bar: #2f6db5; --goodbar: #3d9a57; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #9aa6b5; --paper: #14181d;
  --panel: #1d232a;
  --line: #343c46; --good: #6cc784; --bad: #ff8a94; --wait: #d9586a; --mark: #e0b050; --bar: #5b95d8;
  --goodbar: #3f8f57; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em;
  color: var(--ink);
  background: var(--paper); overflow-wrap: anywhere; }
h1 { font-size: 1.5em; line-height: 1.25; margin-bottom: .2em; } h2 { font-size: 1.15em; margin: 2.2em 0 .6em; }
p.soft, .soft { color: var(--soft); } p { margin: .4em 0; }
.verdict { font-weight: 650; } .done { color: var(--good); } .failed { color: var(--bad); font-weight: 650; }
.hand, .open { color: var(--soft); }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 12px; }
th, td { padding: .35em .7em .35em 0; vertical-align: top; border-bottom: 1px solid var(--line); }
td.n, th.n { width: 2.6em; text-align: right; font-variant-numeric: tabular-nums; color: var(--soft); }
td.r { white-space: nowrap; } td.t, th.t, td.p, th.p { white-space: nowrap; text-align: right;
  font-variant-numeric: tabular-nums; }
td a { color: inherit; text-decoration-color: var(--line); text-underline-offset: 3px; }
td .why { display: block; color: var(--soft); font-size: 13px; }
.chart { display: grid; grid-template-columns: minmax(7em, 15em) 1fr; gap: .3em .8em; font-size: 13px;
  align-items: center; }
.chart .label { color: var(--soft); } .chart .head { grid-column: 1 / -1; font-weight: 600; margin-top: .6em; }
.track { display: flex; align-items: center; gap: .5em; } .track .bar { height: 12px; border-radius: 2px;
  min-width: 2px;
  background: var(--bar); flex: none; } .track .bar.lock { background: var(--mark); }
.track .ms { white-space: nowrap; font-variant-numeric: tabular-nums; }
article { border: 1px solid var(--line); border-radius: 6px; margin: .7em 0; background: var(--panel); }
article > details > summary { padding: .5em .8em; cursor: pointer; }
article .in { padding: 0 .9em .7em; font-size: 14px; } article ul { margin: .3em 0; padding-left: 1.3em; }
article.failed { border-color: var(--bad); font-weight: inherit; color: inherit; }
dl.why { margin: .4em 0; } dl.why dt { font-weight: 600; } dl.why dd { margin: 0 0 .4em; }
pre { background: var(--paper); border: 1px solid var(--line); padding: .7em; overflow-x: auto; font-size: 12px;
  white-space: pre; overflow-wrap: normal; }
.picture { margin: .8em 0; font-size: 12px; } .lanes { position: relative; padding-top: 30px; }
.lane { position: relative; height: 14px; margin: 17px 0 6px; background: var(--line); border-radius: 2px; }
.lane b { position: absolute; left: 0; top: -16px; padding-right: 5px; font-weight: 500; z-index: 1;
  background: var(--panel); }
.lane i { position: absolute; top: 0; bottom: 0; background: var(--goodbar); }
.lane i.w { background: var(--wait); }
.mark { position: absolute; top: 13px; bottom: 0; border-left: 2px dashed var(--mark); }
.mark.high { top: 0; }
.mark u { position: absolute; top: -2px; left: 4px; text-decoration: none; color: var(--mark);
  font-weight: 650; }
.axis { position: relative; height: 1.5em; color: var(--soft); } .axis span { position: absolute;
  transform: translateX(-50%); white-space: nowrap; } ol.marks { margin: .2em 0; padding-left: 1.6em; }
.machines td:first-child { font-weight: 600; }
@media (max-width: 640px) {
  body { margin-top: 1em; }
  table.steps, table.steps tbody, table.steps tr, table.steps td { display: block; border: 0; padding: 0; }
  table.steps thead { display: none; } table.steps tr { position: relative; padding: .5em 0 .5em 2.6em;
    border-bottom: 1px solid var(--line); }
  table.steps td.n { position: absolute; left: 0; width: 2em; }
table.steps td.r, table.steps td.t, table.steps td.p {
    display: inline-block; margin-right: 1em; text-align: left; font-size: 13px; }
  .chart { grid-template-columns: 1fr; gap: .1em; } .chart .track { margin-bottom: .4em; }
}
"""
