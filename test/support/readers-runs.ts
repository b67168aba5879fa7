/** @file Readers of distilled sets, teachers, recipes and the files of runs. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { recordWork, readWork } from "../../distill/cluster/work.ts";
import { knownResult, readResult, writeResult } from "../../distill/cluster/results.ts";
import { asTask, readTasks } from "../../distill/cluster/tasks.ts";
import { loadDigits } from "../../distill/data/digits.ts";
import { readDistilled, writeDistilled } from "../../distill/distilled.ts";
import { readClassifier, writeClassifier } from "../../distill/evaluation/classifier-file.ts";
import { loadDistilled } from "../../distill/exchange/load.ts";
import { readNpz, writeNpz } from "../../distill/exchange/npz.ts";
import { writePictureFolder } from "../../distill/exchange/picture-folder.ts";
import { readPublishedSet, writePublishedSet } from "../../distill/exchange/published-set.ts";
import { importReplayBuffers } from "../../distill/exchange/replay-buffer.ts";
import {
  readRecipe,
  readRecipes,
  recipesToYaml,
  shippedRecipes,
} from "../../distill/recipe-file.ts";
import { findRuns } from "../../distill/report/folder.ts";
import { labelsOf, sheetOf, summariesOf, updateOf } from "../../distill/report/reader.ts";
import { listSnapshots, readSnapshot } from "../../distill/report/snapshot.ts";
import { readAbout, writeAbout } from "../../distill/resume/about.ts";
import { lastCheckpoint, writeCheckpoint } from "../../distill/resume/checkpoint.ts";
import { UnfinishedEvaluation } from "../../distill/resume/evaluation.ts";
import { locked } from "../../distill/resume/lock.ts";
import { writeTrajectory } from "../../distill/teachers/recorder.ts";
import { unfinishedEpoch, UnfinishedTeacher } from "../../distill/teachers/unfinished.ts";
import {
  readTrajectory,
  teacherFile,
  TrajectoryBuffer,
} from "../../distill/teachers/trajectory.ts";
import { Random } from "../../engine/index.ts";
import { buildModel, initialise } from "../../models/index.ts";
import { sample, whitened } from "../distill/exchange/sample.ts";
import { fixture } from "./fixture.ts";
import { madeRecipe, makeRun } from "./run-folder.ts";
import type { TeacherKind } from "../../distill/teachers/teacher-meta.ts";
import { teacherMeta } from "./teacher-meta.ts";

import type { Reader } from "./readers.ts";

const recipe = madeRecipe(50);
const digits = { channels: 1, size: 8, classes: 10 };
const classifier = buildModel("ConvNetD2", digits, { width: 2 });
const published = buildModel("ConvNetD3", digits, { width: 2 });
const random = new Random(3);
const floats = (count: number): Float32Array<ArrayBuffer> => random.fill(count, -1, 1);
/** Of a teacher that is not trained to its end. */
const unfinished: TeacherKind = teacherMeta();

/** Rows by what is read. */
export const readersOfRuns: Readonly<Record<string, Reader>> = {
  "distilled set": {
    of: ["readDistilled", "readBundle", "loadDistilled", "readSet", "kindOf"],
    make: (folder) => {
      writeDistilled(join(folder, "a.safetensors"), sample);
      writeDistilled(join(folder, "b.safetensors"), whitened);
      return ["a.safetensors", "b.safetensors"];
    },
    read: async (folder) => {
      readDistilled(join(folder, "b.safetensors"));
      await loadDistilled(join(folder, "a.safetensors"));
    },
  },
  "distilled set, npz": {
    of: ["readNpz", "kindOf"],
    make: (folder) => {
      writeNpz(join(folder, "a.npz"), whitened);
      return ["a.npz"];
    },
    read: async (folder) => {
      readNpz(join(folder, "a.npz"));
      await loadDistilled(join(folder, "a.npz"));
    },
  },
  "distilled set, pictures": {
    of: ["readPictureFolder"],
    make: (folder) => {
      writePictureFolder(folder, whitened);
      return ["labels.csv", "distilled.json", "zca.npz"];
    },
    read: (folder) => loadDistilled(folder),
  },
  "distilled set, published": {
    of: ["readPublishedSet"],
    make: (folder) => {
      writePublishedSet(folder, sample);
      return ["images_best.pt", "labels_best.pt", "lr_best.pt"];
    },
    read: (folder) => readPublishedSet(folder, sample.meta),
  },
  "trajectories, published": {
    of: ["importReplayBuffers"],
    ...{
      make: (folder: string) => {
        writeFileSync(join(folder, "replay_buffer_0.pt"), fixture("buffers/replay_buffer_1.pt"));
        return ["replay_buffer_0.pt"];
      },
    },
    read: (folder) =>
      importReplayBuffers([join(folder, "replay_buffer_0.pt")], join(folder, "out"), published, {
        ...teacherMeta(),
        network: "ConvNetD3",
        width: 2,
      }),
  },
  teacher: {
    of: ["readTrajectory", "listTeachers", "decodeMeta"],
    make: (folder) => {
      writeTrajectory(
        teacherFile(folder, 0),
        teacherMeta({ testAccuracy: [0.5, 0.9] }),
        floats(12),
      );
      return ["teacher-0000.safetensors"];
    },
    read: (folder) => {
      const teacher = readTrajectory(teacherFile(folder, 0));
      for (const epoch of [0, 1, 2]) teacher.snapshot(epoch);
      return new TrajectoryBuffer(folder);
    },
  },
  "unfinished teacher": {
    of: ["UnfinishedTeacher", "unfinishedEpoch"],
    make: (folder) => {
      const kind = unfinished;
      const sizes = { tensors: [4], running: 0 };
      using teacher = new UnfinishedTeacher(teacherFile(folder, 0), kind, sizes);
      const state = { theta: floats(4), velocity: floats(4), running: floats(0) };
      teacher.add(0, state);
      teacher.add(1, state, 0.5);
      teacher.save(1, state);
      return ["teacher-0000.safetensors.state"];
    },
    read: (folder) => {
      const kind = unfinished;
      unfinishedEpoch(teacherFile(folder, 0));
      new UnfinishedTeacher(teacherFile(folder, 0), kind, {
        tensors: [4],
        running: 0,
      })[Symbol.dispose]();
    },
  },
  classifier: {
    of: ["readClassifier", "loadClassifier"],
    make: (folder) => {
      const shape = { channels: 1, height: 8, width: 8 };
      const training = {
        ...{ momentum: 0.9, weightDecay: 5e-4, augmentation: "none" },
        ...{ seed: 3, epochs: 2, batch: 8, lr: 0.1 },
      };
      const meta = { ...sample.meta, classes: loadDigits().classes, training, width: 2 };
      const preprocessing = { kind: "normalise", mean: [0.5], std: [0.5] } as const;
      const state = { theta: initialise(classifier, random), running: floats(0) };
      writeClassifier(join(folder, "c.safetensors"), {
        model: classifier,
        state,
        shape,
        meta: { ...meta, preprocessing },
      });
      return ["c.safetensors"];
    },
    read: (folder) => readClassifier(join(folder, "c.safetensors")),
  },
  recipe: {
    of: ["readRecipe", "parseRecipe", "readRecipes"],
    make: (folder) => {
      const text = readFileSync(shippedRecipes().get("cifar-10-ipc10")!);
      writeFileSync(join(folder, "a.yaml"), text);
      writeFileSync(join(folder, "b.yaml"), recipesToYaml({ a: recipe, b: recipe }));
      return ["a.yaml", "b.yaml"];
    },
    read: (folder) => {
      readRecipes(join(folder, "b.yaml"));
      return readRecipe(join(folder, "a.yaml"));
    },
  },
  checkpoint: {
    of: ["lastCheckpoint", "earliestCheckpoint", "hasCheckpoint"],
    make: (folder) => {
      writeFileSync(join(folder, "metrics.jsonl"), "");
      const state = {
        ...{ images: floats(640), labels: floats(100), lr: 0.5, best: undefined },
        ...{ velocityImages: floats(640), velocityLabels: floats(100), velocityLr: 0 },
        ...{ lossSum: 1, losses: 3, iteration: 2, rejected: 0 },
      };
      writeCheckpoint(folder, recipe, { state, skipped: 0 }, ["metrics.jsonl"]);
      return ["checkpoint-ipc1.safetensors"];
    },
    read: (folder) => {
      const { checkpoint } = lastCheckpoint(folder, recipe);
      if (!checkpoint) return undefined;
      const { images, labels, velocityImages, velocityLabels } = checkpoint.state;
      const lengths = [images, labels, velocityImages, velocityLabels].map(({ length }) => length);
      if (String(lengths) !== "640,100,640,100") throw new Error(`lengths ${String(lengths)}`);
      return checkpoint;
    },
  },
  "run.json": {
    of: ["readAbout"],
    make: (folder) => {
      const versions = { potstill: "1", node: "1", webgpu: "1" };
      const made_by = { ...versions, adapter: "a", driver: "d", backend: "b" };
      const about = { seed: 0, precision: "f32" as const, made_by, resumed_by: [made_by] };
      writeAbout(folder, { command: "distill", recipes: { a: "b" }, ...about });
      return ["run.json"];
    },
    read: (folder) => readAbout(folder),
  },
  "evaluation.json": {
    of: ["UnfinishedEvaluation"],
    lenient: true,
    make: (folder) => {
      new UnfinishedEvaluation(folder, ["what"]).seeds("key").add(0, [[1, 0]]);
      return ["evaluation.json"];
    },
    read: (folder) => new UnfinishedEvaluation(folder, ["what"]),
  },
  "run.lock": {
    of: ["locked"],
    make: (folder) => {
      const other = { pid: 4_000_000, host: "elsewhere", begun: "1" };
      writeFileSync(join(folder, "run.lock"), JSON.stringify(other));
      return ["run.lock"];
    },
    read: (folder) => locked(join(folder, "run.lock"), folder, () => Promise.resolve()),
  },
  "work.json": {
    of: ["readWork"],
    make: (folder) => {
      recordWork(folder, { command: "teach", units: ["teacher-0000", "teacher-0001"] });
      return ["work.json"];
    },
    read: (folder) => readWork(folder),
  },
  "unit's result": {
    of: ["readResult", "knownResult", "listResults"],
    make: (folder) => {
      writeResult(folder, "a", { accuracy: [0.5, 1] });
      return ["units/a.json"];
    },
    read: (folder) => {
      knownResult(folder, "a");
      return readResult(folder, "a");
    },
  },
  "shard's word": {
    of: ["readTasks"],
    lenient: true,
    make: async (folder) => {
      const some = { units: 3, before: 1 };
      await asTask(folder, { index: 0, count: 2 }, some, () => Promise.resolve());
      return ["tasks/shard-1-of-2.json"];
    },
    read: (folder) => readTasks(folder),
  },
  snapshot: {
    of: ["readSnapshot", "listSnapshots"],
    make: (folder) => {
      makeRun(folder, { iterations: 2, done: 2 });
      return ["snapshots/ipc1-000001.safetensors"];
    },
    read: (folder) => {
      const found = listSnapshots(folder).find(({ iteration }) => iteration === 1)!;
      const snapshot = readSnapshot(found.file);
      sheetOf(snapshot);
      return labelsOf(snapshot);
    },
  },
  report: {
    of: ["updateOf", "summariesOf", "messagesOf", "accuraciesIn", "linesFrom", "findRuns"],
    lenient: true,
    make: (folder) => {
      makeRun(folder, { iterations: 40, done: 20 });
      const row = { method: "datm", ipc: 1, network: "ConvNetD2", mean: 0.5, std: 0.1, seeds: 2 };
      writeFileSync(join(folder, "results.json"), JSON.stringify([{ ...row, values: [0.4, 0.6] }]));
      return ["recipe.yaml", "metrics.jsonl", "timing.jsonl", "results.json"];
    },
    read: (folder) => {
      const runs = findRuns([folder]);
      return [summariesOf(runs), updateOf(runs[0]!)];
    },
  },
};
