/**
 * @file Programs that random tests found to be wrong once; they are tried before all others. A new one is
 * fast-check's counterexample, as it is printed, with a line that says what was wrong.
 */

import type { Recipe } from "./random-graph.ts";

export const foundPrograms: readonly [Recipe][] = [
  // The gradient of a pool of a pool: 204,110 characters of one shader, for it was not counted that a value
  // which several pads ask for is written out for each of them.
  [
    {
      shapes: [[]],
      steps: [
        [24422, 1343, 2877, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [2438, 3803, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
      ],
      outputs: [
        [52769, 0, 27562, 0],
        [0, 0, 3042, 0],
      ],
      seed: 0,
    },
  ],
];
