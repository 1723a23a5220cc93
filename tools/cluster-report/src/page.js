"use strict";
// The page of cluster-report. All text of documents enters through textContent: it is never markup.
(() => {
  const ROW = 28;
  const MARKS = { exclude: "✕", unsure: "?", keep: "✓" };
  const KEYS = { exclude: "x", unsure: "u", keep: "y" };
  const SVG = "http://www.w3.org/2000/svg";
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("clusters").textContent);
  const { columns, labels, clusters } = data;
  const place = new Map(columns.map((name, i) => [name, i]));
  const SIZE = place.get("total_examples");
  const known = new Map(clusters.map((cluster, i) => [cluster.id, i]));
  const digits = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
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
  const shown = (value) => {
    if (value === null || value === undefined) return "–";
    if (Number.isInteger(value)) return value.toLocaleString("en");
    return Math.abs(value) < 1e-4 ? value.toExponential(1) : digits.format(value);
  };

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
    return source ? JSON.parse(source.textContent) : { closest: [], random: [], farthest: [] };
  };
  const hay = new Map();
  const haystack = (cluster) => {
    if (!hay.has(cluster.id)) {
      const all = Object.values(texts(cluster)).flat().map(([text]) => text);
      hay.set(cluster.id, [...all, ...cluster.labels.filter(Boolean), ...cluster.words.map(([word]) => word)].join("\n").toLowerCase());
    }
    return hay.get(cluster.id);
  };

  // ---- marks

  const marks = new Map();
  const tell = (text) => { byId("told").textContent = text; };
  const markOf = (id) => marks.get(id)?.mark ?? "";
  const noteOf = (id) => marks.get(id)?.note ?? "";
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
    const fits = (cluster) => tests.every((test) => test(cluster)) && words.every((word) => haystack(cluster).includes(word) || noteOf(cluster.id).toLowerCase().includes(word));
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

  // Columns that add up: documents, words, tokens.
  const sums = columns.flatMap((name, i) => {
    if (!name.startsWith("total_") || name.includes("@")) return [];
    const all = clusters.reduce((sum, cluster) => sum + (cluster.numbers[i] ?? 0), 0);
    return [{ i, all, what: name === "total_examples" ? "documents" : name.slice("total_".length) }];
  });
  const percent = (part, all) => (all ? ` (${(100 * part / all).toFixed(1)} %)` : "");
  const totals = () => {
    const stays = sums.map(({ i, all, what }) => {
      const stay = clusters.reduce((sum, cluster) => sum + (markOf(cluster.id) === "exclude" ? 0 : cluster.numbers[i] ?? 0), 0);
      return `${shown(stay)} of ${shown(all)} ${what} stay${percent(stay, all)}`;
    });
    const count = (mark) => clusters.filter((cluster) => markOf(cluster.id) === mark).length;
    byId("totals").textContent = [`${shown(clusters.length)} clusters`, `${count("exclude")} excluded`, `${count("unsure")} unsure`, `${count("keep")} kept`,
      `${count("")} open`, `${shown(state.order.length)} shown`, ...stays].join(" · ");
  };

  // ---- the list: only the rows that can be seen are there

  const list = byId("list"), space = byId("space");
  const NARROW = matchMedia("(max-width: 48rem)");
  const told = clusters.some((cluster) => cluster.words.length || cluster.labels.some(Boolean));
  const SHORT = { total_examples: "documents", average_distance: "distance", "plan.documents": "plan" };
  const USUAL = ["total_examples", "plan.documents", "average_distance"].map((name) => place.get(name)).filter((i) => i !== undefined);
  // What is sorted by, and as many of the usual columns as leave room to say what a cluster is about.
  let listed = [];
  const arrangeColumns = () => {
    const room = Math.max(1, Math.floor((list.clientWidth - (told ? 310 : 100)) / 96));
    const sorted = state.sort < 0 ? [] : [state.sort];
    const usual = told ? USUAL : [...columns.keys()];
    const kept = new Set([...sorted, ...usual.slice(0, told ? 3 : 6)].slice(0, room));
    listed = [...new Set([...usual, ...sorted])].filter((column) => kept.has(column));
  };
  // What a cluster is about, in a line.
  const about = (parent, cluster) => {
    const note = noteOf(cluster.id), wanted = state.wanted;
    if (note) write(put(parent, "span", { className: "note" }), `${note.slice(0, 200)} · `, wanted);
    const words = [...cluster.labels.filter(Boolean), ...cluster.words.map(([word]) => word)];
    write(parent, words.join(" ").slice(0, 200), wanted);
  };
  const rows = (from, to) => {
    space.replaceChildren();
    for (let at = from; at < Math.min(to, state.order.length); at++) {
      const i = state.order[at], cluster = clusters[i], mark = markOf(cluster.id);
      const row = put(space, "div", { className: "row" + (i === state.chosen ? " chosen" : ""), role: "row", "aria-selected": i === state.chosen, on: { click: () => { choose(i); look(); } } });
      row.style.top = at * ROW + "px";
      row.dataset.mark = mark;
      row.dataset.cluster = cluster.id;
      put(row, "span", { className: "sign", role: "cell" }, MARKS[mark] ?? "");
      put(row, "span", { className: "number", role: "cell" }, String(cluster.id));
      for (const column of listed) put(row, "span", { role: "cell" }, shown(cluster.numbers[column]));
      about(put(row, "span", { className: "about", role: "cell", dir: "auto" }), cluster);
    }
  };
  const scroll = () => {
    const from = Math.max(0, Math.floor(list.scrollTop / ROW) - 10);
    rows(from, from + Math.ceil(list.clientHeight / ROW) + 20);
  };
  const head = () => {
    const line = byId("head");
    arrangeColumns();
    line.replaceChildren();
    for (const element of [list, line]) element.style.setProperty("--columns", listed.length);
    put(line, "span");
    for (const column of [-1, ...listed]) {
      const name = column < 0 ? "cluster" : columns[column];
      const arrow = column === state.sort ? (state.down ? "↓ " : "↑ ") : "";
      put(line, "button", { title: name, on: { click: () => sortBy(column) } }, arrow + (SHORT[name] ?? name));
    }
    put(line, "span", {}, told ? "about" : "");
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
  const [WIDTH, HEIGHT] = [600, 320];
  const shapes = new Map();
  const maps = () => {
    byId("maps").replaceChildren();
    shapes.clear();
    if (data.map) bubbles();
    for (const name of data.areas.slice(data.map ? 1 : 0)) tiles(name, place.get(name));
    tint();
  };
  const canvas = (caption) => {
    const figure = put(byId("maps"), "figure");
    const picture = draw(figure, "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": caption });
    put(figure, "figcaption", {}, caption);
    return picture;
  };
  const shape = (picture, tag, i, props) => {
    const drawn = draw(picture, tag, { ...props, class: "shape" });
    drawn.addEventListener("click", () => { choose(i, true); look(); });
    shapes.set(i, [...(shapes.get(i) ?? []), drawn]);
    return drawn;
  };
  const tiles = (name, column) => {
    const sizes = clusters.map((cluster, i) => [i, cluster.numbers[column] ?? 0]).filter(([, size]) => size > 0);
    sizes.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    const picture = canvas(`area: ${name}`);
    for (const [i, x, y, w, h] of treemap(sizes, WIDTH, HEIGHT)) {
      const drawn = shape(picture, "rect", i, { x, y, width: w, height: h });
      draw(drawn, "title").textContent = named(clusters[i], clusters[i].numbers[column]);
      if (w > 26 && h > 15) draw(picture, "text", { x: x + 4, y: y + 13 }).textContent = clusters[i].id;
    }
  };
  const bubbles = () => {
    const there = clusters.map((cluster, i) => [i, cluster]).filter(([, cluster]) => cluster.at);
    const ends = (axis) => there.reduce(([low, high], [, cluster]) => [Math.min(low, cluster.at[axis]), Math.max(high, cluster.at[axis])], [Infinity, -Infinity]);
    const [xs, ys] = [ends(0), ends(1)];
    const spread = ([low, high], t, size) => 24 + (high > low ? (t - low) / (high - low) : .5) * (size - 48);
    const size = (cluster) => cluster.numbers[SIZE] ?? 0;
    const all = Math.max(1, there.reduce((sum, [, cluster]) => sum + size(cluster), 0));
    const picture = canvas("where clusters lie; area: total_examples");
    there.sort((a, b) => size(b[1]) - size(a[1]));
    for (const [i, cluster] of there) {
      const [x, y] = [spread(xs, cluster.at[0], WIDTH), HEIGHT - spread(ys, cluster.at[1], HEIGHT)];
      // All together cover a tenth of the picture.
      const r = Math.max(2.5, Math.min(60, Math.sqrt(size(cluster) / all * WIDTH * HEIGHT / 10 / Math.PI)));
      const drawn = shape(picture, "circle", i, { cx: x, cy: y, r });
      draw(drawn, "title").textContent = named(cluster, size(cluster));
      if (r > 9) draw(picture, "text", { x, y: y + 4, "text-anchor": "middle" }).textContent = cluster.id;
    }
  };
  const named = (cluster, number) => `${cluster.id}: ${shown(number)} ${cluster.words.map(([word]) => word).join(" ")}`;
  // Light to dark and one hue to another, so that black letters are read on all and grey prints tell them apart.
  const colour = (t) => `oklch(${.95 - .33 * t} ${.04 + .1 * t} ${100 + 130 * t})`;
  const legend = (low, high) => {
    const line = byId("legend");
    line.replaceChildren(`colour: ${state.colour < 0 ? "cluster" : columns[state.colour]} ${shown(low)}`);
    const strip = put(line, "canvas", { width: 96, height: 1 }).getContext("2d");
    for (let x = 0; x < 96; x++) { strip.fillStyle = colour(x / 95); strip.fillRect(x, 0, 1, 1); }
    line.append(shown(high));
  };
  // How the shapes of a cluster look; `tint` says with which colours, and which clusters the filter lets through.
  let rank = () => 0, there = new Set();
  const paint = (i) => {
    const n = value(clusters[i], state.colour), mark = markOf(clusters[i].id);
    for (const drawn of shapes.get(i) ?? []) {
      drawn.style.fill = mark === "exclude" ? "" : colour(n === null || n === undefined ? 0 : rank(n));
      drawn.dataset.mark = mark;
      drawn.setAttribute("class", "shape" + (i === state.chosen ? " chosen" : "") + (there.has(i) ? "" : " away"));
    }
  };
  const tint = () => {
    const all = clusters.map((cluster) => value(cluster, state.colour)).filter((n) => n !== null && n !== undefined).sort((a, b) => a - b);
    rank = (n) => { let [low, high] = [0, all.length]; while (low < high) { const mid = (low + high) >> 1; if (all[mid] < n) low = mid + 1; else high = mid; } return low / Math.max(1, all.length - 1); };
    there = new Set(state.order);
    legend(all[0], all[all.length - 1]);
    for (const i of shapes.keys()) paint(i);
  };

  // ---- one cluster

  const BINS = 48;
  const middle = (points) => {
    let left = points.reduce((sum, [, count]) => sum + count, 0) / 2;
    return points.find(([, count]) => (left -= count) <= 0)?.[0];
  };
  // Lengths are of many sizes: their axis is logarithmic.
  const histogram = (parent, name, lists) => {
    const axis = name === "distance" ? (at) => at : (at) => Math.log2(1 + at);
    const points = lists.flat();
    if (points.length === 0) return;
    const [low, high] = points.reduce(([a, b], [at]) => [Math.min(a, at), Math.max(b, at)], [Infinity, -Infinity]);
    const [from, wide] = [axis(low), axis(high) - axis(low)];
    const place = (at) => Math.min(BINS - 1, wide > 0 ? Math.floor((axis(at) - from) / wide * BINS) : 0);
    const title = `${name === "distance" ? "Distances" : `Lengths in ${name}`}${data.compare && lists.length > 1 ? `, with those of ${data.compare}` : ""}`;
    const box = put(parent, "div");
    put(box, "h3", {}, title);
    const picture = draw(box, "svg", { viewBox: "0 0 480 90", class: "bars", role: "img", "aria-label": title });
    for (const [turn, cells] of lists.entries()) {
      const bins = new Array(BINS).fill(0);
      for (const [at, count] of cells) bins[place(at)] += count;
      const most = Math.max(1, ...bins);
      for (const [i, count] of bins.entries()) {
        if (count === 0) continue;
        const tall = Math.max(1, (72 * count) / most);
        const bar = draw(picture, "rect", { x: i * 10, y: 90 - tall, width: 9, height: tall, class: turn ? "other" : "" });
        draw(bar, "title").textContent = shown(count);
      }
    }
    put(box, "small", {}, `${shown(low)} to ${shown(high)}, median ${shown(middle(lists[0].length ? lists[0] : lists[1]))}`);
  };

  const buttons = (parent) => {
    const cluster = clusters[state.chosen];
    const bar = put(parent, "div", { className: "bar", id: "marks" });
    const button = (text, key, act, title) => put(bar, "button", { title: `${title} (${key})`, on: { click: act } }, text);
    button("←", "k", () => step(-1), "the previous cluster");
    for (const [mark, sign] of Object.entries(MARKS)) {
      const one = button(`${sign} ${mark}`, KEYS[mark], () => toggle(mark), mark);
      one.dataset.mark = mark;
      one.setAttribute("aria-pressed", markOf(cluster.id) === mark);
    }
    button("→", "j", () => step(1), "the next cluster");
  };
  const facts = (cluster) => {
    const wanted = (name) => !name.startsWith("total_") && !name.includes("@") && (/^(average|mean)_/.test(name) || ["diversity", "plan.documents"].includes(name));
    const parts = sums.map(({ i, all, what }) => `${shown(cluster.numbers[i])} ${what}${percent(cluster.numbers[i] ?? 0, all)}`);
    const others = columns.flatMap((name, i) => (wanted(name) ? [`${name} ${shown(cluster.numbers[i])}`] : []));
    return [...parts, ...others].join(" · ");
  };
  // Texts that are the same but for white space are one.
  const examples = (box, title, all) => {
    if (all.length === 0) return;
    put(box, "h3", {}, title);
    const same = new Map();
    for (const [text, distance, key, rows = 1] of all) {
      const plain = text.replace(/\s+/g, " ");
      const one = same.get(plain) ?? { text, distances: [], keys: [], rows: 0 };
      if (distance !== null) one.distances.push(distance);
      if (key) one.keys.push(key);
      one.rows += rows;
      same.set(plain, one);
    }
    for (const { text, distances, keys, rows } of same.values()) {
      const example = put(box, "div", { className: "example" });
      write(put(example, "p", { dir: "auto" }), text, state.wanted);
      const [near, far] = [Math.min(...distances), Math.max(...distances)];
      const parts = [distances.length ? shown(near) + (far > near ? ` to ${shown(far)}` : "") : "", rows > 1 ? `${shown(rows)} times` : "", keys.length ? keys[0] + (keys.length > 1 ? " …" : "") : ""];
      put(example, "small", { title: keys.join(" ") }, parts.filter(Boolean).join(" · "));
    }
  };
  // Each number, beside that of the other run where two are compared.
  const numbers = (parent, cluster) => {
    const names = [...new Set(columns.map((name) => name.split("@")[0]))];
    const runs = ["", ...(data.compare ? [`@${data.compare}`] : [])];
    const table = put(parent, "table");
    if (data.compare) put(put(table, "thead"), "tr", {}, ...["", "here", data.compare].map((name) => put(null, "th", {}, name)));
    const body = put(table, "tbody");
    for (const name of names) {
      const cells = runs.map((run) => put(null, "td", {}, shown(cluster.numbers[place.get(name + run)])));
      put(body, "tr", {}, put(null, "th", {}, name), ...cells);
    }
  };
  const detail = () => {
    const parent = byId("detail");
    parent.replaceChildren();
    parent.scrollTop = 0;
    const cluster = clusters[state.chosen];
    if (!cluster) return put(parent, "p", {}, "No cluster fits the filter.");
    const top = put(parent, "div", { id: "top" });
    const bar = put(top, "div", { className: "bar" });
    put(bar, "h2", {}, `Cluster ${cluster.id}`);
    buttons(bar);
    put(top, "div", { id: "facts" }, facts(cluster));
    const note = put(top, "textarea", { id: "note", placeholder: "Note", value: noteOf(cluster.id), "aria-label": "Note" });
    note.addEventListener("input", () => { setMark(cluster.id, { note: note.value }); save(); scroll(); });
    const block = (className) => put(parent, "div", { className: "block " + className });
    for (const [i, label] of cluster.labels.entries()) {
      if (!label) continue;
      const box = block("");
      put(box, "h3", {}, labels[i]);
      write(put(box, "p", { dir: "auto" }), label, state.wanted);
    }
    if (cluster.words.length) {
      const box = block("words");
      put(box, "h3", {}, "Telling words");
      const words = put(box, "p");
      for (const [word, score] of cluster.words) write(put(words, "span", { title: shown(score), dir: "auto" }), word, state.wanted);
    }
    const figures = block("figures");
    for (const [i, name] of data.histograms.entries()) histogram(figures, name, [cluster.histograms[i], cluster.other[i] ?? []].filter((cells) => cells.length));
    const { closest, random, farthest } = texts(cluster);
    const all = block("texts"), ends = put(all, "div");
    examples(ends, "Nearest to the centroid", closest);
    examples(ends, "Farthest from the centroid", farthest);
    if (random.length) examples(put(all, "div"), "At random", random);
    const table = block("");
    put(table, "h3", {}, "All numbers");
    numbers(table, cluster);
  };

  // ---- what one does

  // Where there is room for one thing at a time, the cluster that was chosen is brought into view.
  const look = () => { if (NARROW.matches) byId("detail").scrollIntoView(); };
  const choose = (i, reveal = false) => {
    const before = state.chosen;
    state.chosen = i;
    detail();
    if (reveal) {
      const top = state.order.indexOf(i) * ROW;
      if (top < list.scrollTop) list.scrollTop = top;
      if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
    }
    scroll();
    for (const one of new Set([before, i])) if (one >= 0) paint(one);
  };
  const go = (i) => { choose(i, true); look(); };
  const step = (by) => {
    if (state.order.length === 0) return;
    const at = state.order.indexOf(state.chosen);
    go(state.order[Math.min(state.order.length - 1, Math.max(0, at < 0 ? 0 : at + by))]);
  };
  // The next one without a mark, from the beginning again behind the last.
  const nextOpen = () => {
    const at = state.order.indexOf(state.chosen) + 1;
    const next = [...state.order.slice(at), ...state.order.slice(0, at)].find((i) => !markOf(clusters[i].id));
    if (next === undefined) tell("Every cluster that is shown has a mark."); else go(next);
  };
  const toggle = (mark) => {
    const cluster = clusters[state.chosen];
    if (!cluster) return;
    setMark(cluster.id, { mark: markOf(cluster.id) === mark ? "" : mark });
    save();
    totals();
    for (const button of document.querySelectorAll("#marks [data-mark]")) button.setAttribute("aria-pressed", button.dataset.mark === markOf(cluster.id));
    scroll();
    paint(state.chosen);
  };
  const refresh = () => {
    arrange();
    head();
    space.style.height = state.order.length * ROW + "px";
    if (!state.order.includes(state.chosen)) state.chosen = state.order[0] ?? -1;
    totals();
    choose(state.chosen, true);
    tint();
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
      for (const [id, { mark, note }] of found) {
        const notes = new Set([...noteOf(id).split("; "), ...note.split("; ")].filter(Boolean));
        setMark(id, { mark, note: [...notes].join("; ") });
      }
      save();
      tell(`${found.length} lines were read from ${file.name}.`);
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
    const page = (by) => byId("detail").scrollBy(0, by * byId("detail").clientHeight * .8);
    const acts = { j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1), o: nextOpen, n: () => byId("note")?.focus(), "/": () => byId("search").focus(),
      ...Object.fromEntries(Object.entries(KEYS).map(([mark, key]) => [key, () => toggle(mark)])),
      ...(NARROW.matches || event.target.matches("button") ? {} : { " ": () => page(event.shiftKey ? -1 : 1), PageDown: () => page(1), PageUp: () => page(-1) }) };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  });

  load();
  refresh();
  maps();
  document.documentElement.dataset.ready = "true";
})();
