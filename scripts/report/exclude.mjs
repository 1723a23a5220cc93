// exclude.mjs PAGE.html CONDITIONS NOTE > exclude.tsv: on a page of cluster-report, finds the clusters that fit the conditions, marks each as
// excluded by the keyboard, with a note, and prints what `Export excluded` saves. What a person does, without judgement.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { launch, saved } from "./browser.mjs";

const [path, conditions, note] = process.argv.slice(2);
const browser = await launch();
const page = await (await browser.newContext({ acceptDownloads: true })).newPage();
await page.goto(pathToFileURL(resolve(path)).href);
await page.waitForSelector("html[data-ready]");
await page.keyboard.press("/");
await page.keyboard.type(conditions);
await page.keyboard.press("Escape");
const count = Number(/([0-9,]+) shown/.exec(await page.locator("#totals").innerText())[1].replaceAll(",", ""));
if (count) await page.locator(".row").first().click();
for (let i = 0; i < count; i++) {
  for (const key of ["x", "n"]) await page.keyboard.press(key);
  await page.keyboard.type(note);
  for (const key of ["Escape", "j"]) await page.keyboard.press(key);
}
process.stdout.write(await saved(page, "#export"));
await browser.close();
