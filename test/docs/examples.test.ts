/** @file The examples of docs/ run as they are written, and do what they say. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { describe, expect, it, vi } from "vitest";

import { loadClassifier } from "../../distill/evaluation/classifier.ts";
import { loadDigits } from "../../distill/data/digits.ts";
import { interpret } from "../../engine/index.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

describe("an example", () => {
  it("trains a classifier that knows a picture, and saves it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "potstill-examples-"));
    const path = join(folder, "digits.safetensors");
    try {
      const command = ["--import", "tsx", "docs/examples/classify.ts", path];
      const { stdout, status } = spawnSync(process.execPath, command, {
        cwd: root,
        encoding: "utf8",
      });
      expect(stdout).toMatch(/^seven\.png is a 7 \(\d\d\.\d %\)\n$/);
      expect(status).toBe(0);
      using classifier = await loadClassifier(path);
      expect(await classifier.accuracy(loadDigits().test)).toBeGreaterThan(0.85);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("has the Hessian's product that differences of the gradient give", async () => {
    const log = vi.spyOn(console, "log").mockImplementation(() => undefined);
    const { loss, gradient, products, results, values } =
      await import("../../docs/examples/hessian.ts");
    expect(log.mock.calls).toEqual([
      [expect.stringMatching(/^the loss is 0\.\d+, its second derivative along v -?\d\.\d+$/)],
    ]);
    log.mockRestore();
    // In float64, by the engine's interpreter: gradients a little way along v, and back.
    const step = 1e-4;
    const moved = (way: number): number[] => {
      const at = (name: "1" | "2"): Float64Array =>
        Float64Array.from(values[`w${name}`]!, (w, i) => w + way * values[`v${name}`]![i]!);
      return interpret(gradient, { ...values, w1: at("1"), w2: at("2") }).flatMap((g) => [...g]);
    };
    const [ahead, behind] = [moved(step), moved(-step)];
    const wanted = ahead.map((g, i) => (g - behind[i]!) / (2 * step));
    const scale = Math.max(...wanted.map(Math.abs));
    expect(scale).toBeGreaterThan(1e-3);
    const [found, h1, h2, curvature] = results;
    const product = [...h1, ...h2];
    expect(product.length).toBe(wanted.length);
    product.forEach((h, i) => expect(Math.abs(h - wanted[i]!)).toBeLessThan(1e-5 * scale + 1e-8));
    expect(found[0]).toBeCloseTo(interpret([loss], values)[0]![0]!, 6);
    const direction = [...values["v1"]!, ...values["v2"]!];
    const along = wanted.reduce((sum, h, i) => sum + h * direction[i]!, 0);
    expect(Math.abs(curvature[0]! - along)).toBeLessThan(1e-4 * Math.abs(along));
    expect(products.length).toBe(2);
  });
});
