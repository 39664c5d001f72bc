#include "apps/report/page_style.h"

namespace flagen::apps::report {

const char* const kPageStyle = R"(
:root {
  --ground: #ffffff; --panel: #f6f7f9; --ink: #1b1f24; --soft: #57606a; --rule: #d5dae0; --grid: #e4e8ec;
  --warn: #fff6e0; --warn-edge: #c98a00;
  --s0: #0072b2; --s1: #d55e00; --s2: #008a64; --s3: #a94f86;
  --observed: #7c8794; --predicted: #0072b2; --held: #d55e00;
  --d0: #a9cbe6; --d1: #7fb2da; --d2: #5596c9; --d3: #2f79b3; --d4: #145a93; --d5: #06335c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171b; --panel: #1d2126; --ink: #e8ebee; --soft: #a3adb8; --rule: #3a424b; --grid: #2a3037;
    --warn: #332a14; --warn-edge: #e0a526;
    --s0: #56b4e9; --s1: #f0883e; --s2: #2fc79a; --s3: #e29ac8;
    --observed: #8f9aa6; --predicted: #56b4e9; --held: #f0883e;
    --d0: #24506f; --d1: #2f6d96; --d2: #3d8cbd; --d3: #63acd6; --d4: #98cdea; --d5: #e0f2fb;
  }
}
@media print {
  :root {
    --ground: #ffffff; --panel: #f6f7f9; --ink: #000000; --soft: #444c56; --rule: #c4cad1; --grid: #e4e8ec;
    --warn: #fff6e0; --warn-edge: #c98a00;
    --s0: #0072b2; --s1: #d55e00; --s2: #008a64; --s3: #a94f86;
    --observed: #7c8794; --predicted: #0072b2; --held: #d55e00;
    --d0: #a9cbe6; --d1: #7fb2da; --d2: #5596c9; --d3: #2f79b3; --d4: #145a93; --d5: #06335c;
  }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  h2 { break-after: avoid; }
  figure, table, .tiles, .note { break-inside: avoid; }
  details:not([open]) { display: none; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", "Liberation Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 24px 48px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 20px; margin: 40px 0 12px; padding-top: 12px; border-top: 1px solid var(--rule); }
h3 { font-size: 15px; line-height: 1.35; margin: 0 0 8px; }
p { margin: 0 0 12px; max-width: 78ch; overflow-wrap: anywhere; }
.subtitle { color: var(--soft); font-size: 16px; margin-bottom: 20px; }
.note { background: var(--warn); border-left: 4px solid var(--warn-edge); padding: 8px 12px; border-radius: 0 4px 4px 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 12px; margin: 0 0 20px; }
.tile { background: var(--panel); border-radius: 6px; padding: 12px 16px; display: flex; flex-direction: column; }
.tile .number { font-size: 30px; line-height: 1.2; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile .detail { color: var(--soft); font-size: 13px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px; margin: 0 0 12px; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 0 0 12px; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding: 0 0 6px; }
th, td { padding: 4px 14px 4px 0; vertical-align: bottom; }
th { font-weight: 600; border-bottom: 1px solid var(--ink); line-height: 1.25; max-width: 12em; }
tr.rule td { border-top: 1px solid var(--rule); }
.word { text-align: left; } td.word { white-space: nowrap; } .figure { text-align: right; }
.strong { font-weight: 700; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 500px), 1fr)); gap: 28px; }
figure { margin: 0; min-width: 0; }
figure:not(.wide) h3 { min-height: 2.7em; display: flex; align-items: flex-end; }
figure.wide { grid-column: 1 / -1; }
figcaption { color: var(--soft); font-size: 13px; line-height: 1.4; margin-top: 4px; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; }
pre { font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", "Liberation Mono", monospace; background: var(--panel);
  padding: 12px; border-radius: 6px; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; font-weight: 600; }
footer { color: var(--soft); font-size: 13px; margin-top: 40px; }
svg text { font-family: inherit; fill: var(--ink); }
svg .tick, svg .key { font-size: 12px; } svg .label { font-size: 13px; } svg .tick { fill: var(--soft); }
svg .value { font-size: 13px; font-weight: 600; }
svg .grid { stroke: var(--grid); stroke-width: 1; }
svg .axis { stroke: var(--soft); stroke-width: 1; }
svg .leader { stroke: var(--rule); stroke-width: 1; fill: none; }
svg .identity { stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 6 4; }
svg .median { stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 2 3; }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg .line.s0 { stroke: var(--s0); } svg .line.s1 { stroke: var(--s1); stroke-dasharray: 7 4; }
svg .line.s2 { stroke: var(--s2); stroke-dasharray: 2 4; } svg .line.s3 { stroke: var(--s3); stroke-dasharray: 10 3 2 3; }
svg .line.outline { stroke: var(--ink); stroke-width: 1.4; }
svg .dot.s0, svg .bar.s0 { fill: var(--s0); } svg .dot.s1, svg .bar.s1 { fill: var(--s1); }
svg .dot.s2, svg .bar.s2 { fill: var(--s2); } svg .dot.s3, svg .bar.s3 { fill: var(--s3); }
svg .observed { fill: var(--observed); } svg .predicted { fill: var(--predicted); }
svg .gene { fill: var(--observed); } svg .gene.held { fill: var(--held); }
svg .d0 { fill: var(--d0); } svg .d1 { fill: var(--d1); } svg .d2 { fill: var(--d2); }
svg .d3 { fill: var(--d3); } svg .d4 { fill: var(--d4); } svg .d5 { fill: var(--d5); }
)";

}  // namespace flagen::apps::report
