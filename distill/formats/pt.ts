/** @file PyTorch's .pt files (`torch.save`): tensors in lists and dicts, their numbers read on demand. */
import { unpickle, type PickleValue } from "./pickle.ts";
import { readLegacyPt } from "./pt-legacy.ts";
import { storagesFrom, TORCH, type StorageReader } from "./pt-tensor.ts";
import { refusing, type ByteSource } from "./source.ts";
import { isZip, ZipArchive } from "./zip.ts";

export { PtTensor } from "./pt-tensor.ts";

/**
 * The value that `torch.save` wrote, as {@link unpickle} returns it with {@link PtTensor}s for tensors
 * and parameters; the source must stay open until they are loaded. Both the zip format and the one
 * before PyTorch 1.6 are read. Throws `FileError` when the file is damaged, or has anything but
 * numbers, text, lists, dicts, numpy arrays and dense tensors in it; nothing in it is ever run.
 */
export function readPt(source: ByteSource): PickleValue {
  const start = source.read(0, Math.min(source.size, 4));
  if (!isZip(start)) return readLegacyPt(source);
  const refuse = refusing(source.name);
  const archive = new ZipArchive(source);
  const pickles = archive.entries.filter(({ path }) => /^[^/]+\/data\.pkl$/.test(path));
  if (pickles.length !== 1) {
    return refuse("must be a .pt file with one data.pkl in it", pickles.length);
  }
  const folder = pickles[0]!.path.slice(0, -"data.pkl".length);
  const orderFile = `${folder}byteorder`;
  const order = archive.has(orderFile)
    ? Buffer.from(archive.read(orderFile)).toString("latin1")
    : "little";
  if (order !== "little" && order !== "big") {
    return refuse("byteorder must be little or big", JSON.stringify(order.slice(0, 20)));
  }
  const read: StorageReader = (key, bytes) => {
    const path = `${folder}data/${key}`;
    const found = archive.read(path);
    if (found.length !== bytes) refuse(`${path} must have ${bytes} bytes`, found.length);
    return found;
  };
  return unpickle(archive.read(pickles[0]!.path), source.name, {
    allowed: TORCH,
    persistent: storagesFrom(read, order),
  });
}
