/** @file Metadata of made-up teachers. */
import type { TeacherMeta } from "../../distill/teachers/teacher-meta.ts";

/** Teachers of 2 epochs on the digits, all snapshots kept, but for `changes`. */
export function teacherMeta(changes: Partial<TeacherMeta> = {}): TeacherMeta {
  const { epochs = 2 } = changes;
  return {
    dataset: "digits",
    data: "1234abcd",
    preprocessing: "normalise mean 0.5 std 0.25",
    augmentation: "none",
    network: "ConvNetD2",
    width: 16,
    seed: 3,
    epochs,
    batch: 32,
    optimizer: "sgd",
    lr: 0.05,
    momentum: 0,
    weightDecay: 0,
    rho: 0,
    alpha: 0,
    adaptive: false,
    precision: "float32",
    keepEpochs: [0, epochs],
    line: "none",
    testAccuracy: [],
    ...changes,
  };
}
