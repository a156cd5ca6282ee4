// The pages work without this script. With it, the footer tells how the page
// was answered, and a page with ?live=1 keeps itself up to date.
"use strict";

(() => {
  const feed = "/live"; // the proxy's route with "events: true"
  const answered = document.getElementById("answered");
  const live = document.getElementById("live");

  // ways are what RFC 9211 calls the ways of a request, in words.
  const ways = {
    "hit": "From the proxy's cache (hit)",
    "collapsed": "Fetched from the service together with others (miss)",
    "uri-miss": "Fetched from the service (miss)",
    "vary-miss": "Fetched from the service (miss)",
    "stale": "Fetched from the service (out of date in the cache)",
    "request": "Fetched from the service (the browser asked for a fresh copy)",
    "bypass": "Fetched from the service (past the cache)",
  };

  function show(place, ...parts) {
    place.replaceChildren(...parts);
    place.hidden = false;
  }

  // tell fills the footer from Server-Timing: a map of name to [description, duration in ms].
  function tell(timing) {
    const cache = timing.get("cache");
    if (!cache) {
      show(answered, "No proxy has said how this page was answered.");
      return;
    }
    let text = ways[cache[0]] ?? "Fetched from the service (" + cache[0] + ")";
    const age = timing.get("age");
    if (age) {
      const seconds = Math.floor(age[1] / 1000);
      text += ", " + (seconds < 1 ? "less than a second" : seconds === 1 ? "1 second" : seconds + " seconds") + " old";
    }
    const position = timing.get("position");
    if (position) text += ", as of position " + position[0];
    show(answered, text + ".");
  }

  function navigationTiming() {
    const found = new Map();
    const [navigation] = performance.getEntriesByType("navigation");
    for (const t of navigation?.serverTiming ?? []) found.set(t.name, [t.description, t.duration]);
    return found;
  }

  // parse reads a Server-Timing field of the proxy's own form.
  function parse(field) {
    const found = new Map();
    for (const metric of (field ?? "").split(",")) {
      const [name, ...parameters] = metric.split(";").map((s) => s.trim());
      const value = (key) => parameters.find((s) => s.startsWith(key + "="))?.slice(key.length + 1).replace(/^"|"$/g, "");
      if (name) found.set(name, [value("desc") ?? "", Number(value("dur") ?? 0)]);
    }
    return found;
  }

  // focusedLink finds the element that had the focus in the page's new content.
  function refocus(main, lost) {
    if (!lost) return;
    const again = lost.id ? document.getElementById(lost.id)
      : [...main.querySelectorAll("a[href]")].find((a) => a.getAttribute("href") === lost.getAttribute("href"));
    (again ?? main).focus({ preventScroll: true });
  }

  // refresh shows what the page's address leads to now. It returns whether that is something new.
  async function refresh() {
    const main = document.getElementById("main");
    const response = await fetch(location.href, { credentials: "same-origin" });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const next = page.getElementById("main");
    if (!next) throw new Error("no page");
    tell(parse(response.headers.get("Server-Timing")));
    if (next.innerHTML === shown) return false;
    shown = next.innerHTML;
    const lost = main.contains(document.activeElement) && document.activeElement !== main ? document.activeElement : null;
    main.replaceChildren(...next.childNodes);
    document.title = page.title;
    refocus(main, lost);
    return true;
  }
  let shown = document.getElementById("main").innerHTML;

  let running = false, again = false;
  // update refreshes, one at a time; what comes meanwhile makes one more. sure: something has changed,
  // so a page that looks the same is asked for once more a little later.
  async function update(sure) {
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      const changed = await refresh();
      if (changed) show(live, "Updated at " + new Date().toLocaleTimeString("en-GB") + ". ", off);
      else if (sure) setTimeout(() => update(false), 2000);
    } catch {
      show(live, "This page could not be refreshed; trying again. ", off);
      setTimeout(() => update(false), 5000);
    } finally {
      running = false;
      if (again) {
        again = false;
        update(true);
      }
    }
  }

  function link(text, on) {
    const at = new URL(location.href);
    if (on) at.searchParams.set("live", "1");
    else at.searchParams.delete("live");
    const a = document.createElement("a");
    a.href = at.pathname + at.search;
    a.textContent = text;
    return a;
  }
  const off = link("Stop", false);

  function listen() {
    const source = new EventSource(feed + "?url=" + encodeURIComponent(location.pathname + location.search));
    let opened = false;
    source.addEventListener("open", () => {
      opened = true;
      show(live, "This page keeps itself up to date. ", off);
      update(false); // what happened before the feed was there
    });
    source.addEventListener("purged", () => update(true));
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED) {
        show(live, "Connecting again. ", off);
        return;
      }
      show(live, opened ? "The feed has ended; trying again. " : "There is no feed for this page here; it stays as it is. ", off);
      setTimeout(listen, 10000 + Math.random() * 5000);
    });
  }

  tell(navigationTiming());
  if (document.querySelector("form.edit")) return; // what is being typed stays
  if (new URLSearchParams(location.search).get("live") === "1") listen();
  else show(live, link("Keep this page up to date", true));
})();
