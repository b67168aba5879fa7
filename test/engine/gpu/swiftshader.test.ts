/** @file Processes that open a GPU and end, on the machine's adapter and on the SwiftShader that npm brings. */

import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";

import { bundledArchive } from "../../../engine/gpu/swiftshader.ts";
import { DOUBLES } from "../../support/doubling.ts";

const root = new URL("../../../", import.meta.url);

/** A program for a child process: opens, doubles, disposes, prints a line of JSON. */
const PROGRAM = `
  const { Gpu } = await import("./engine/gpu/device.ts");
  const { doubles } = await import("./test/support/doubling.ts");
  const gpu = await Gpu.open();
  const values = await doubles(gpu);
  gpu[Symbol.dispose]();
  console.log(JSON.stringify({ kind: gpu.facts.kind, values }));
`;

interface Child {
  status: number | null;
  output: string;
  errors: string;
  /** From the line of JSON to the end of the process. */
  lingeredMs: number;
}

function runChild(env: Record<string, string>, prefix: string[] = []): Promise<Child> {
  const node = [process.execPath, "--import", "tsx", "--input-type=module", "-e", PROGRAM];
  const [command = "", ...args] = [...prefix, ...node];
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, env: { ...process.env, ...env } });
    let output = "";
    let errors = "";
    let printed = NaN;
    child.stdout.on("data", (data: Buffer) => {
      output += data.toString();
      printed = performance.now();
    });
    child.stderr.on("data", (data: Buffer) => {
      errors += data.toString();
    });
    child.on("error", reject);
    child.on("close", (status) => {
      resolve({ status, output, errors, lingeredMs: performance.now() - printed });
    });
  });
}

describe("a process of its own", () => {
  const scratch = mkdtempSync(join(tmpdir(), "potstill-test-"));
  afterAll(() => {
    rmSync(scratch, { recursive: true, force: true });
  });
  const swiftshader = { kind: "swiftshader", values: DOUBLES };

  test("ends by itself when the GPU is disposed", async () => {
    const { status, output, lingeredMs } = await runChild({});
    expect(status).toBe(0);
    expect(JSON.parse(output)).toMatchObject({ values: DOUBLES });
    expect(lingeredMs).toBeLessThan(2000);
  });

  describe.skipIf(bundledArchive() === undefined)("on the bundled SwiftShader", () => {
    test("two that start together unpack it into an empty cache, and both run", async () => {
      const env = { POTSTILL_ADAPTER: "swiftshader", XDG_CACHE_HOME: join(scratch, "cache") };
      for (const child of await Promise.all([runChild(env), runChild(env)])) {
        expect(child, child.errors).toMatchObject({ status: 0 });
        expect(JSON.parse(child.output)).toEqual(swiftshader);
        expect(child.lingeredMs).toBeLessThan(2000);
      }
      const left = readdirSync(join(scratch, "cache", "potstill"));
      expect(left).toEqual([expect.stringMatching(/^swiftshader-/)]);
    });

    test("a cache that cannot be written gives way to the temp folder", async () => {
      // A file where the folder should be stops even root.
      const env = {
        POTSTILL_ADAPTER: "swiftshader",
        XDG_CACHE_HOME: "/dev/null",
        TMPDIR: mkdtempSync(join(scratch, "tmp-")),
      };
      const { output, errors } = await runChild(env);
      expect(JSON.parse(output), errors).toEqual(swiftshader);
      expect(readdirSync(env.TMPDIR).join()).toMatch(/potstill-/);
    });

    test("a machine whose drivers are none uses it unasked", async () => {
      const none = { POTSTILL_ADAPTER: "", VK_ICD_FILENAMES: "/none", VK_DRIVER_FILES: "/none" };
      const { output, errors } = await runChild(none);
      expect(JSON.parse(output), errors).toEqual(swiftshader);
    });
  });

  const canHide = spawnSync("unshare", ["-rm", "mount", "--bind", "/dev/null", "/dev/zero"]);
  describe.skipIf(canHide.status !== 0 || process.platform !== "linux")(
    "whose Vulkan loader is hidden",
    () => {
      const hideLoader =
        "for f in $(PATH=$PATH:/sbin ldconfig -p | sed -n 's/.*libvulkan\\.so\\.1 .*=> //p'); " +
        'do mount --bind /dev/null "$(readlink -f "$f")"; done';
      const hidden = (script: string) => [
        "unshare",
        "-rm",
        "bash",
        "-c",
        `${script}; exec "$@"`,
        "bash",
      ];

      test.skipIf(bundledArchive() === undefined)(
        "uses the bundled SwiftShader unasked",
        async () => {
          const { output, errors } = await runChild({ POTSTILL_ADAPTER: "" }, hidden(hideLoader));
          expect(JSON.parse(output), errors).toEqual(swiftshader);
          expect(errors).toBe("");
        },
      );

      test("tells the ways to an adapter where the bundled SwiftShader is missing too", async () => {
        const hideBoth = `${hideLoader}; mount -t tmpfs none node_modules/@sparticuz`;
        const { status, errors } = await runChild({ POTSTILL_ADAPTER: "" }, hidden(hideBoth));
        expect(status).toBe(1);
        expect(errors).toContain(
          "AdapterError: adapter: one must be present, got none: install a GPU driver with Vulkan, " +
            "Metal or D3D12, or Debian's mesa-vulkan-drivers of version 23 or later " +
            "(in bookworm-backports), or run `npm install @sparticuz/chromium@147.0.0`",
        );
      });
    },
  );
});
