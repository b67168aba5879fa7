/** @file Settings as flags: under the names that recipes have, hyphens or not. */

import { expect, it } from "vitest";

import { underscored } from "../../distill/cli/settings.ts";

it("takes hyphens for underscores in names of settings, and in nothing else", () => {
  const words = ["teach", "digits", "--per-class", "50", "--teachers.keep-epochs=0..9"];
  expect(underscored(words)).toEqual([
    ...["teach", "digits", "--per_class", "50", "--teachers.keep_epochs=0..9"],
  ]);
  expect(underscored(["--keep-epochs", "0..9", "--syn-steps=5"])).toEqual([
    ...["--keep_epochs", "0..9", "--syn_steps=5"],
  ]);
  const others = [
    "--dry-run",
    "--out",
    "my-run",
    "--lr-imgs",
    "-q",
    "--",
    "--no-zca",
    "a--per-class",
  ];
  expect(underscored(others)).toEqual(others);
});
