"use strict";
// The charts: uPlot on the snapshots that script.js keeps. Colours are those
// of the style sheet, so that a change between light and dark draws anew.
const OUTCOMES = ["hit", "miss", "stale", "revalidated", "collapsed", "bypass", "pass", "error"];
const SPAN = 300; // seconds that are shown
const plots = new Map();
let latest = null; // what was drawn last

const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const clock = splits => splits.map(s => new Date(1000 * s).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false }));

// plot makes a chart or gives it new data. lines are {label, colour, fill}.
function plot(id, data, lines, top, text, label) {
  const box = document.getElementById(id);
  box.setAttribute("aria-label", label);
  let p = plots.get(id);
  if (!p) {
    const grid = { stroke: colour("line"), width: 1 }, axis = { stroke: colour("quiet"), grid, ticks: grid, font: "12px system-ui, sans-serif" };
    p = new uPlot({
      width: box.clientWidth, height: box.clientHeight - (lines.length > 1 ? 64 : 0),
      legend: { show: lines.length > 1, live: false },
      cursor: { points: { size: 6 }, drag: { x: false, y: false } },
      scales: { x: { range: (u, low, high) => [Math.max(high - SPAN, Math.min(low, high - 30)), high] }, y: { range: (u, low, high) => [0, top(high)] } },
      axes: [{ ...axis, values: (u, splits) => clock(splits), space: 90 }, { ...axis, values: (u, splits) => splits.map(text), size: 64 }],
      series: [{}, ...lines.map(l => ({ label: l.label, stroke: colour(l.colour), fill: l.fill && colour(l.fill), width: 2, points: { show: false } }))],
    }, data, box);
    plots.set(id, p);
    return;
  }
  p.setData(data);
}

// again draws everything anew, in the colours of now.
function again() {
  for (const p of plots.values()) p.destroy();
  plots.clear();
  if (latest) drawCharts(...latest);
}

// fit follows the width of the window. A phone's bars change its height alone.
function fit() {
  for (const [id, p] of plots) {
    const width = document.getElementById(id).clientWidth;
    if (width !== p.width) p.setSize({ width, height: p.height });
  }
}

// drawCharts draws what lies between each snapshot and the one before.
function drawCharts(history, outcomes) {
  latest = [history, outcomes];
  if (history.length < 2) return;
  const steps = history.slice(1).map((h, i) => ({ h, d: since(h.outcomes, history[i].outcomes), span: Math.max(.001, (h.at - history[i].at) / 1000) }));
  const x = steps.map(s => s.h.at / 1000), last = steps[steps.length - 1];
  const ratios = steps.map(s => ratio(s.d));
  plot("chart-ratio", [x, ratios], [{ label: "hit ratio", colour: "curve", fill: "wash" }], () => 1, v => percent(v), "Hit ratio, now " + percent(ratios[ratios.length - 1]));
  plot("chart-behind", [x, steps.map(s => s.h.behind)], [{ label: "behind", colour: "lag", fill: "lagwash" }], high => Math.max(.05, 1.2 * (high || 0)), seconds,
    "Behind, now " + (last.h.behind === null ? "no proof" : seconds(last.h.behind)));
  const shown = OUTCOMES.filter(k => outcomes.get(k));
  const chart = plots.get("chart-rate");
  if (chart && chart.series.length !== shown.length + 1) { // an outcome that had not occurred before
    chart.destroy();
    plots.delete("chart-rate");
  }
  if (!shown.length) return;
  plot("chart-rate", [x, ...shown.map(k => steps.map(s => (s.d.get(k) || 0) / s.span))], shown.map(k => ({ label: k, colour: k })),
    high => Math.max(1, 1.1 * (high || 0)), number, "Requests a second, now " + number(total(last.d) / last.span));
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
addEventListener("resize", fit);
