/**
 * @file `teachers.json` in a run's folder: how well teachers from another folder did. The report shows it and
 * reads nothing but the run for that.
 */
import { join } from "node:path";
import { z } from "zod";

import { writeAtomic } from "../files.ts";
import type { TrajectoryBuffer } from "./trajectory.ts";

export const FOLLOWED = "teachers.json";

const schema = z.object({
  /** In 0..1 after each epoch, of each teacher. */
  test_accuracy: z.array(z.array(z.number().min(0).max(1))),
});

/** Writes the file into the folder of a run that follows the teachers. Throws `FileError`. */
export function recordFollowed(folder: string, { teachers }: TrajectoryBuffer): void {
  const told: z.infer<typeof schema> = {
    test_accuracy: teachers.map(({ meta }) => [...meta.testAccuracy]),
  };
  writeAtomic(join(folder, FOLLOWED), `${JSON.stringify(told)}\n`);
}

/** The accuracies in the file's text. Throws a `SyntaxError` or a `ZodError` for another text. */
export const followedIn = (text: string): readonly (readonly number[])[] =>
  schema.parse(JSON.parse(text)).test_accuracy;
