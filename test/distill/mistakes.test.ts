/** @file What the command line says to mistakes: one sentence, an exit code, and nothing half-written. */

import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { COMMANDS } from "../../distill/cli/main.ts";
import { shippedRecipes } from "../../distill/recipe-file.ts";
import { contents, runCli } from "../support/run-cli.ts";

let root: string;
let made = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-mistakes-"));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

/** A new empty folder. */
function emptyFolder(): string {
  const folder = join(root, String(made++));
  mkdirSync(folder);
  return folder;
}

const ONE_OF_COMMANDS = `the command must be one of ${[...COMMANDS, "bench"].join(", ")}`;
const RECIPE_TEXT = readFileSync(shippedRecipes().get("digits-ipc1")!, "utf8");

interface Mistake {
  readonly mistake: string;
  readonly args: readonly string[];
  /** All that is said, or how it must look. */
  readonly says: string | RegExp;
  /** 1 unless the usage is wrong. */
  readonly code?: 1 | 2;
  /** Files that are there, by name. */
  readonly files?: Readonly<Record<string, string>>;
}

const usage = (mistake: string, args: readonly string[], says: string): Mistake => ({
  mistake,
  args,
  says: `potstill: ${says}`,
  code: 2,
});
const digits = (mistake: string, args: readonly string[], says: string | RegExp): Mistake => ({
  mistake,
  args: ["distill", "digits", ...args],
  says,
});

const MISTAKES: readonly Mistake[] = [
  usage(
    "no command",
    [],
    `a command must be given: ${[...COMMANDS, "bench"].join(", ")} (see --help)`,
  ),
  usage("an unknown command", ["brew"], `${ONE_OF_COMMANDS}, got "brew" (see --help)`),
  usage(
    "a mistyped command",
    ["distil", "digits"],
    `${ONE_OF_COMMANDS}, got "distil" (did you mean distill?)`,
  ),
  usage(
    "an unknown flag",
    ["distill", "digits", "--frobnicate", "3"],
    "every flag must be one of the command's, got --frobnicate (see --help)",
  ),
  usage(
    "a mistyped flag",
    ["distill", "digits", "--iteration=3"],
    "every flag must be one of the command's, got --iteration (did you mean --iterations?)",
  ),
  usage(
    "a mistyped flag of a group",
    ["distill", "digits", "--teachers.expert", "3"],
    "every flag must be one of the command's, got --teachers.expert (did you mean --teachers.experts?)",
  ),
  usage(
    "a flag without its value",
    ["distill", "digits", "--ipc"],
    "--ipc must have a value, got none",
  ),
  usage(
    "an adapter without its name",
    ["info", "--adapter"],
    "--adapter must have a value, got none",
  ),
  usage(
    "unknown checks",
    ["info", "--checks", "slow"],
    '--checks must be one of "safe", "fast", got "slow"',
  ),
  usage("a trace without its file", ["info", "--profile"], "--profile must have a value, got none"),
  usage(
    "a program that is neither a network nor a recipe",
    ["info", "--program", "ResNet"],
    `--program must be a network (ConvNetD3) or a shipped recipe (${[...shippedRecipes().keys()].join(", ")}), got "ResNet"`,
  ),
  usage(
    "an unknown procedure",
    ["info", "--program", "ConvNetD3", "--procedure", "leap"],
    '--procedure must be one of "begin", "stepPart", "step", "measure", "turn", "recall", "adjointPart", "adjoint", "update", got "leap"',
  ),
  usage(
    "a size that is no number",
    ["info", "--program", "ConvNetD3", "--width", "wide"],
    "--width must be an integer from 1, got NaN",
  ),
  usage(
    "sizes of no program",
    ["info", "--batch", "3"],
    "--batch must come with --program NAME, got none",
  ),
  usage(
    "a word too many",
    ["distill", "digits", "letters"],
    'every word must belong to the command, got "letters" (see --help)',
  ),
  usage(
    "no run to evaluate",
    ["evaluate"],
    "evaluate: a run's folder, a distilled set or a data set must be given, got none (see --help)",
  ),
  {
    mistake: "neither a data set nor a recipe",
    args: ["distill"],
    says: "distill: needs a data set or a recipe: potstill distill digits, or potstill distill --recipe FILE",
  },
  {
    mistake: "an unknown data set",
    args: ["distill", "digit"],
    says: /^dataset: must be one of digits, mnist, [^"]+, or a path that exists, got "digit" \(did you mean digits\?\)$/,
  },
  digits(
    "an unknown adapter",
    ["--adapter", "Voodoo 2"],
    /^adapter: must be hardware, lavapipe, swiftshader, null or part of an adapter's name, got "Voodoo 2" where there is .+$/,
  ),
  digits(
    "less memory than matching takes",
    ["--memory", "20KiB"],
    /^memory: must be at least [\d.]+ KiB for 1 of batch_syn's 10 images at once, got 20\.0 KiB$/,
  ),
  digits(
    "labels that are hard and learned",
    ["--labels", "hard", "--lr_y", "1"],
    "command line: lr_y must be 0 with hard labels, which are not learned, got 1",
  ),
  digits("ipc 0", ["--ipc", "0"], "command line: ipc must be an integer from 1, got 0"),
  digits(
    "an ipc that is no number",
    ["--ipc", "one"],
    "command line: ipc must be an integer from 1, got NaN",
  ),
  digits(
    "more images a class than there are",
    ["--ipc", "129"],
    "ipc: must be at most the images of every class, got 129 for 128 of class 0",
  ),
  digits(
    "minibatches larger than the synthetic set",
    ["--ipc", "1", "--batch_syn", "11"],
    "batch_syn: must be at most the 10 synthetic images, got 11",
  ),
  digits(
    "an unknown network",
    ["--network", "Perceptron"],
    /^network: must be one of ConvNet, .*, got "Perceptron"$/,
  ),
  digits(
    "a network too deep for the images",
    ["--network", "ConvNetD4"],
    "ConvNetD4: depth 4 needs images of at least 16 pixels, got 8",
  ),
  digits(
    "teachers too short for the range",
    ["--teachers.epochs", "2"],
    /^command line: teachers\.epochs must reach the last target, .* = \d, got 2$/,
  ),
  {
    mistake: "neither data nor a recipe for teachers",
    args: ["teach"],
    says: "teach: needs a data set or a recipe: potstill teach digits, or potstill teach --recipe FILE",
  },
  {
    mistake: "a mistyped flag of teachers",
    args: ["teach", "digits", "--epoch", "3"],
    says: "potstill: every flag must be one of the command's, got --epoch (did you mean --teachers.epochs?)",
    code: 2,
  },
  {
    mistake: "a flag that is not about teachers",
    args: ["teach", "digits", "--lr_img", "3"],
    says: /^potstill: every flag must be one of the command's, got --lr_img /,
    code: 2,
  },
  {
    mistake: "teachers of no epochs",
    args: ["teach", "digits", "--epochs", "0"],
    says: "command line: teachers.epochs must be an integer from 1, got 0",
  },
  {
    mistake: "epochs to keep that teachers do not have",
    args: ["teach", "digits", "--epochs", "3", "--keep_epochs", "0..4"],
    says: "command line: teachers.keep_epochs must end at the last epoch (3) at most, got 0..4",
  },
  digits(
    "teachers in a folder that is not there",
    ["--teachers", "none"],
    /^\/.*none: must exist, got no such file \(ENOENT\)$/,
  ),
  digits(
    "teachers in a folder without any",
    ["--teachers", "."],
    /^\/.*: must hold teacher-0000\.safetensors and so on, got none$/,
  ),
  digits("a file for a folder", ["--out", "taken"], "taken: must be a folder, got a file (EEXIST)"),
  digits(
    "a folder inside a file",
    ["--out", "taken/run"],
    "taken/run: every part of its path but the last must be a folder, got a file (ENOTDIR)",
  ),
  {
    mistake: "a recipe with an unknown key",
    args: ["distill", "--recipe", "mine.yaml"],
    files: { "mine.yaml": `iteration: 3\n${RECIPE_TEXT}` },
    says: 'mine.yaml, line 1: every key must be one of a recipe\'s, got "iteration" (did you mean "iterations"?)',
  },
  {
    mistake: "a recipe that is not there",
    args: ["distill", "--recipe", "yours.yaml"],
    says: "yours.yaml: must be a recipe file or a shipped recipe, got neither",
  },
  {
    mistake: "a recipe for other data than is named",
    args: ["distill", "digits", "--recipe", "mine.yaml"],
    files: { "mine.yaml": RECIPE_TEXT.replace("dataset: digits", "dataset: letters") },
    says: "mine.yaml: dataset must be digits, got letters",
  },
  {
    mistake: "a folder that is no run",
    args: ["evaluate", "."],
    says: ".: must be a run (a folder with recipe.yaml), a distilled set or the name of a data set, got a folder of none of them",
  },
  {
    mistake: "a file for a run",
    args: ["evaluate", "taken"],
    says: "taken: must be a distilled set (.safetensors or .npz) or a replay buffer (.pt), got another file",
  },
  {
    mistake: "a run that is not there",
    args: ["evaluate", "yesterday"],
    says: "yesterday: must be a run (a folder with recipe.yaml), a distilled set or the name of a data set, got nothing of that name",
  },
  usage(
    "a baseline that there is not",
    ["evaluate", "digits", "--baselines", "random,best"],
    'evaluate: --baselines must be none, or some of full, random, random-soft, herding, k-center joined by commas, got "best"',
  ),
  usage(
    "baselines of half an image",
    ["evaluate", "digits", "--ipc", "1,0.5"],
    'evaluate: --ipc must be whole numbers from 1 joined by commas, got "0.5"',
  ),
  {
    mistake: "a pool with a network that there is not",
    args: ["evaluate", "digits", "--networks", "MLP,Net"],
    says: /^network: must be one of .*, got "Net"$/,
  },
  {
    mistake: "a pool with a network that is too large for the images",
    args: ["evaluate", "digits", "--networks", "M"],
    says: /^VGG11: its five pools need images of at least 32 pixels, got 8$/,
  },
];

describe("a mistake is told in one sentence and leaves no file behind:", () => {
  it.concurrent.each(MISTAKES)("$mistake", async ({ args, says, code = 1, files = {} }) => {
    const folder = emptyFolder();
    const before = { taken: "a file\n", ...files };
    for (const [name, text] of Object.entries(before)) writeFileSync(join(folder, name), text);
    // Messages are the same wherever the user lives.
    const finished = await runCli(args, folder, { LC_ALL: "de_DE.UTF-8", LANG: "de_DE.UTF-8" });
    const sentence = finished.stderr.trimEnd();
    expect(sentence).toEqual(typeof says === "string" ? says : expect.stringMatching(says));
    expect(sentence).not.toContain("\n");
    expect([finished.code, finished.stdout]).toEqual([code, ""]);
    expect(contents(folder)).toEqual(before);
  });

  it("a run whose recipe is empty, with a sentence for each thing missing", async () => {
    const folder = emptyFolder();
    writeFileSync(join(folder, "recipe.yaml"), "{}\n");
    const { code, stdout, stderr } = await runCli(["evaluate", "."], folder);
    for (const line of stderr.trimEnd().split("\n"))
      expect(line).toMatch(/^recipe\.yaml: \w+ must be .+, got nothing$/);
    expect([code, stdout]).toEqual([1, ""]);
    expect(contents(folder)).toEqual({ "recipe.yaml": "{}\n" });
  });

  it("a folder that is not the user's to write", async () => {
    const folder = emptyFolder();
    // Root may write wherever there is a disk under it.
    const asRoot = process.getuid?.() === 0;
    if (!asRoot) chmodSync(folder, 0o500);
    const out = join(asRoot ? "/proc/self" : folder, "run");
    const { code, stdout, stderr } = await runCli(["distill", "digits", "--out", out], root);
    expect(stderr.startsWith(`${out}: `)).toBe(true);
    expect(stderr.trimEnd()).toMatch(/^[^\n]+, got [^\n]+ \(E[A-Z]+\)$/);
    expect([code, stdout]).toEqual([1, ""]);
    expect(contents(folder)).toEqual({});
  });
});
