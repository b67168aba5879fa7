/** @file Records in a file too large for the memory, read when they are asked for. */
import { OpenFile } from "../formats/source.ts";
import type { RowPlace, Rows } from "./rows.ts";

/** Bytes that are read from a file at once, when that many are asked for in a row. */
const READ_BYTES = 4 << 20;

/** Rows in a file, which is opened when they are asked for. */
export function fileRows(
  path: string,
  size: number,
  { start = 0, stride = size, count }: RowPlace & { readonly count: number },
): Rows {
  const most = Math.max(1, Math.floor(READ_BYTES / stride));
  return {
    count,
    size,
    each(indices, use) {
      using file = new OpenFile(path);
      for (let n = 0; n < indices.length;) {
        const first = indices[n]!;
        let run = 1;
        while (run < most && indices[n + run] === first + run) run++;
        const bytes = file.read(start + first * stride, (run - 1) * stride + size);
        for (let i = 0; i < run; i++) use(bytes, i * stride, n + i);
        n += run;
      }
    },
  };
}
