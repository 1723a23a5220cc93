// check.mjs CLUSTER-REPORT FOLDER: opens pages that the program makes in headless Chromium, uses them as a reader would, and fails
// where something is not as its manual page says. FOLDER gets the pages and pictures of them.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { launch, saved } from "./browser.mjs";

const [program, folder] = [resolve(process.argv[2]), resolve(process.argv[3])];
const at = (name) => join(folder, name);
const url = (name) => pathToFileURL(at(name)).href;

// Opening 2,000 clusters of 20 texts, and a step of scrolling or of choosing, may take so long, in milliseconds, on a quiet machine, and so
// many times that on one that does other things.
const OPEN_MOST = 1000;
const STEP_MOST = 100;
const SLACK = process.env.TIMED ? 1 : 5;

const HOSTILE = [
  "</script><script>window.owned = 1</script>",
  "<img src=x onerror='window.owned = 1'><svg onload=window.owned=1>",
  "<!--<script>", "]]>", "<style>*{display:none}</style>", "&lt;b&gt; &amp; {title} {script}",
  "safe \u202e gnp.exe\u202c and \u2066isolated", "a NUL \u0000 and a bell \u0007", "\ud800 lone, \udc00 lone",
  "javascript:window.owned=1", "\u2028\u2029", "`${window.owned = 1}`", "w".repeat(1 << 20), "العربية and English",
];

const cluster = (id, texts, size) => ({
  cluster: id, total_examples: size, sum_distance: size * 0.25, average_distance: 0.2 + (id % 50) / 100, quantiles: { 0.5: 0.25 },
  diversity: (id * 7 % 100) / 100,
  closest: texts.map((text, i) => ({ text, distance: i / 100, key: "00000000000000" + String(10 + (i % 80)) })),
  farthest: texts.slice(0, 2).map((text) => ({ text, distance: 0.9, key: "00000000000000ff" })),
  histogram: [[8064, size - 1], [8128, 1]],
  total_words: 50 * size, average_words: 50, histogram_words: [[8448, size - 1], [8960, 1]],
  random: texts.slice(0, 3).map((text, i) => ({ text: "drawn: " + text, distance: 0.5, key: "000000000000000" + i, rows: i + 1 })),
});
const jsonl = (name, clusters) => writeFileSync(at(name), clusters.map((one) => JSON.stringify(one) + "\n").join(""));
const make = (name, ...args) => {
  const page = execFileSync(program, args, { cwd: folder, maxBuffer: 1 << 30 });
  assert.ok(page.equals(execFileSync(program, args, { cwd: folder, maxBuffer: 1 << 30 })), "the same input is the same page");
  writeFileSync(at(name), page);
};

const browser = await launch();
const open = async (context, name) => {
  const page = await context.newPage();
  const trouble = [];
  page.on("pageerror", (error) => trouble.push(String(error)));
  page.on("console", (message) => message.type() === "error" && trouble.push(message.text()));
  page.on("request", (request) => { if (!/^(file|blob):/.test(request.url())) trouble.push("asked for " + request.url()); });
  page.on("dialog", (dialog) => { trouble.push("a dialog"); dialog.dismiss(); });
  await page.goto(url(name));
  await page.waitForSelector("html[data-ready]");
  return { page, trouble };
};
const text = (page, selector) => page.locator(selector).innerText();
const ids = (page) => page.$$eval(".row", (rows) => rows.map((row) => Number(row.dataset.cluster)));

const tests = {
  async "numbers, order, search and marks"() {
    jsonl("small.jsonl", [cluster(0, ["apples and pears"], 100), cluster(3, ["menus only", "Pears again"], 300), cluster(8, ["verses"], 200)]);
    writeFileSync(at("losses.tsv"), "cluster\tmean_loss\tlabel\n0\t2.5\tfruit\n3\tnan\tmenus\n8\t1.5\tpoems\n");
    writeFileSync(at("given.tsv"), "8\tin verse\n");
    make("small.html", "--exclude", "given.tsv", "--title", "A <b>title</b> & more", "small.jsonl", "losses.tsv");
    const context = await browser.newContext({ acceptDownloads: true });
    const { page, trouble } = await open(context, "small.html");
    assert.equal(await page.title(), "A <b>title</b> & more");
    assert.deepEqual(await ids(page), [3, 8, 0], "by size");
    await page.selectOption("#sort", { label: "mean_loss" });
    assert.deepEqual(await ids(page), [0, 8, 3], "what is missing comes last");
    await page.click("#head button:has-text('cluster')");
    assert.deepEqual(await ids(page), [0, 3, 8]);
    assert.match(await text(page, "#totals"), /1 excluded.*400 of 600 documents stay \(66\.7 %\).*20,000 of 30,000 words stay/s);

    await page.keyboard.press("/");
    await page.keyboard.type("pears");
    assert.deepEqual(await ids(page), [0, 3]);
    assert.equal(await page.locator("#detail mark").first().innerText(), "Pears", "whatever the case");
    await page.fill("#search", "pears total_examples>=200");
    assert.deepEqual(await ids(page), [3]);
    await page.fill("#search", "poems");
    assert.deepEqual(await ids(page), [8], "labels are searched");
    await page.fill("#search", "mark=exclude");
    assert.deepEqual(await ids(page), [8]);
    await page.fill("#search", "");

    await page.keyboard.press("Escape");
    await page.locator(".row[data-cluster='0']").click();
    await page.keyboard.press("x");
    await page.keyboard.press("j");
    await page.keyboard.press("u");
    await page.keyboard.press("n");
    await page.keyboard.type("menus\tof\nhotels");
    await page.keyboard.press("Escape");
    await page.keyboard.press("k");
    assert.match(await text(page, "#detail h2"), /Cluster 0/);
    assert.match(await text(page, "#totals"), /2 excluded · 1 unsure · 0 kept · 0 open/);
    assert.match(await text(page, ".row[data-cluster='3'] .about"), /menus\sof\shotels · menus/, "the note, then what it is about");
    await page.fill("#search", "hotels");
    assert.deepEqual(await ids(page), [3], "notes are searched");
    await page.fill("#search", "");
    await page.keyboard.press("Escape");

    // What is known of the one that is chosen.
    await page.locator(".row[data-cluster='3']").click();
    assert.match(await text(page, "#facts"), /300 documents \(50\.0 %\) · 15,000 words \(50\.0 %\)/);
    assert.deepEqual(await page.$$eval("#detail h3", (all) => all.map((one) => one.textContent)),
      ["label", "Distances", "Lengths in words", "Nearest to the centroid", "Farthest from the centroid", "At random", "All numbers"]);
    assert.deepEqual(await page.$$eval(".bars", (all) => all.map((one) => one.querySelectorAll("rect").length)), [2, 2]);
    assert.match(await text(page, ".figures"), /32 to 8,256, median 32/);
    assert.match(await text(page, ".texts"), /drawn: Pears again\s+0\.5 · 2 times/);

    await page.reload();
    await page.waitForSelector("html[data-ready]");
    assert.match(await text(page, "#totals"), /2 excluded · 1 unsure/, "marks survive a reload");
    assert.equal(await saved(page, "#export"), "0\n8\tin verse\n");
    // The programs take the file as it is: shares, and the marks of another page.
    writeFileSync(at("exclude.tsv"), await saved(page, "#export"));
    const beside = (name, ...args) => execFileSync(join(dirname(program), name), args, { cwd: folder, encoding: "utf8" });
    const shares = beside("cluster-share", "-n", "60", "--exclude", "exclude.tsv", "small.jsonl");
    assert.deepEqual(shares.trim().split("\n").slice(1).map((row) => row.split("\t")[3]), ["0", "60", "0"], shares);
    make("again.html", "--exclude", "exclude.tsv", "small.jsonl");
    const again = await open(await browser.newContext({ acceptDownloads: true }), "again.html");
    assert.equal(await saved(again.page, "#export"), "0\n8\tin verse\n", "what a page exports, another begins with");
    await again.page.context().close();
    const all = await saved(page, "#export-all");
    assert.equal(all, "0\texclude\t\n3\tunsure\tmenus of hotels\n8\texclude\tin verse\n");

    await page.click("#reset");
    assert.match(await text(page, "#totals"), /1 excluded · 0 unsure/);
    const next = async () => { await page.keyboard.press("o"); return text(page, "#detail h2"); };
    assert.deepEqual([await next(), await next(), await next()], ["Cluster 0", "Cluster 3", "Cluster 0"], "those without a mark");
    const give = (name, content) => page.setInputFiles("#import", { name, mimeType: "text/plain", buffer: Buffer.from(content) });
    await give("marks.tsv", all);
    await page.waitForFunction(() => document.getElementById("told").textContent.includes("3 lines"));
    assert.match(await text(page, "#totals"), /2 excluded · 1 unsure/);
    assert.equal(await saved(page, "#export-all"), all, "what is imported is what was exported");
    await page.click("#reset");
    await give("joined.tsv", "0\n0\tfirst\n0\tfirst\n0\tsecond\n8\tother\n");
    await page.waitForFunction(() => document.getElementById("told").textContent.includes("5 lines"));
    assert.equal(await saved(page, "#export"), "0\tfirst; second\n8\tin verse; other\n", "no note of several people's is lost");
    await give("again.tsv", "0\tfirst; second\n");
    await page.waitForFunction(() => document.getElementById("told").textContent.includes("1 lines"));
    assert.equal(await saved(page, "#export"), "0\tfirst; second\n8\tin verse; other\n", "what is there already is not added again");
    await page.click("#reset");
    await give("marks.tsv", all);
    await page.waitForFunction(() => document.getElementById("told").textContent.includes("3 lines"));
    await give("bad.tsv", "3\tx\n7\n");
    await page.waitForFunction(() => document.getElementById("told").textContent.includes("line 2: no cluster of this page: 7"));
    assert.equal(await saved(page, "#export-all"), all, "nothing was taken from it");
    assert.deepEqual(trouble, []);
    await context.close();
  },

  async "documents are data"() {
    jsonl("hostile.jsonl", HOSTILE.map((one, id) => ({ ...cluster(id, [one, one + " twice"], 10 + id), label: one.slice(0, 1000), words: [[one.slice(0, 100), 1]] })));
    make("hostile.html", "hostile.jsonl");
    const context = await browser.newContext();
    const { page, trouble } = await open(context, "hostile.html");
    const shown = [];
    for (let i = 0; i < HOSTILE.length; i++) {
      shown.push(await text(page, "#detail"));
      await page.keyboard.press("j");
    }
    await page.fill("#search", "window.owned");
    assert.equal(await page.evaluate(() => window.owned), undefined, "no script of a document ran");
    const outside = await page.$$eval("script, style, img, iframe, object, link, base", (all) =>
      all.filter((one) => !(one.tagName === "STYLE" || (one.tagName === "SCRIPT" && (one.type === "application/json" || one === document.scripts[document.scripts.length - 1])))).length);
    assert.equal(outside, 0, "no element came from a document");
    const all = shown.join("\n");
    for (const wanted of ["</script><script>window.owned = 1</script>", "U+202E", "U+0000", "U+D800", "&lt;b&gt; &amp; {title} {script}", "العربية"]) {
      assert.ok(all.includes(wanted), `it is shown: ${wanted}`);
    }
    assert.deepEqual(trouble, []);
    await context.close();
  },

  async "2,000 clusters of 20 texts"() {
    const word = (i) => ["river", "market", "engine", "poem", "court", "cell"][i % 6] + i;
    const example = (id, i) => Array.from({ length: 40 }, (_, j) => word(id * 31 + i * 7 + j)).join(" ");
    jsonl("large.jsonl", Array.from({ length: 2000 }, (_, id) => cluster(id, Array.from({ length: 18 }, (_, i) => example(id, i)), 1 + ((id * 7919) % 10007))));
    make("large.html", "large.jsonl");
    const context = await browser.newContext();
    const page = await context.newPage();
    // Beside the time on the clock, that of the page's thread, which others do not lengthen as much.
    const inside = await context.newCDPSession(page);
    await inside.send("Performance.enable", { timeDomain: "threadTicks" });
    let best = Infinity, busy = Infinity;
    for (let turn = 0; turn < 3; turn++) {
      const started = performance.now();
      await page.goto(url("large.html"));
      await page.waitForSelector("html[data-ready]");
      best = Math.min(best, performance.now() - started);
      const { metrics } = await inside.send("Performance.getMetrics");
      busy = Math.min(busy, 1000 * metrics.find(({ name }) => name === "TaskDuration").value);
    }
    const scroll = await page.evaluate(async () => {
      const list = document.getElementById("list"), times = [];
      for (let i = 0; i < 50; i++) {
        const started = performance.now();
        list.scrollTop += 1000;
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        times.push(performance.now() - started);
      }
      return times.sort((a, b) => a - b)[25];
    });
    const steps = await page.evaluate(() => {
      const times = [];
      for (let i = 0; i < 50; i++) {
        const started = performance.now();
        document.body.dispatchEvent(new KeyboardEvent("keydown", { key: i % 5 ? "j" : "x", bubbles: true }));
        times.push(performance.now() - started);
      }
      return times.sort((a, b) => a - b)[25];
    });
    const searched = await page.evaluate(async () => {
      const search = document.getElementById("search"), started = performance.now();
      search.value = "poem3 market";
      search.dispatchEvent(new Event("input"));
      return performance.now() - started;
    });
    assert.ok((await page.$$(".row")).length < 100, "only rows that are seen are made");
    console.log(`2,000 x 20: opens in ${best.toFixed(0)} ms (${busy.toFixed(0)} of its thread), a step of scrolling ${scroll.toFixed(0)} ms, of choosing or marking ${steps.toFixed(0)} ms, first search ${searched.toFixed(0)} ms`);
    assert.ok(best <= SLACK * OPEN_MOST, `it opens within ${SLACK * OPEN_MOST} ms`);
    assert.ok(Math.max(scroll, steps) <= SLACK * STEP_MOST && searched <= SLACK * OPEN_MOST, "it stays smooth");
    await context.close();
  },

  async "plans, maps and another run"() {
    writeFileSync(at("plan.tsv"), "cluster\tsize\tshare\tdocuments\trepeats\n0\t100\t0.5\t50\t0.5\n3\t300\t0.5\t50\t0.17\n8\t200\t0\t0\t0\n");
    jsonl("other.jsonl", [cluster(0, [], 90), cluster(3, [], 350)]);
    writeFileSync(at("map.tsv"), "cluster\tx\ty\n0\t1\t2\n3\t-1\t0\n8\tnan\tnan\n");
    make("plan.html", "--plan", "plan.tsv", "--compare", "other.jsonl", "small.jsonl");
    make("map.html", "--map", "map.tsv", "small.jsonl");
    const context = await browser.newContext();
    const { page, trouble } = await open(context, "plan.html");
    assert.deepEqual(await page.$$eval("figcaption", (all) => all.map((one) => one.textContent)),
      ["area: total_examples", "area: total_examples@other.jsonl", "area: plan.documents"]);
    assert.deepEqual(await page.$$eval("figure", (all) => all.map((one) => one.querySelectorAll("rect").length)), [3, 2, 2], "what is drawn");
    await page.locator("figure rect").first().click();
    assert.match(await text(page, "#detail table"), /here\s+other\.jsonl\s+total_examples\s+300\s+350\s/, "side by side");
    assert.match(await text(page, ".figures"), /Distances, with those of other\.jsonl/);
    await page.fill("#search", "total_examples@other.jsonl>=350");
    assert.deepEqual(await ids(page), [3], "numbers of the other run are conditions too");
    make("both.html", "--plan", "plan.tsv", "--map", "map.tsv", "small.jsonl");
    const both = await open(context, "both.html");
    assert.deepEqual(await both.page.$$eval("figcaption", (all) => all.map((one) => one.textContent)),
      ["where clusters lie; area: total_examples", "area: plan.documents"]);
    const mapped = await open(context, "map.html");
    assert.equal((await mapped.page.$$("circle")).length, 2, "clusters without a place are not on the map");
    assert.deepEqual([...trouble, ...mapped.trouble, ...both.trouble], []);
    await context.close();
  },

  async "light, dark, phone and print"() {
    for (const [name, options] of [["light", { colorScheme: "light" }], ["dark", { colorScheme: "dark" }], ["phone", { viewport: { width: 390, height: 844 }, isMobile: true }]]) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
      const { page, trouble } = await open(context, "large.html");
      await page.keyboard.press("x");
      await page.keyboard.press("j");
      await page.keyboard.press("u");
      const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      assert.ok(wide <= seen, `${name}: nothing sticks out (${wide} of ${seen})`);
      if (name === "phone") {
        await page.locator(".row").nth(3).click();
        await page.locator("#marks button", { hasText: "keep" }).click();
        assert.match(await text(page, "#totals"), /1 excluded · 1 unsure · 1 kept/, "by thumb");
        const [top, bottom] = await page.evaluate(() => [document.getElementById("detail").getBoundingClientRect().top, document.getElementById("marks").getBoundingClientRect().bottom]);
        assert.ok(Math.abs(top) < 2 && Math.abs(bottom - 844) < 2, `the cluster that was touched is in view (${top}), and the marks under the thumb (${bottom})`);
      }
      await page.screenshot({ path: at(name + ".png") });
      assert.deepEqual(trouble, []);
      await context.close();
    }
    const context = await browser.newContext();
    const { page } = await open(context, "small.html");
    await page.emulateMedia({ media: "print" });
    await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
    assert.equal(await page.locator(".row:visible").count(), 3, "all clusters are printed");
    assert.equal(await page.locator("header .bar:visible, #detail:visible").count(), 0);
    await page.screenshot({ path: at("print.png"), fullPage: true });
    await page.pdf({ path: at("print.pdf") });
    await context.close();
  },
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    console.log(`${name}: holds`);
  } catch (error) {
    failed++;
    console.log(`${name}: FAILS: ${error.stack}`);
  }
}
await browser.close();
process.exit(failed ? 1 : 0);
