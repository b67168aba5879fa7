/** @file Trains a classifier on a distilled set and classifies a picture. */
import { fileURLToPath } from "node:url";

import { loadDistilled, trainClassifier } from "potstill";

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

// 100 images that were distilled from 1297 handwritten digits, by the shipped recipe digits-ipc10.
const set = await loadDistilled(here("digits-ipc10.safetensors"));
using classifier = await trainClassifier(set, { seed: 0, epochs: 300 });

const [found] = await classifier.classifyPictures([here("seven.png")]);
const percent = (100 * found!.probability).toFixed(1);
console.log(`seven.png is a ${found!.name} (${percent} %)`);

// Parameters under PyTorch's names, class names and preprocessing: `loadClassifier` reads it.
const [, , path] = process.argv;
if (path !== undefined) classifier.save(path);
