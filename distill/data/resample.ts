/**
 * @file Pictures brought to another size: separable triangle filters over all pixels that a new one
 * covers, in whole numbers, so that they come out the same on every machine, and as from Pillow
 * (antialiased bilinear), which torchvision's loaders use.
 */

/** Interleaved bytes `[H, W, C]`. */
export interface Pixels {
  readonly data: Uint8Array;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** Fractional bits of a weight: 255 times all weights of a pixel still fits 31 bits. */
const BITS = 22;

/** Which old pixels make a new one. */
interface Taps {
  readonly first: number;
  /** Of a sum of 2^BITS. */
  readonly weights: Int32Array;
}

function triangle(from: number, to: number): Taps[] {
  const scale = from / to;
  const reach = Math.max(1, scale);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(from, Math.trunc(centre + reach + 0.5));
    const weights = Array.from({ length: end - first }, (_, t) =>
      Math.max(0, 1 - Math.abs((first + t + 0.5 - centre) / reach)),
    );
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: Int32Array.from(weights, (w) => Math.round((w / sum) * 2 ** BITS)) };
  });
}

/** The picture with `to` pixels along one axis. */
function alongAxis(picture: Pixels, axis: "height" | "width", to: number): Pixels {
  if (picture[axis] === to) return picture;
  const { data, channels } = picture;
  const size = { height: picture.height, width: picture.width, [axis]: to };
  const out = new Uint8Array(size.height * size.width * channels);
  const rowBytes = picture.width * channels;
  const step = axis === "width" ? channels : rowBytes;
  const taps = triangle(picture[axis], to);
  let at = 0;
  for (let y = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++) {
      const { first, weights } = taps[axis === "width" ? x : y]!;
      const line = axis === "width" ? y * rowBytes : x * channels;
      for (let c = 0; c < channels; c++) {
        let sum = 1 << (BITS - 1);
        let from = line + first * step + c;
        for (const weight of weights) {
          sum += data[from]! * weight;
          from += step;
        }
        out[at++] = sum >> BITS;
      }
    }
  }
  return { data: out, channels, ...size };
}

/** The middle of a picture whose shorter side is brought to `size` first: `[size, size, C]`. */
export function resizedMiddle(picture: Pixels, size: number): Pixels {
  const { height, width } = picture;
  const shorter = Math.min(height, width);
  const [high, wide] = [height, width].map((side) => Math.floor((size * side) / shorter));
  return middle(alongAxis(alongAxis(picture, "width", wide!), "height", high!), size);
}

function middle({ data, height, width, channels }: Pixels, size: number): Pixels {
  const [top, left] = [height, width].map((side) => Math.floor((side - size) / 2));
  const out = new Uint8Array(size * size * channels);
  for (let y = 0; y < size; y++) {
    const from = ((top! + y) * width + left!) * channels;
    out.set(data.subarray(from, from + size * channels), y * size * channels);
  }
  return { data: out, height: size, width: size, channels };
}
