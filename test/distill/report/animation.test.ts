/** @file Animations: their chunks are as the format says, and every frame is the picture that was given. */
import { crc32 } from "node:zlib";

import { decode } from "fast-png";
import { describe, expect, it } from "vitest";

import { animatedPng } from "../../../distill/report/animation.ts";
import type { Picture } from "../../../distill/report/pictures.ts";

interface Chunk {
  readonly type: string;
  readonly data: Buffer;
}

/** The chunks of a PNG, their checksums checked. */
function chunksOf(png: Uint8Array): Chunk[] {
  const bytes = Buffer.from(png);
  expect(bytes.subarray(0, 8).toString("latin1")).toBe("\x89PNG\r\n\x1a\n");
  const chunks: Chunk[] = [];
  for (let at = 8; at < bytes.length;) {
    const length = bytes.readUInt32BE(at);
    const body = bytes.subarray(at + 4, at + 8 + length);
    expect(bytes.readUInt32BE(at + 8 + length)).toBe(crc32(body));
    chunks.push({ type: body.toString("latin1", 0, 4), data: body.subarray(4) });
    at += 12 + length;
  }
  return chunks;
}

/** A plain PNG of some chunks, for a decoder that knows nothing of animations. */
function png(chunks: readonly Chunk[]): Uint8Array {
  const parts = chunks.map(({ type, data }) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const out = Buffer.alloc(body.length + 8);
    out.writeUInt32BE(data.length, 0);
    body.copy(out, 4);
    out.writeUInt32BE(crc32(body), body.length + 4);
    return out;
  });
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), ...parts]);
}

const picture = (channels: 1 | 3, seed: number, width = 5, height = 3): Picture => ({
  ...{ width, height, channels },
  data: Uint8ClampedArray.from(
    { length: width * height * channels },
    (_, i) => (i * 37 + seed * 101) % 256,
  ),
});

describe("animatedPng", () => {
  it.each([1, 3] as const)("holds every frame of %i channels, in order", (channels) => {
    const frames = [0, 1, 2].map((seed) => ({
      picture: picture(channels, seed),
      ms: 100 * (seed + 1),
    }));
    const chunks = chunksOf(animatedPng(frames));
    expect(chunks.map(({ type }) => type)).toEqual(
      ["IHDR", "acTL", "fcTL", "IDAT", "fcTL", "fdAT", "fcTL", "fdAT", "IEND"], // prettier-ignore
    );
    const [header, control] = chunks;
    expect([control!.data.readUInt32BE(0), control!.data.readUInt32BE(4)]).toEqual([3, 0]);
    const numbered = chunks.filter(({ type }) => type === "fcTL" || type === "fdAT");
    expect(numbered.map(({ data }) => data.readUInt32BE(0))).toEqual([0, 1, 2, 3, 4]);
    const controls = chunks.filter(({ type }) => type === "fcTL").map(({ data }) => data);
    controls.forEach((data, i) => {
      const rectangle = [4, 8, 12, 16].map((at) => data.readUInt32BE(at));
      expect(rectangle).toEqual([5, 3, 0, 0]);
      expect([data.readUInt16BE(20), data.readUInt16BE(22)]).toEqual([100 * (i + 1), 1000]);
      expect([data.length, data[24], data[25]]).toEqual([26, 0, 0]);
    });
    const images = chunks
      .filter(({ type }) => type === "IDAT" || type === "fdAT")
      .map(({ type, data }) => (type === "IDAT" ? data : data.subarray(4)));
    images.forEach((data, i) => {
      const frame = decode(
        png([header!, { type: "IDAT", data }, { type: "IEND", data: Buffer.alloc(0) }]),
      );
      expect([frame.width, frame.height, frame.channels]).toEqual([5, 3, channels]);
      expect([...frame.data]).toEqual([...frames[i]!.picture.data]);
    });
  });

  it("is its first frame to a decoder of plain PNG", () => {
    const frames = [0, 1].map((seed) => ({ picture: picture(1, seed), ms: 1 }));
    expect([...decode(animatedPng(frames)).data]).toEqual([...frames[0]!.picture.data]);
  });

  it("refuses no frame, and frames of several sizes", () => {
    expect(() => animatedPng([])).toThrow("animatedPng: there must be a frame, got none");
    const frames = [
      { picture: picture(1, 0), ms: 1 },
      { picture: picture(1, 0, 3, 5), ms: 1 },
    ];
    expect(() => animatedPng(frames)).toThrow(
      "animatedPng: every frame must be 5×3 of 1 channels as the first, got 3×5 of 1",
    );
  });
});
