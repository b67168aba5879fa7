/** @file Debian's Chromium, where it is installed, for pages to be seen as a reader sees them. */
import { existsSync } from "node:fs";

import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser"];

/** The browser's path; undefined where there is none. */
export const CHROMIUM = [process.env["POTSTILL_CHROMIUM"] ?? "", ...PLACES].find(
  (path) => path !== "" && existsSync(path),
);

/** Why tests that need it are left out, for their names. */
export const WITHOUT_CHROMIUM =
  CHROMIUM === undefined ? " (left out: chromium is not installed)" : "";

export function openBrowser(): Promise<Browser> {
  // Root may not use Chromium's sandbox; the pages are our own.
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath: CHROMIUM!, args });
}

/** A page with everything that must not happen in it: errors of any kind, and requests elsewhere. */
export async function openPage(
  browser: Browser,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; faults: string[]; requests: string[] }> {
  const page = await browser.newPage(options);
  const faults: string[] = [];
  const requests: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("request", (request) => requests.push(request.url()));
  page.on("requestfailed", (request) => faults.push(`no answer: ${request.url()}`));
  return { page, faults, requests };
}
