/** @file Soft labels as a heat map: a column for each image, a row for each class it may be of. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";

import { toProbability } from "../messages.ts";
import type { Labels } from "./source.ts";
import { channelsOf, resolvedColour } from "./theme.ts";
import { showPercent } from "./words.ts";

interface HeatMapProps {
  readonly labels: Labels;
  readonly colour: number;
  readonly theme: string;
  /** Of the set. */
  readonly label: string;
}

/** More names than this are not legible beside the map. */
const MOST_NAMES = 20;
/** Classes named for one image. */
const NAMED = 3;

export function HeatMap({ labels, colour, theme, label }: HeatMapProps) {
  const { classes, bytes } = labels;
  const count = bytes.length / classes.length;
  const perClass = count / classes.length;
  const canvas = useRef<HTMLCanvasElement>(null);
  const [image, setImage] = useState(0);
  useLayoutEffect(() => draw(canvas.current!, labels, colour), [labels, colour, theme]);

  const move = (event: KeyboardEvent): void => {
    const steps: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      PageUp: -perClass,
      PageDown: perClass,
      Home: -count,
      End: count,
    };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    setImage(Math.min(count - 1, Math.max(0, image + step)));
  };
  const point = (event: PointerEvent): void => {
    const { left, width } = canvas.current!.getBoundingClientRect();
    const column = Math.floor((count * (event.clientX - left)) / width);
    setImage(Math.min(count - 1, Math.max(0, column)));
  };
  const at = Math.min(image, count - 1);
  return (
    <figure class="heat">
      <div class="rows">
        {classes.length <= MOST_NAMES ? (
          <ol aria-hidden="true">
            {classes.map((name) => (
              <li key={name}>{name}</li>
            ))}
          </ol>
        ) : null}
        <div
          class="map"
          tabIndex={0}
          role="slider"
          aria-label={`Soft labels of ${label}: image`}
          aria-valuemin={1}
          aria-valuemax={count}
          aria-valuenow={at + 1}
          aria-valuetext={describe(labels, at, perClass)}
          onKeyDown={move}
          onPointerMove={point}
          onPointerDown={point}
        >
          <canvas ref={canvas} width={count} height={classes.length} />
          <i class="cursor" style={{ left: `${(100 * at) / count}%`, width: `${100 / count}%` }} />
        </div>
      </div>
      <figcaption>
        <span>{describe(labels, at, perClass)}</span>
        <span class="scale" aria-hidden="true">
          0 <i class={`ramp series-${colour}`} /> 1
        </span>
      </figcaption>
    </figure>
  );
}

/** `image 3 of "7": 7 82.1 %, 9 11.0 %, 1 2.2 %`. */
function describe({ classes, bytes }: Labels, image: number, perClass: number): string {
  const row = bytes.subarray(image * classes.length, (image + 1) * classes.length);
  const likeliest = [...row.keys()].sort((a, b) => row[b]! - row[a]!).slice(0, NAMED);
  const named = likeliest.map((k) => `${classes[k]!} ${showPercent(toProbability(row[k]!))}`);
  const own = classes[Math.floor(image / perClass)]!;
  return `image ${(image % perClass) + 1} of “${own}”: ${named.join(", ")}`;
}

/** One pixel a cell; the style sheet enlarges it. */
function draw(canvas: HTMLCanvasElement, { classes, bytes }: Labels, colour: number): void {
  const context = canvas.getContext("2d")!;
  const count = bytes.length / classes.length;
  const picture = context.createImageData(count, classes.length);
  const low = channelsOf(resolvedColour("--cell"));
  const high = channelsOf(resolvedColour(`--series-${colour}`));
  for (let n = 0; n < count; n++)
    for (let k = 0; k < classes.length; k++) {
      const share = bytes[n * classes.length + k]! / 255;
      const mixed = low.map((from, c) => from + share * (high[c]! - from));
      picture.data.set([...mixed, 255], 4 * (k * count + n));
    }
  context.putImageData(picture, 0, 0);
}
