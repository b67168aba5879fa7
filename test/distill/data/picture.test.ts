/** @file Pictures: decoded and resized to the byte as Pillow does, and damaged ones refused. */
import { createHash } from "node:crypto";

import { encode } from "fast-png";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { DataError } from "../../../distill/data/dataset.ts";
import { decodePicture, pictureHeader } from "../../../distill/data/picture.ts";
import { resizedMiddle } from "../../../distill/data/resample.ts";
import { noise } from "../../support/data-files.ts";
import { fixture } from "../../support/fixture.ts";
import { mutated, mutations } from "../../support/mutation.ts";

const COLOUR = fixture("picture.jpg");
const GREY = fixture("grey.jpg");

/** MD5 of what Pillow 9.4 makes of the two photographs, as they are and resized with the middle cut out. */
const BY_PILLOW = [
  { channels: 3, size: undefined, md5: "c44b326e064002a1df9b9002fa4d3961" },
  { channels: 3, size: 8, md5: "0e9489636be5c0412e02b20f9df81a1d" },
  { channels: 3, size: 16, md5: "d00ae31429487c4ea998c5f03c3de15c" },
  { channels: 3, size: 64, md5: "adeac1291b5a112fc38e7c1f7beb4cdf" },
  { channels: 1, size: undefined, md5: "1cbc61b6f33a505460b7cba3f41e7059" },
  { channels: 1, size: 8, md5: "9e5c50f76f564660ad288d520328a731" },
  { channels: 1, size: 16, md5: "81dcfc8a076119c2cc7aa952eac678b8" },
  { channels: 1, size: 64, md5: "a1bb0bf9eb44e8661a465a6c5008eede" },
] as const;

describe("a JPEG", () => {
  it.each(BY_PILLOW)("of $channels channels to size $size is as Pillow's", async (form) => {
    const { md5, ...wanted } = form;
    const { data } = await decodePicture(form.channels === 3 ? COLOUR : GREY, "f", wanted);
    expect(createHash("md5").update(data).digest("hex")).toBe(md5);
  });

  it("tells its size and whether it is grey", async () => {
    expect(await pictureHeader(COLOUR, "f")).toEqual({ grey: false, height: 37, width: 50 });
    expect(await pictureHeader(GREY, "f")).toEqual({ grey: true, height: 37, width: 50 });
  });

  it("in grey becomes colour when colour is asked for", async () => {
    const { data: one } = await decodePicture(GREY, "f", { channels: 1 });
    const { data: three } = await decodePicture(GREY, "f", { channels: 3 });
    expect(Array.from(three)).toEqual(Array.from(one).flatMap((v) => [v, v, v]));
  });
});

describe("a PNG", () => {
  const bytes = (channels: 1 | 2 | 3 | 4) => noise(5 * 4 * channels, channels);
  const png = (channels: 1 | 2 | 3 | 4, depth: 8 | 16 = 8) => {
    const data = depth === 8 ? bytes(channels) : Uint16Array.from(bytes(channels), (v) => v * 257);
    return encode({ width: 5, height: 4, channels, depth, data });
  };
  const pixelsOf = async (file: Uint8Array, channels: 1 | 3) =>
    Array.from((await decodePicture(file, "f", { channels })).data);

  it("is read to the byte, with 16 bits and transparency dropped", async () => {
    const colour = [...bytes(3)];
    expect(await pixelsOf(png(3), 3)).toEqual(colour);
    expect(await pixelsOf(png(3, 16), 3)).toEqual(colour);
    expect(await pixelsOf(png(4), 3)).toEqual([...bytes(4)].filter((_, i) => i % 4 < 3));
    expect(await pixelsOf(png(1), 1)).toEqual([...bytes(1)]);
    expect(await pixelsOf(png(1, 16), 1)).toEqual([...bytes(1)]);
    expect(await pixelsOf(png(2), 1)).toEqual([...bytes(2)].filter((_, i) => i % 2 === 0));
  });

  it("is grey when it has no colours", async () => {
    for (const channels of [1, 2] as const)
      expect((await pictureHeader(png(channels), "f")).grey).toBe(true);
    for (const channels of [3, 4] as const)
      expect((await pictureHeader(png(channels), "f")).grey).toBe(false);
  });
});

describe("resizing", () => {
  it("keeps what is already of that size, and takes the middle", () => {
    const data = noise(4 * 9 * 3);
    const {
      data: out,
      height,
      width,
    } = resizedMiddle({ data, height: 4, width: 9, channels: 3 }, 4);
    expect([height, width]).toEqual([4, 4]);
    for (let y = 0; y < 4; y++)
      expect(out.subarray(12 * y, 12 * y + 12)).toEqual(data.subarray(27 * y + 6, 27 * y + 18));
  });

  it("keeps a plain colour to the byte, whatever the sizes", () => {
    fc.assert(
      fc.property(
        fc.record({
          height: fc.integer({ min: 1, max: 40 }),
          width: fc.integer({ min: 1, max: 40 }),
        }),
        fc.integer({ min: 1, max: 50 }),
        fc.nat(255),
        (shape, size, value) => {
          const data = new Uint8Array(shape.height * shape.width).fill(value);
          const { data: out } = resizedMiddle({ data, ...shape, channels: 1 }, size);
          expect(out.length).toBe(size * size);
          expect(out.every((v) => v === value)).toBe(true);
        },
      ),
      { numRuns: 200, seed: 5 },
    );
  });
});

describe("a damaged picture", () => {
  const refused = async (bytes: Uint8Array): Promise<string> => {
    const error: unknown = await decodePicture(bytes, "f", { channels: 3 }).catch(
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(DataError);
    return (error as DataError).message;
  };

  it("is refused: cut, of another kind, or of an absurd size", async () => {
    expect(await refused(COLOUR.subarray(0, 900))).toMatch(
      /^f: must be an undamaged picture .+ \(.+\)$/,
    );
    expect(await refused(Buffer.from("<svg xmlns='http://www.w3.org/2000/svg'/>"))).toBe(
      "f: must be a PNG or JPEG picture, got 41 other bytes",
    );
    const huge = Buffer.from(
      encode({ width: 1, height: 1, channels: 1, depth: 8, data: noise(1) }),
    );
    huge.writeUInt32BE(60_000, 16);
    huge.writeUInt32BE(60_000, 20);
    expect(await refused(huge)).toContain(
      "f: must be an undamaged picture of at most 67108864 pixels",
    );
  });

  const png = encode({ width: 9, height: 7, channels: 3, depth: 8, data: noise(189) });
  it.each([
    ["JPEG", COLOUR],
    ["PNG", png],
  ])("does no worse than being refused (%s)", async (_, bytes) => {
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(mutations(bytes.length, 300), async (changes) => {
        const file = mutated(bytes, changes);
        try {
          await pictureHeader(file, "f");
          await decodePicture(file, "f", { channels: 3, size: 8 });
        } catch (error) {
          if (!(error instanceof DataError)) throw error;
          refused++;
          expect(error.message).toMatch(/^f: [^\n]+$/);
        }
      }),
      { numRuns: 500, seed: 7 },
    );
    expect(refused).toBeGreaterThan(100);
  });
});
