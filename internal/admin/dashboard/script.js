"use strict";
// What the page keeps: five minutes of snapshots, one a second.
const KEEP = 300, AVERAGE = 10;
const history = [];
const $ = id => document.getElementById(id);

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const number = n => (Math.abs(n) < 10 ? fine : whole).format(n);
const percent = r => r === null ? "–" : fine.format(100 * r) + " %";
function bytes(n) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (n < 1024 || unit === "GiB") return number(n) + " " + unit;
    n /= 1024;
  }
}
const seconds = s => s < 1 ? fine.format(1000 * s) + " ms" : fine.format(s) + " s";

function put(id, text) {
  const e = $(id);
  if (e.textContent !== text) e.textContent = text;
}

// sum adds up a metric's series by one label; where picks among them.
function sum(snapshot, name, label, where) {
  const out = new Map();
  for (const s of snapshot.counters["walpurge_" + name + "_total"] || []) {
    if (where && !where(s.labels)) continue;
    const key = label ? s.labels[label] : "";
    out.set(key, (out.get(key) || 0) + s.value);
  }
  return out;
}
const total = map => [...map.values()].reduce((a, b) => a + b, 0);
const since = (now, then) => new Map([...now].map(([k, v]) => [k, Math.max(0, v - (then.get(k) || 0))]));

// ratio is hits among what could have been one, or null without any.
function ratio(outcomes) {
  const n = k => outcomes.get(k) || 0;
  const all = total(outcomes) - n("pass") - n("bypass");
  return all > 0 ? (n("hit") + n("stale")) / all : null;
}

function rows(id, list) {
  const body = $(id);
  const trs = list.map(cells => {
    const tr = document.createElement("tr");
    cells.forEach(cell => {
      const td = document.createElement("td");
      const [text, kind] = Array.isArray(cell) ? cell : [cell, "n"];
      td.textContent = text;
      if (kind) td.className = kind;
      tr.append(td);
    });
    return tr;
  });
  body.replaceChildren(...trs);
}

function facts(id, list) {
  const all = [];
  for (const [name, value] of list) {
    for (const [i, v] of (Array.isArray(value) ? value : [value]).entries()) {
      const dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = i ? "" : name;
      dd.textContent = v;
      all.push(dt, dd);
    }
  }
  $(id).replaceChildren(...all);
}

function tiles(s, outcomes, span) {
  const st = s.status, first = history[0];
  put("total", whole.format(total(outcomes)));
  put("total-sub", "up " + st.uptime + ", " + number(st.connections) + " connections");
  const recent = ratio(since(outcomes, first.outcomes));
  put("ratio", percent(recent === null ? ratio(outcomes) : recent));
  put("ratio-sub", recent === null ? "since the start" : "last " + (span < 90 ? whole.format(span) + " s" : whole.format(span / 60) + " min"));

  const g = st.guard, db = st.database;
  $("behind").className = g && g.behind_seconds === undefined ? "bad" : "";
  put("behind", !g ? "–" : g.behind_seconds === undefined ? "no proof" : seconds(g.behind_seconds));
  put("behind-sub", db && db.state ? db.state : g ? "" : "no database is followed");
  const m = st.memory;
  put("memory", bytes(m.bytes));
  put("memory-sub", "of " + bytes(m.limit) + ", " + whole.format(m.entries) + " responses");
  redis(s, st.redis);
  const epochs = sum(s, "epochs", "reason");
  put("epoch", g ? whole.format(total(epochs)) : "–");
  put("epoch-sub", g ? "now " + g.epoch : "");
}

// redis shows what the servers say of themselves: of all that they hold, since nobody can say it of the responses alone.
function redis(s, r) {
  const servers = r && r.servers || [], add = name => servers.reduce((n, one) => n + one[name], 0);
  const limit = servers.every(one => one.limit_bytes > 0) ? " of " + bytes(add("limit_bytes")) : "";
  $("redis").className = r && !r.reachable ? "bad" : "";
  put("redis", !r ? "off" : !r.reachable ? "unreachable" : servers.length ? bytes(add("used_bytes")) : "reachable");
  put("redis-sub", !r ? "memory tier alone"
    : servers.length && r.reachable ? "in use" + limit + ", " + whole.format(add("keys")) + " keys, whoever wrote them"
    : whole.format(total(sum(s, "redis_requests"))) + " requests, " + bytes(r.queued_bytes) + " queued");
  $("redis-section").hidden = !r;
  if (!r) return;
  $("servers-table").hidden = servers.length === 0;
  rows("servers", servers.map(one => [[one.node, ""], bytes(one.used_bytes),
    one.limit_bytes ? bytes(one.limit_bytes) : "no limit", [one.limit_bytes ? one.policy : "", "wide-only"], [whole.format(one.keys), "n wide-only"], whole.format(one.evicted_keys)]));
  put("redis-note", (servers.length ? "A server tells of all that it holds, whoever wrote it. " : "The servers don't say how large they are. ")
    + "How much of it are responses can't be asked. This process has written " + whole.format(r.written_entries) + " responses, " + bytes(r.written_bytes)
    + (r.queued_bytes ? ", and has " + bytes(r.queued_bytes) + " yet to write" : "") + "; what of it has ended since is not known.");
}

function lists(s, outcomes) {
  const then = history[Math.max(0, history.length - 1 - AVERAGE)], span = (s.at - then.at) / 1000;
  const rate = (now, before) => span > 0 ? fine.format(Math.max(0, now - (before || 0)) / span) : "–";
  rows("outcomes", [...outcomes].sort((a, b) => b[1] - a[1]).map(([k, n]) => [[k, ""], rate(n, then.outcomes.get(k)), whole.format(n)]));

  rows("routes", (s.status.top_routes || []).map(r => [[r.route, ""], rate(r.requests, then.routes.get(r.route)), whole.format(r.requests), percent(r.hits)]));

  const keys = s.status.top_keys || [];
  $("keys-section").hidden = keys.length === 0;
  rows("keys", keys.map(k => [[k.url, "url"], percent(k.share), percent(k.hits)]));

  const members = s.status.database && s.status.database.members || [];
  $("members-section").hidden = members.length === 0;
  rows("members", members.map(m => [[m.host + " " + m.pid + (m.self ? " (this one)" : ""), ""], [m.role, ""], [m.epoch, "wide-only"], [m.applied, "wide-only"],
    m.behind_ms < 0 ? "no proof" : seconds(m.behind_ms / 1000)]));

  const changed = sum(s, "changes", "table"), purged = sum(s, "purged_entries", "table");
  $("tables-section").hidden = changed.size + purged.size === 0;
  rows("tables", [...new Set([...changed.keys(), ...purged.keys()])].sort()
    .map(t => [[t, ""], whole.format(changed.get(t) || 0), whole.format(purged.get(t) || 0)]));
  const epochs = sum(s, "epochs", "reason");
  $("epochs-section").hidden = epochs.size === 0;
  rows("epochs", [...epochs].sort((a, b) => b[1] - a[1]).map(([k, n]) => [[k, ""], whole.format(n)]));

  const changes = s.changes || [];
  $("changes-section").hidden = changes.length === 0;
  rows("changes", changes.map(c => [[new Date(c.at).toLocaleTimeString(), ""], [c.table, ""], [c.op, ""],
    whole.format(c.rows), whole.format(c.purged), c.took_ms < 1 ? whole.format(1000 * c.took_ms) + " µs" : fine.format(c.took_ms) + " ms"]));
}

function database(s) {
  const db = s.status.database, g = s.status.guard;
  const list = [];
  const add = (name, v) => v !== undefined && v !== null && v !== "" && list.push([name, String(v)]);
  if (db) {
    add("State", db.state); add("Role", db.role); add("Slot", db.slot); add("Publication", db.publication);
    add("WAL kept", db.retained_bytes >= 0 ? bytes(db.retained_bytes) + (db.wal_status ? " (" + db.wal_status + ")" : "") : "not known");
    add("Pending", db.pending + " transactions");
  }
  if (g) {
    add("Epoch", g.epoch); add("Applied", g.applied); add("Watermark", g.watermark);
  }
  if (db && db.waiting_for) add("Waiting for", db.waiting_for);
  if (db && db.last_error) {
    add("Last error", db.last_error + " (" + new Date(db.last_error_at).toLocaleString() + ")");
  }
  for (const [name, metric, label] of [["Fills discarded", "fills_discarded", "reason"], ["Audits", "audit", "result"]]) {
    const m = sum(s, metric, label);
    if (m.size) list.push([name, [...m].map(([k, n]) => whole.format(n) + " " + k)]);
  }
  if (!list.length) add("State", "no database is followed");
  facts("database", list);
}

function state(text, kind) {
  put("ready", text);
  $("ready").className = "state " + kind;
}

function show(s) {
  const outcomes = sum(s, "requests", "outcome");
  // The program has been started again: old numbers say nothing about the new ones.
  const last = history[history.length - 1];
  if (last && total(outcomes) < total(last.outcomes)) history.length = 0;
  const g = s.status.guard;
  history.push({ at: s.at, outcomes, behind: g && g.behind_seconds !== undefined ? g.behind_seconds : null, routes: sum(s, "requests", "route") });
  if (history.length > KEEP + 1) history.shift();
  const span = (s.at - history[0].at) / 1000;

  state(s.status.ready ? "Ready" : s.status.readiness, s.status.ready ? "good" : "bad");
  tiles(s, outcomes, span);
  drawCharts(history, outcomes);
  lists(s, outcomes);
  database(s);
  $("purge-token-row").hidden = !s.token_needed;
  for (const e of $("purge").elements) e.disabled = !s.can_purge;
  if (!s.can_purge) put("purged", "Purging needs a connection to PostgreSQL.");
}

function connect() {
  const source = new EventSource("events");
  source.onmessage = e => show(JSON.parse(e.data));
  source.onerror = () => {
    state("The proxy does not answer; trying again", "bad");
    // The browser gives up after an answer that is no stream, such as "too many".
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 5000);
  };
}

async function answer(response) {
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail || body.title || "status " + response.status);
  return body;
}

const words = name => (name[0].toUpperCase() + name.slice(1)).replaceAll("_", " ");
const plain = v => v === true ? "yes" : v === false ? "no" : Array.isArray(v) ? v.map(String) : String(v);

$("explain").addEventListener("submit", async event => {
  event.preventDefault();
  try {
    const ex = await answer(await fetch("explain?url=" + encodeURIComponent($("explain-url").value.trim())));
    facts("explanation", Object.entries(ex).map(([k, v]) => [words(k), plain(v)]));
  } catch (err) {
    facts("explanation", [["Error", err.message]]);
  }
});

$("purge").addEventListener("submit", async event => {
  event.preventDefault();
  const headers = { "Content-Type": "application/json" };
  if ($("purge-token").value) headers.Authorization = "Bearer " + $("purge-token").value;
  try {
    const groups = $("purge-groups").value.trim().split(/\s+/);
    const done = await answer(await fetch("purge", { method: "POST", headers, body: JSON.stringify({ groups }) }));
    put("purged", "Purged " + done.groups.join(", ") + " at position " + done.position + ".");
  } catch (err) {
    put("purged", "Not purged: " + err.message);
  }
});

connect();
