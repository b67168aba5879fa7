/** @file The report as a reader meets it, in a real browser: a real run, a live one, and a long one. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { decode } from "fast-png";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { exportReport } from "../../../distill/report/export.ts";
import { serveReport, type Report } from "../../../distill/report/server.ts";
import { CHROMIUM, openBrowser, openPage, WITHOUT_CHROMIUM } from "../../support/chromium.ts";
import { runCli } from "../../support/run-cli.ts";
import { appendIterations, makeRun } from "../../support/run-folder.ts";

let root: string;
let runs: string;
let report: Report;
let browser: Browser;

/** Waits until the charts are there. */
const charts = (page: Page) => page.waitForSelector(".chart canvas");
/** Waits until the first sheet of images is drawn. */
const pictureOf = (page: Page) =>
  page.waitForFunction('document.querySelector(".sheet img")?.naturalWidth > 0');

/** How many colours a picture has. */
function coloursOf(png: Uint8Array): number {
  const { data, channels } = decode(png);
  const colours = new Set<string>();
  for (let at = 0; at < data.length; at += channels)
    colours.add(data.slice(at, at + channels).join());
  return colours.size;
}

const address = (...keys: string[]): string =>
  `${report.url}#${keys.map(encodeURIComponent).join("&")}`;

describe.skipIf(CHROMIUM === undefined)(`the report's page${WITHOUT_CHROMIUM}`, () => {
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), "potstill-browser-"));
    runs = join(root, "runs");
    const { code, stderr } = await runCli(
      [
        ...["distill", "digits", "--ipc", "1", "--quiet", "--out", join(runs, "real")],
        ...["--iterations", "20", "--max_start_epoch", "2"],
        ...["--teachers.experts", "2", "--teachers.epochs", "4"],
        ...["--evaluation.epoch_eval_train", "5", "--evaluation.num_eval", "2"],
      ],
      root,
    );
    expect([code, stderr]).toEqual([0, ""]);
    makeRun(join(runs, "live"), { iterations: 100, done: 40 });
    makeRun(join(runs, "long"), { iterations: 10_000, done: 10_000 });
    report = await serveReport([runs]);
    browser = await openBrowser();
  });
  afterAll(async () => {
    await browser.close();
    await report.close();
    rmSync(root, { recursive: true });
  });

  it("shows the curves, images, labels, accuracies and teachers of a real run", async () => {
    const { page, faults, requests } = await openPage(browser);
    await page.goto(address("real/1"));
    await charts(page);
    const titles = await page.locator(".chart h3").allTextContents();
    expect(titles).toEqual([
      ...["Matching loss", "Learned learning rate", "Start epochs", "Speed", "Memory"],
      "Test accuracy of teachers",
    ]);
    // Something is drawn on every chart, in more than the colours of its frame.
    for (const canvas of await page.locator(".chart canvas").all())
      expect(coloursOf(await canvas.screenshot())).toBeGreaterThan(30);
    await pictureOf(page);
    expect(await page.evaluate('document.querySelector(".sheet img").naturalHeight')).toBe(502);
    expect(await page.locator(".sheet li").allTextContents()).toEqual(
      Array.from({ length: 10 }, (_, k) => String(k)),
    );
    expect(await page.locator(".heat figcaption span").first().textContent()).toMatch(
      /^image 1 of “0”: 0 \d+\.\d %, /,
    );
    expect(await page.locator(".accuracy .own th").textContent()).toBe("distilled (DATM)");
    expect(await page.locator(".card .state").textContent()).toBe("finished, 20 of 20 iterations");
    expect(faults).toEqual([]);
    for (const url of requests) expect(url.startsWith(report.url)).toBe(true);
    await page.close();
  });

  it("follows a run while it goes on", async () => {
    const folder = join(runs, "live");
    const { page, faults } = await openPage(browser);
    await page.goto(address("live/1"));
    await charts(page);
    const state = page.locator(".card .state");
    expect(await state.textContent()).toBe("running, 40 of 100 iterations");
    appendIterations(folder, 41, 60);
    await state.filter({ hasText: "60 of 100" }).waitFor();
    const where = page.locator(".chart .where").first();
    expect(await where.textContent()).toBe("iteration 60");
    // It begins again from nothing.
    makeRun(folder, { iterations: 100, done: 5 });
    await state.filter({ hasText: " 5 of 100" }).waitFor();
    expect(faults).toEqual([]);
    await page.close();
  });

  it("shows several runs side by side, and what differs in their settings", async () => {
    const { page, faults } = await openPage(browser);
    await page.goto(address("real/1"));
    await charts(page);
    expect(await page.locator(".card").count()).toBe(1);
    await page.locator(".chooser fieldset", { hasText: "live" }).getByRole("checkbox").check();
    await page.locator(".card").nth(1).waitFor();
    await page.locator(".set").nth(1).waitFor();
    const legend = page.locator(".chart").first().locator(".legend li:not(.where)");
    const [first, second] = await legend.allTextContents();
    expect([first!.trim().split(" ")[0], second!.trim().split(" ")[0]]).toEqual(["real", "live"]);
    expect(new URL(page.url()).hash).toBe("#real%2F1&live%2F1");
    await page.locator("summary", { hasText: "Settings" }).click();
    const differing = await page.locator(".settings .differs th").allTextContents();
    expect(differing).toContain("iterations");
    expect(differing).not.toContain("network");
    // What is shown is kept in the address.
    await page.reload();
    await page.locator(".card").nth(1).waitFor();
    expect(faults).toEqual([]);
    await page.close();
  });

  it("can be used by keys alone", async () => {
    const { page, faults } = await openPage(browser);
    await page.goto(address("real/1"));
    await charts(page);
    const focused = (what = "localName"): Promise<string> =>
      page.evaluate(`document.activeElement.${what}`);
    await page.keyboard.press("Tab");
    expect(await focused("textContent")).toBe("Skip to the report");
    const outline = "getComputedStyle(document.activeElement).outlineStyle";
    expect(await page.evaluate(outline)).toBe("solid");
    await page.keyboard.press("Enter");
    expect(await focused("id")).toBe("content");
    expect(new URL(page.url()).hash).toBe("#real%2F1");
    const path: string[] = [];
    for (let i = 0; i < 9; i++) {
      await page.keyboard.press("Tab");
      path.push(await focused());
      expect(await page.evaluate(outline)).toMatch(i < 8 ? /^(?:solid|auto)$/ : /./);
    }
    expect(path).toEqual([
      ...["select", "input", "div", "button", "input", "input", "div", "summary", "body"],
    ]);
    // The slider of the images by arrows.
    const slider = page.getByRole("slider", { name: "Iteration of the images" });
    await slider.focus();
    expect(await slider.getAttribute("aria-valuetext")).toBe("iteration 20");
    await page.keyboard.press("ArrowLeft");
    expect(await slider.getAttribute("aria-valuetext")).toBe("iteration 19");
    expect(await page.locator(".sheet img").getAttribute("src")).toContain("iteration=19");
    await page.keyboard.press("Home");
    expect(await page.locator(".sheet img").getAttribute("src")).toContain("iteration=0&");
    // The heat map, image by image.
    const map = page.locator(".map");
    await map.focus();
    await page.keyboard.press("ArrowRight");
    expect(await map.getAttribute("aria-valuetext")).toMatch(/^image 1 of “1”: 1 /);
    // Dark and light.
    await page.getByLabel("Colours").focus();
    await page.keyboard.press("d");
    await page.waitForFunction('getComputedStyle(document.documentElement).colorScheme === "dark"');
    expect(faults).toEqual([]);
    await page.close();
  });

  it("fits a phone", async () => {
    const viewport = { width: 360, height: 740 };
    const { page, faults } = await openPage(browser, { viewport, hasTouch: true });
    await page.goto(address("real/1", "long/1"));
    await charts(page);
    await page.locator(".set").nth(1).waitFor();
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(360);
    expect(await page.locator(".chooser details").getAttribute("open")).toBe(null);
    expect(faults).toEqual([]);
    await page.close();
  });

  it("is ready in less than a second for 10,000 iterations", async () => {
    const times: number[] = [];
    for (let i = 0; i < 3; i++) {
      const { page, faults } = await openPage(browser);
      await page.goto(address("long/1"));
      await page.locator(".card .state", { hasText: "10,000 of 10,000" }).waitFor();
      await charts(page);
      times.push(await page.evaluate("performance.now()"));
      expect(await page.locator(".chart .where").first().textContent()).toMatch(
        /^iteration 9,99\d$/,
      );
      expect(faults).toEqual([]);
      await page.close();
    }
    // The machine may be busy with something else, but not always.
    expect(Math.min(...times)).toBeLessThan(1000);
  });

  it("is whole in one file, without a server and without a request", async () => {
    const file = join(root, "report.html");
    await exportReport([join(runs, "real")], file);
    const { page, faults, requests } = await openPage(browser);
    await page.goto(pathToFileURL(file).href);
    await charts(page);
    await pictureOf(page);
    expect(await page.locator(".chart").count()).toBe(6);
    expect(await page.locator(".heat").count()).toBe(1);
    const slider = page.getByRole("slider", { name: "Iteration of the images" });
    await slider.focus();
    await page.keyboard.press("Home");
    expect(await slider.getAttribute("aria-valuetext")).toBe("iteration 0");
    const others = requests.filter((url) => !url.startsWith("data:"));
    expect(others).toEqual([pathToFileURL(file).href]);
    expect(faults).toEqual([]);
    await page.close();
  });

  it("may run no other script, and ask nobody else", async () => {
    const file = join(root, "attacked.html");
    const run = join(root, "attack");
    cpSync(join(runs, "real"), run, { recursive: true });
    const attack = "</script><script>document.title = 'attacked'</script><img src=x onerror=1>";
    const row = { method: attack, ipc: 1, mean: 0.5, std: 0.1 };
    writeFileSync(join(run, "results.json"), JSON.stringify([row]));
    await exportReport([run], file);
    const { page, requests } = await openPage(browser);
    await page.goto(pathToFileURL(file).href);
    await charts(page);
    expect(await page.title()).toBe("Potstill report");
    // It is shown as the text that it is.
    await page.getByText(attack).first().waitFor();
    const asked = await page.evaluate('fetch("http://127.0.0.1:9/").then(String, String)');
    expect(asked).toMatch(/TypeError/);
    expect(requests.filter((url) => url.startsWith("http://127.0.0.1:9"))).toEqual([]);
    await page.close();
  });

  it("shows an animation of the run as a browser reads it", async () => {
    const { page } = await openPage(browser);
    await page.goto(report.url);
    const bytes = [...readFileSync(join(runs, "real", "evolution-ipc1.png"))];
    const decoded = await page.evaluate(`(async () => {
      const data = new Uint8Array(${JSON.stringify(bytes)});
      const decoder = new ImageDecoder({ type: "image/png", data });
      await decoder.tracks.ready;
      const { frameCount, animated } = decoder.tracks.selectedTrack;
      const { image } = await decoder.decode({ frameIndex: frameCount - 1 });
      return [frameCount, animated, image.displayWidth, image.duration / 1000];
    })()`);
    expect(decoded).toEqual([21, true, 52, 2000]);
    await page.close();
  });
});
