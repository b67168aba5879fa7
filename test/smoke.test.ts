/** @file The least that must work on every adapter: CI runs it on the bundled SwiftShader too. */

import { expect, test } from "vitest";

import { Gpu } from "../engine/gpu/device.ts";
import { DOUBLES, doubles } from "./support/doubling.ts";

test("a compute shader's values come back from the adapter that was asked for", async () => {
  using gpu = await Gpu.open();
  const wanted = process.env["POTSTILL_ADAPTER"];
  if (wanted !== undefined && wanted !== "") expect(gpu.facts.kind).toBe(wanted);
  expect(await doubles(gpu)).toEqual(DOUBLES);
});
