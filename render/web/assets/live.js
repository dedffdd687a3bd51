// The page works without this script. With it the page follows changes, shows times as ages, and filters while somebody types.
"use strict";
(() => {
  const doc = document, root = doc.documentElement, live = doc.getElementById("live");
  root.classList.add("js");

  // Ages of times: the absolute time stays as the title.
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const age = (date, now) => {
    const s = Math.round((now - date) / 1000), n = Math.abs(s);
    const [size, unit] = units.find(([size]) => n >= size) || units[3];
    const text = Math.floor(n / size) + " " + unit;
    return s >= 0 ? text + " ago" : "in " + text;
  };
  const local = new Intl.DateTimeFormat(undefined, {dateStyle: "medium", timeStyle: "medium"});
  const ages = (part) => {
    const now = Date.now();
    for (const t of part.querySelectorAll("time")) {
      const date = Date.parse(t.dateTime), text = age(date, now);
      if (t.textContent !== text) t.textContent = text;
      if (!t.title) t.title = local.format(date);
    }
  };

  // Patching: what is the same stays, with its focus, its scroll position and what is open.
  const patchAttributes = (old, now) => {
    for (const {name} of [...old.attributes]) {
      if (!now.hasAttribute(name) && !(name === "open" && old.tagName === "DETAILS")) old.removeAttribute(name);
    }
    for (const {name, value} of now.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
  };
  const patch = (old, now) => {
    if (old.isEqualNode(now)) return;
    if (old.nodeType !== 1) {
      if (old.nodeValue !== now.nodeValue) old.nodeValue = now.nodeValue;
      return;
    }
    patchAttributes(old, now);
    if (old.tagName === "INPUT" || old.tagName === "SELECT") return;
    const byID = new Map();
    for (const child of old.children) if (child.id) byID.set(child.id, child);
    let at = old.firstChild;
    for (let next = now.firstChild; next;) {
      const wanted = next;
      next = next.nextSibling;
      let same = wanted.id ? byID.get(wanted.id) : null;
      if (!same && !wanted.id && at && !at.id && at.nodeType === wanted.nodeType && at.nodeName === wanted.nodeName) same = at;
      if (!same) {
        const added = doc.importNode(wanted, true);
        if (wanted.id) added.classList.add("new");
        old.insertBefore(added, at);
        continue;
      }
      if (same === at) at = at.nextSibling;
      else old.insertBefore(same, at);
      if (same.id && !same.isEqualNode(wanted) && same.matches("tr,article,li")) flash(same);
      patch(same, wanted);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  };
  const flash = (node) => setTimeout(() => {
    node.classList.remove("new");
    void node.offsetWidth; // begins the animation anew
    node.classList.add("new");
    setTimeout(() => node.classList.remove("new"), 1600);
  });

  // Refreshing: one request at a time, at most four a second.
  let running = false, again = false, last = 0;
  const refresh = async () => {
    if (running) { again = true; return; }
    running = true;
    again = false;
    const wait = 250 - (performance.now() - last);
    if (wait > 0) await new Promise((done) => setTimeout(done, wait));
    last = performance.now();
    const address = location.href;
    try {
      const answer = await fetch(address, {headers: {Accept: "text/html"}, cache: "no-store"});
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (page.body.dataset.assets !== doc.body.dataset.assets) { if (page.body.dataset.assets) location.reload(); }
      else if (address === location.href) show(page);
      else again = true;
    } catch { lost(); }
    running = false;
    if (again) refresh();
  };
  const show = (page) => {
    const began = performance.now();
    for (const node of doc.querySelectorAll(".new")) node.classList.remove("new");
    ages(page);
    for (const part of ["body>header>nav", "#state", "#main", "footer"]) {
      const old = doc.querySelector(part), now = page.querySelector(part);
      if (old && now) patch(old, now);
    }
    doc.title = page.title;
    doc.body.dataset.sequence = page.body.dataset.sequence;
    root.dataset.patched = (performance.now() - began).toFixed(1);
  };

  // Events: only while somebody looks. Browsers allow few connections to a server.
  let events = null, since = Date.now();
  const say = (text, bad) => {
    if (live.textContent !== text) live.textContent = text;
    live.classList.toggle("lost", bad);
  };
  const lost = () => say("not connected; state of " + new Date(since).toLocaleTimeString(), true);
  const connect = () => {
    if (events || doc.hidden) return;
    events = new EventSource("/api/v1/events?after=" + doc.body.dataset.sequence);
    events.onopen = () => { say("live", false); refresh(); };
    events.addEventListener("change", refresh);
    events.onerror = () => {
      lost();
      if (events && events.readyState === 2) { events = null; setTimeout(connect, 2000); }
    };
  };
  doc.addEventListener("visibilitychange", () => {
    if (doc.hidden && events) { events.close(); events = null; }
    else connect();
  });
  addEventListener("pagehide", () => { if (events) { events.close(); events = null; } });
  addEventListener("pageshow", (e) => { if (e.persisted) { connect(); refresh(); } });
  setInterval(() => {
    if (doc.hidden) return;
    ages(doc);
    if (live.textContent === "live") since = Date.now();
  }, 1000);
  setInterval(() => { if (!doc.hidden && events && events.readyState === 1) refresh(); }, 5000); // figures change without an event

  // Filters: the address follows, so that it can be sent to somebody.
  let typing = 0;
  const filter = (form) => {
    const fields = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value) fields.append(name, value);
    const text = fields.toString();
    history.replaceState(null, "", location.pathname + (text ? "?" + text : ""));
    refresh();
  };
  doc.addEventListener("input", (e) => {
    if (!e.target.form) return;
    clearTimeout(typing);
    typing = setTimeout(filter, 120, e.target.form);
  });
  doc.addEventListener("submit", (e) => { e.preventDefault(); filter(e.target); });

  // The graph: what belongs to the node under the pointer or the focus.
  const hot = (e) => {
    const node = e.target.closest && e.target.closest(".graph a[data-n]");
    for (const old of doc.querySelectorAll(".graph.hot")) {
      old.classList.remove("hot");
      for (const on of old.querySelectorAll(".on")) on.classList.remove("on");
    }
    if (!node) return;
    const graph = node.closest(".graph");
    const mark = (from, to, side) => {
      for (const edge of graph.querySelectorAll("path[data-" + from + '="' + side + '"]')) {
        edge.classList.add("on");
        const other = edge.dataset[to], next = graph.querySelector('a[data-n="' + other + '"]');
        if (next && !next.classList.contains("on")) { next.classList.add("on"); mark(from, to, other); }
      }
    };
    graph.classList.add("hot");
    node.classList.add("on");
    mark("a", "b", node.dataset.n);
    mark("b", "a", node.dataset.n);
  };
  for (const name of ["pointerover", "focusin", "focusout"]) doc.addEventListener(name, hot);

  ages(doc);
  say("connecting", false);
  connect();
})();
