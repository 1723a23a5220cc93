"use strict";
// The page of cluster-report. All text of documents enters through textContent: it is never markup.
(() => {
  const ROW = 28;
  const MARKS = { exclude: "✕", unsure: "?", keep: "✓" };
  const SVG = "http://www.w3.org/2000/svg";
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("clusters").textContent);
  const { columns, labels, clusters } = data;
  const place = new Map(columns.map((name, i) => [name, i]));
  const SIZE = place.get("total_examples");
  const known = new Map(clusters.map((cluster, i) => [cluster.id, i]));
  const collator = new Intl.NumberFormat("en", { maximumSignificantDigits: 5 });
  const store = "cluster-report:" + data.key;

  // ---- elements

  const put = (parent, tag, props = {}, ...inner) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(props)) {
      if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
      else if (name in element && name !== "list") element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...inner);
    parent?.append(element);
    return element;
  };
  const draw = (parent, tag, props = {}) => {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(props)) element.setAttribute(name, value);
    parent.append(element);
    return element;
  };
  const shown = (value) =>
    value === null || value === undefined ? "–" : Number.isInteger(value) ? value.toLocaleString("en") : collator.format(value);

  // What would change the line it stands in, or cannot be seen, is shown as its code.
  const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\ufff9-\ufffb]/u;
  const write = (parent, text, wanted) => {
    const step = (from, to, tag) => {
      let plain = "";
      const flush = () => { if (plain) tag ? put(parent, "mark", {}, plain) : parent.append(plain); plain = ""; };
      for (const sign of text.slice(from, to)) {
        if (!HIDDEN.test(sign)) { plain += sign; continue; }
        flush();
        put(parent, "span", { className: "code" }, "U+" + sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0"));
      }
      flush();
    };
    const low = wanted.length ? text.toLowerCase() : "";
    const safe = low.length === text.length;
    let at = 0;
    while (safe && wanted.length) {
      const next = wanted.map((word) => [low.indexOf(word, at), word]).filter(([i]) => i >= 0).sort((a, b) => a[0] - b[0])[0];
      if (!next) break;
      step(at, next[0], false);
      step(next[0], next[0] + next[1].length, true);
      at = next[0] + next[1].length;
    }
    step(at, text.length, false);
  };

  // ---- texts: read when a cluster is looked at, or searched

  const texts = (cluster) => {
    const source = byId("texts-" + cluster.id);
    return source ? JSON.parse(source.textContent) : { closest: [], farthest: [] };
  };
  const hay = new Map();
  const haystack = (cluster) => {
    if (!hay.has(cluster.id)) {
      const { closest, farthest } = texts(cluster);
      const all = [...closest, ...farthest].map(([text]) => text);
      hay.set(cluster.id, [...all, ...cluster.labels.filter(Boolean), ...cluster.words.map(([word]) => word)].join("\n").toLowerCase());
    }
    return hay.get(cluster.id);
  };

  // ---- marks

  const marks = new Map();
  const tell = (text) => { byId("told").textContent = text; };
  const markOf = (id) => marks.get(id)?.mark ?? "";
  const setMark = (id, change) => {
    const now = { mark: "", note: "", ...marks.get(id), ...change };
    if (now.mark || now.note) marks.set(id, now); else marks.delete(id);
  };
  const given = () => {
    marks.clear();
    for (const cluster of clusters) if (cluster.mark) setMark(cluster.id, { mark: cluster.mark, note: cluster.note });
  };
  const save = () => {
    try {
      localStorage.setItem(store, JSON.stringify([...marks]));
    } catch {
      tell("This browser keeps nothing for this page: export the marks before you leave.");
    }
  };
  const load = () => {
    given();
    try {
      const kept = JSON.parse(localStorage.getItem(store));
      if (!Array.isArray(kept)) return;
      marks.clear();
      for (const [id, { mark, note }] of kept) if (known.has(id)) setMark(id, { mark: mark in MARKS ? mark : "", note: String(note) });
    } catch { /* nothing was kept */ }
  };
  const lines = (rows) => rows.map((row) => row.join("\t") + "\n").join("");
  const flat = (note) => note.replace(/[\t\r\n]+/g, " ").trim();
  const excluded = () => lines([...marks].filter(([, m]) => m.mark === "exclude").sort((a, b) => a[0] - b[0])
    .map(([id, m]) => (flat(m.note) ? [id, flat(m.note)] : [id])));
  const everything = () => lines([...marks].sort((a, b) => a[0] - b[0]).map(([id, m]) => [id, m.mark || "-", flat(m.note)]));
  const download = (name, text) => {
    const link = put(null, "a", { download: name, href: URL.createObjectURL(new Blob([text], { type: "text/plain" })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  // Lines of cluster, TAB, note (excluded ones), or of cluster, TAB, mark, TAB, note.
  const read = (text) => {
    const found = [];
    for (const [number, line] of text.split("\n").entries()) {
      if (line.trim() === "") continue;
      const [id, second = "", ...rest] = line.replace(/\r$/, "").split("\t");
      const marked = rest.length > 0 && (second in MARKS || second === "-");
      if (!/^\d+$/.test(id.trim()) || !known.has(Number(id))) throw new Error(`line ${number + 1}: no cluster of this page: ${id.slice(0, 40)}`);
      found.push([Number(id), marked ? { mark: second === "-" ? "" : second, note: rest.join(" ") } : { mark: "exclude", note: [second, ...rest].join(" ") }]);
    }
    return found;
  };

  // ---- what is shown

  const state = { sort: SIZE === undefined ? -1 : SIZE, down: true, query: "", colour: 0, chosen: -1, order: [], wanted: [] };
  const value = (cluster, column) => (column < 0 ? cluster.id : cluster.numbers[column]);

  const COMPARE = { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b, "=": (a, b) => a === b, "!=": (a, b) => a !== b };
  const parse = (query) => {
    const tests = [], words = [];
    for (const part of query.match(/"[^"]*"|\S+/g) ?? []) {
      const [, name, sign, right] = /^([^<>=!"]+)(<=|>=|!=|<|>|=)(.+)$/.exec(part) ?? [];
      if (name === "mark") tests.push((cluster) => COMPARE[sign]?.(markOf(cluster.id) || "none", right));
      else if (name === "cluster") tests.push((cluster) => COMPARE[sign](cluster.id, Number(right)));
      else if (place.has(name)) tests.push((cluster) => { const n = cluster.numbers[place.get(name)]; return n !== null && COMPARE[sign](n, Number(right)); });
      else words.push(part.replaceAll('"', "").toLowerCase());
    }
    return { tests, words: words.filter(Boolean) };
  };

  const arrange = () => {
    const { tests, words } = parse(state.query);
    state.wanted = words;
    const fits = (cluster) => tests.every((test) => test(cluster)) && words.every((word) => haystack(cluster).includes(word));
    const order = clusters.map((_, i) => i).filter((i) => fits(clusters[i]));
    const sign = state.down ? -1 : 1;
    order.sort((a, b) => {
      const [x, y] = [value(clusters[a], state.sort), value(clusters[b], state.sort)];
      if (x === y) return clusters[a].id - clusters[b].id;
      if (x === null || y === null) return x === null ? 1 : -1;
      return sign * (x - y);
    });
    state.order = order;
  };

  const totals = () => {
    const sums = columns.flatMap((name, i) => (name.startsWith("total_") && !name.includes("@") ? [[name, i]] : []));
    const parts = sums.map(([name, i]) => {
      let all = 0, stay = 0;
      for (const cluster of clusters) {
        all += cluster.numbers[i] ?? 0;
        if (markOf(cluster.id) !== "exclude") stay += cluster.numbers[i] ?? 0;
      }
      const what = name === "total_examples" ? "documents" : name.slice("total_".length);
      return `${shown(stay)} of ${shown(all)} ${what} stay${all ? ` (${(100 * stay / all).toFixed(1)} %)` : ""}`;
    });
    const count = (mark) => clusters.filter((cluster) => markOf(cluster.id) === mark).length;
    byId("totals").textContent = [`${shown(clusters.length)} clusters`, `${count("exclude")} excluded`, `${count("unsure")} unsure`, `${count("keep")} kept`,
      `${shown(state.order.length)} shown`, ...parts].join(" · ");
  };

  // ---- the list: only the rows that can be seen are there

  const list = byId("list"), space = byId("space");
  const NARROW = matchMedia("(max-width: 48rem)");
  const listed = () => columns.slice(0, NARROW.matches ? 3 : 5).map((_, i) => i);
  const rows = (from, to) => {
    space.replaceChildren();
    for (let at = from; at < Math.min(to, state.order.length); at++) {
      const i = state.order[at], cluster = clusters[i], mark = markOf(cluster.id);
      const row = put(space, "div", { className: "row" + (i === state.chosen ? " chosen" : ""), role: "row", "aria-selected": i === state.chosen, on: { click: () => choose(i) } });
      row.style.top = at * ROW + "px";
      row.dataset.mark = mark;
      row.dataset.cluster = cluster.id;
      put(row, "span", { className: "sign", role: "cell" }, MARKS[mark] ?? "");
      put(row, "span", { className: "number", role: "cell" }, String(cluster.id));
      for (const column of listed()) put(row, "span", { role: "cell" }, shown(cluster.numbers[column]));
    }
  };
  const scroll = () => {
    const from = Math.max(0, Math.floor(list.scrollTop / ROW) - 10);
    rows(from, from + Math.ceil(list.clientHeight / ROW) + 20);
  };
  const head = () => {
    const line = byId("head");
    line.replaceChildren();
    list.style.setProperty("--columns", listed().length);
    line.style.setProperty("--columns", listed().length);
    put(line, "span");
    for (const column of [-1, ...listed()]) {
      const name = column < 0 ? "cluster" : columns[column];
      const arrow = column === state.sort ? (state.down ? "↓ " : "↑ ") : "";
      put(line, "button", { title: name, on: { click: () => sortBy(column) } }, arrow + name);
    }
  };
  const sortBy = (column) => {
    state.down = column === state.sort ? !state.down : column >= 0;
    state.sort = column;
    byId("sort").value = column;
    refresh();
  };

  // ---- the maps

  // Squarified treemap (Bruls, Huizing and van Wijk, 2000): sizes in descending order, rows along the shorter side.
  const treemap = (sizes, width, height) => {
    const total = sizes.reduce((sum, [, size]) => sum + size, 0);
    const scale = (width * height) / total;
    const out = [];
    let [x, y, w, h] = [0, 0, width, height];
    let at = 0;
    while (at < sizes.length) {
      const side = Math.min(w, h);
      let sum = 0, end = at, worst = Infinity;
      while (end < sizes.length) {
        const next = sum + sizes[end][1] * scale;
        const [most, least] = [sizes[at][1] * scale, sizes[end][1] * scale];
        const shape = Math.max((side * side * most) / (next * next), (next * next) / (side * side * least));
        if (shape > worst) break;
        [worst, sum, end] = [shape, next, end + 1];
      }
      const thick = sum / side;
      let along = 0;
      for (; at < end; at++) {
        const long = (sizes[at][1] * scale) / thick;
        out.push(w < h ? [sizes[at][0], x + along, y, long, thick] : [sizes[at][0], x, y + along, thick, long]);
        along += long;
      }
      if (w < h) { y += thick; h -= thick; } else { x += thick; w -= thick; }
    }
    return out;
  };
  const shapes = [];
  const maps = () => {
    byId("maps").replaceChildren();
    shapes.length = 0;
    if (data.map) bubbles();
    else for (const [name, column] of data.areas.map((name) => [name, place.get(name)])) tiles(name, column);
    tint();
  };
  const canvas = (caption) => {
    const figure = put(byId("maps"), "figure");
    const picture = draw(figure, "svg", { viewBox: "0 0 600 360", role: "img", "aria-label": caption });
    put(figure, "figcaption", {}, caption);
    return picture;
  };
  const shape = (picture, tag, i, props) => {
    const drawn = draw(picture, tag, { ...props, class: "shape" });
    drawn.addEventListener("click", () => choose(i));
    shapes.push([i, drawn]);
    return drawn;
  };
  const tiles = (name, column) => {
    const sizes = clusters.map((cluster, i) => [i, cluster.numbers[column] ?? 0]).filter(([, size]) => size > 0);
    sizes.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    const picture = canvas(`area: ${name}`);
    for (const [i, x, y, w, h] of treemap(sizes, 600, 360)) {
      const drawn = shape(picture, "rect", i, { x, y, width: w, height: h });
      draw(drawn, "title").textContent = `${clusters[i].id}: ${shown(clusters[i].numbers[column])}`;
      if (w > 26 && h > 15) draw(picture, "text", { x: x + 4, y: y + 13 }).textContent = clusters[i].id;
    }
  };
  const bubbles = () => {
    const there = clusters.map((cluster, i) => [i, cluster]).filter(([, cluster]) => cluster.at);
    const ends = (axis) => there.reduce(([low, high], [, cluster]) => [Math.min(low, cluster.at[axis]), Math.max(high, cluster.at[axis])], [Infinity, -Infinity]);
    const [xs, ys] = [ends(0), ends(1)];
    const spread = ([low, high], t, size) => 30 + (high > low ? (t - low) / (high - low) : .5) * (size - 60);
    const most = Math.max(1, ...there.map(([, cluster]) => cluster.numbers[SIZE] ?? 0));
    const picture = canvas("where clusters lie; area: total_examples");
    there.sort((a, b) => (b[1].numbers[SIZE] ?? 0) - (a[1].numbers[SIZE] ?? 0));
    for (const [i, cluster] of there) {
      const drawn = shape(picture, "circle", i, { cx: spread(xs, cluster.at[0], 600), cy: 360 - spread(ys, cluster.at[1], 360), r: 2 + 22 * Math.sqrt((cluster.numbers[SIZE] ?? 0) / most) });
      draw(drawn, "title").textContent = `${cluster.id}: ${shown(cluster.numbers[SIZE])}`;
    }
  };
  const tint = () => {
    const all = clusters.map((cluster) => value(cluster, state.colour)).filter((n) => n !== null && n !== undefined).sort((a, b) => a - b);
    const rank = (n) => { let [low, high] = [0, all.length]; while (low < high) { const mid = (low + high) >> 1; if (all[mid] < n) low = mid + 1; else high = mid; } return low / Math.max(1, all.length - 1); };
    const there = new Set(state.order);
    for (const [i, drawn] of shapes) {
      const n = value(clusters[i], state.colour);
      const t = n === null || n === undefined ? 0 : rank(n);
      drawn.style.fill = markOf(clusters[i].id) === "exclude" ? "" : `oklch(${.86 - .42 * t} ${.05 + .08 * t} ${250 - 90 * t})`;
      drawn.dataset.mark = markOf(clusters[i].id);
      drawn.setAttribute("class", "shape" + (i === state.chosen ? " chosen" : "") + (there.has(i) ? "" : " away"));
    }
  };

  // ---- one cluster

  const BINS = 48;
  const histogram = (parent, title, lists) => {
    const points = lists.flat();
    if (points.length === 0) return;
    const [low, high] = points.reduce(([a, b], [at]) => [Math.min(a, at), Math.max(b, at)], [Infinity, -Infinity]);
    put(parent, "h3", {}, title);
    const picture = draw(parent, "svg", { viewBox: "0 0 480 90", class: "bars", role: "img", "aria-label": title });
    for (const [turn, cells] of lists.entries()) {
      const bins = new Array(BINS).fill(0);
      for (const [at, count] of cells) bins[Math.min(BINS - 1, Math.floor(high > low ? ((at - low) / (high - low)) * BINS : 0))] += count;
      const most = Math.max(1, ...bins);
      for (const [i, count] of bins.entries()) {
        if (count === 0) continue;
        const tall = Math.max(1, (70 * count) / most);
        const bar = draw(picture, "rect", { x: i * 10, y: 72 - tall, width: 9, height: tall, class: turn ? "other" : "" });
        draw(bar, "title").textContent = shown(count);
      }
    }
    draw(picture, "text", { x: 0, y: 86 }).textContent = shown(low);
    draw(picture, "text", { x: 480, y: 86, "text-anchor": "end" }).textContent = shown(high);
  };
  const detail = () => {
    const parent = byId("detail");
    parent.replaceChildren();
    const cluster = clusters[state.chosen];
    if (!cluster) return put(parent, "p", {}, "No cluster fits the filter.");
    put(parent, "h2", {}, `Cluster ${cluster.id}`);
    const bar = put(parent, "div", { className: "bar" });
    for (const [mark, sign] of Object.entries(MARKS)) {
      put(bar, "button", { "aria-pressed": markOf(cluster.id) === mark, on: { click: () => toggle(mark) } }, `${sign} ${mark}`);
    }
    const note = put(parent, "textarea", { id: "note", placeholder: "Note", value: marks.get(cluster.id)?.note ?? "", "aria-label": "Note" });
    note.addEventListener("input", () => { setMark(cluster.id, { note: note.value }); save(); });
    for (const [i, label] of cluster.labels.entries()) {
      if (!label) continue;
      put(parent, "h3", {}, labels[i]);
      write(put(parent, "p", { dir: "auto" }), label, state.wanted);
    }
    if (cluster.words.length) {
      put(parent, "h3", {}, "Telling words");
      const words = put(parent, "p", { className: "words" });
      for (const [word, score] of cluster.words) write(put(words, "span", { title: shown(score), dir: "auto" }), word, state.wanted);
    }
    const all = put(parent, "dl");
    for (const [i, name] of columns.entries()) {
      const line = put(all, "div");
      put(line, "dt", {}, name);
      put(line, "dd", {}, shown(cluster.numbers[i]));
    }
    histogram(parent, data.compare ? `Distances (with ${data.compare})` : "Distances", [cluster.histogram, cluster.other].filter((cells) => cells.length));
    const { closest, farthest } = texts(cluster);
    for (const [title, examples] of [["Nearest to the centroid", closest], ["Farthest from it", farthest]]) {
      if (examples.length === 0) continue;
      put(parent, "h3", {}, title);
      for (const [text, distance, key] of examples) {
        const box = put(parent, "div", { className: "example" });
        write(put(box, "p", { dir: "auto" }), text, state.wanted);
        put(box, "small", {}, `${shown(distance)}${key ? " · " + key : ""}`);
      }
    }
  };

  // ---- what one does

  const choose = (i, reveal = false) => {
    state.chosen = i;
    detail();
    if (reveal) {
      const top = state.order.indexOf(i) * ROW;
      if (top < list.scrollTop) list.scrollTop = top;
      if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
    }
    scroll();
    tint();
  };
  const step = (by) => {
    if (state.order.length === 0) return;
    const at = state.order.indexOf(state.chosen);
    choose(state.order[Math.min(state.order.length - 1, Math.max(0, at < 0 ? 0 : at + by))], true);
  };
  const toggle = (mark) => {
    const cluster = clusters[state.chosen];
    if (!cluster) return;
    setMark(cluster.id, { mark: markOf(cluster.id) === mark ? "" : mark });
    save();
    totals();
    choose(state.chosen);
  };
  const refresh = () => {
    arrange();
    head();
    space.style.height = state.order.length * ROW + "px";
    if (!state.order.includes(state.chosen)) state.chosen = state.order[0] ?? -1;
    totals();
    choose(state.chosen, true);
  };

  // ---- the page

  const select = (id, from) => {
    const element = byId(id);
    columns.forEach((name, i) => put(element, "option", { value: i }, name));
    element.value = from;
    return element;
  };
  byId("search").addEventListener("input", (event) => { state.query = event.target.value; refresh(); });
  put(byId("sort"), "option", { value: -1 }, "cluster");
  select("sort", state.sort).addEventListener("change", (event) => sortBy(Number(event.target.value)));
  state.colour = place.get("average_distance") ?? SIZE ?? 0;
  select("colour", state.colour).addEventListener("change", (event) => { state.colour = Number(event.target.value); tint(); });
  byId("export").addEventListener("click", () => download("exclude.tsv", excluded()));
  byId("export-all").addEventListener("click", () => download("marks.tsv", everything()));
  byId("import").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    try {
      const found = read(await file.text());
      for (const [id, change] of found) setMark(id, change);
      save();
      tell(`${found.length} marks were read from ${file.name}.`);
    } catch (error) {
      tell(`${file.name}: ${error.message}; nothing was taken from it.`);
    }
    event.target.value = "";
    refresh();
  });
  byId("reset").addEventListener("click", () => { given(); save(); tell("The marks are those that the page was made with."); refresh(); });
  list.addEventListener("scroll", () => requestAnimationFrame(scroll));
  addEventListener("resize", () => { head(); scroll(); });
  addEventListener("beforeprint", () => rows(0, state.order.length));
  addEventListener("afterprint", scroll);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, textarea, select");
    if (typing) { if (event.key === "Escape") event.target.blur(); return; }
    const acts = { j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1), x: () => toggle("exclude"), u: () => toggle("unsure"), y: () => toggle("keep"),
      n: () => byId("note")?.focus(), "/": () => byId("search").focus() };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  });

  load();
  refresh();
  maps();
  document.documentElement.dataset.ready = "true";
})();
