// How scripts look at pages: a headless Chromium (CHROMIUM: which one) that asks nobody for anything, and what a button of the page saves.
import { chromium } from "playwright-core";
import { readFileSync } from "node:fs";

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

export const saved = async (page, button) => {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
  return readFileSync(await download.path(), "utf8");
};
