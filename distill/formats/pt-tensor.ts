/** @file What the pickles of PyTorch build: tensors over storages that are read on demand. */
import {
  decodeElements,
  ELEMENT_BYTES,
  elementCount,
  gather,
  isShape,
  lastElement,
  numericArray,
  type Elements,
  type ElementType,
  type NumericArray,
} from "./array.ts";
import { NUMPY } from "./pickle-numpy.ts";
import { Named, ORDERED_DICT, type Construction, type PickleValue } from "./pickle.ts";
import type { Refuse } from "./source.ts";

/** A tensor of a .pt file; {@link load} reads its numbers while the file is open. */
export class PtTensor {
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  private readonly storage: PtStorage;
  private readonly strides: readonly number[];
  private readonly offset: number;
  private readonly refuse: Refuse;

  /** Throws `FileError` when the view leaves its storage. */
  constructor(
    dtype: ElementType,
    storage: PtStorage,
    view: {
      readonly shape: readonly number[];
      readonly strides: readonly number[];
      readonly offset: number;
    },
    refuse: Refuse,
  ) {
    const { shape, strides, offset } = view;
    this.dtype = dtype;
    this.storage = storage;
    this.shape = shape;
    this.strides = strides;
    this.offset = offset;
    this.refuse = refuse;
    const held = Math.floor(storage.bytes / ELEMENT_BYTES[dtype]);
    const last = lastElement(shape, strides, offset);
    if (last >= held) {
      refuse(
        `a tensor [${shape.join(", ")}] must lie within its storage of ${held} elements`,
        last,
      );
    }
    // A view may repeat its storage without end (`expand`).
    const count = elementCount(shape);
    if (count > Math.max(held, MOST_REPEATED)) {
      refuse(
        `a tensor that repeats its storage must have at most ${MOST_REPEATED} elements`,
        count,
      );
    }
  }

  /** The numbers, row-major. Throws `FileError` when the file is damaged there. */
  load(): NumericArray {
    const { dtype, shape, strides, offset, storage, refuse } = this;
    const all = storage.elements(dtype, refuse);
    return numericArray(dtype, shape, gather<Elements>(all, shape, strides, offset) as never);
  }
}

const MOST_REPEATED = 1 << 24;

/** Where the numbers of tensors are; several may share one. */
export interface PtStorage {
  /** Unless it is bytes that each tensor types for itself. */
  readonly dtype: ElementType | undefined;
  readonly bytes: number;
  elements(dtype: ElementType, refuse: Refuse): Elements;
}

/** PyTorch's classes of storages and what they hold. */
const STORAGES: Readonly<Record<string, ElementType>> = {
  Float: "float32",
  Double: "float64",
  Half: "float16",
  BFloat16: "bfloat16",
  Long: "int64",
  Int: "int32",
  Short: "int16",
  Char: "int8",
  Byte: "uint8",
  Bool: "bool",
};
const UNTYPED = ["torch.storage.UntypedStorage", "torch.UntypedStorage"];

/** The bytes of a storage, by the key that the pickle gives it. */
export type StorageReader = (key: string, bytes: number) => Uint8Array;

/** What the persistent ids of a .pt file's pickle mean: `("storage", class, key, device, elements, …)`. */
export function storagesFrom(
  read: StorageReader,
  order: "little" | "big",
): (id: PickleValue, refuse: Refuse) => PtStorage {
  const storages = new Map<string, PtStorage>();
  /** Tensors that share a storage mostly follow one another. */
  let latest: { readonly key: string; readonly elements: Elements } | undefined;
  return (id, refuse) => {
    const [kind, type, key, , count, part] = Array.isArray(id) ? (id as PickleValue[]) : [];
    if (kind !== "storage" || !(type instanceof Named) || typeof key !== "string") {
      return refuse("a .pt file must refer to storages alone", "another reference");
    }
    if (part !== undefined && part !== null) refuse("a storage must be a whole one", "a part");
    if (!isShape([count])) return refuse("a storage must have a whole number of elements", "else");
    const dtype = STORAGES[/^torch\.(?:cuda\.)?(\w+)Storage$/.exec(type.name)?.[1] ?? ""];
    if (dtype === undefined && !UNTYPED.includes(type.name)) {
      return refuse("a storage must be of real numbers or booleans", type.name);
    }
    const bytes = (count as number) * (dtype === undefined ? 1 : ELEMENT_BYTES[dtype]);
    const known = storages.get(key);
    if (known !== undefined) {
      return known.bytes === bytes && known.dtype === dtype
        ? known
        : refuse(`storage ${JSON.stringify(key.slice(0, 40))} must be the same everywhere`, "two");
    }
    const storage: PtStorage = {
      dtype,
      bytes,
      elements: (wanted, refuse) => {
        const name = `${key} ${wanted}`;
        if (latest?.key !== name) {
          latest = { key: name, elements: decodeElements(wanted, read(key, bytes), order, refuse) };
        }
        return latest.elements;
      },
    };
    storages.set(key, storage);
    return storage;
  };
}

/** `_rebuild_tensor_v2(storage, offset, shape, strides, …)`; the older one is the same. */
const rebuildTensor: Construction = ([storage, ...view], refuse) =>
  isStorage(storage) && storage.dtype !== undefined
    ? tensorOf(storage, storage.dtype, view, refuse)
    : refuse("a tensor must be made from a typed storage", "else");

/** `_rebuild_tensor_v3(storage, offset, shape, strides, grad, hooks, dtype, …)`, over bytes. */
const rebuildTyped: Construction = ([storage, ...view], refuse) => {
  const type = view[5];
  const name = type instanceof Named ? type.name.replace(/^torch\./, "") : "";
  if (!isStorage(storage) || storage.dtype !== undefined || !Object.hasOwn(ELEMENT_BYTES, name)) {
    return refuse("a tensor must be made from a storage and a type of real numbers", "else");
  }
  return tensorOf(storage, name as ElementType, view, refuse);
};

/** Parameters are their tensors. */
const rebuildParameter: Construction = ([tensor], refuse) =>
  tensor instanceof PtTensor ? tensor : refuse("a parameter must be made from a tensor", "else");

const size: Construction = ([axes], refuse) =>
  isShape(axes) ? [...axes] : refuse("a torch.Size must be whole numbers", "else");

const device: Construction = ([type], refuse) =>
  typeof type === "string" ? type : refuse("a torch.device must be text", "else");

/** All that the pickle of a .pt file may name. */
export const TORCH: ReadonlyMap<string, Construction> = new Map<string, Construction>([
  ...NUMPY,
  ORDERED_DICT,
  ["torch._utils._rebuild_tensor", rebuildTensor],
  ["torch._utils._rebuild_tensor_v2", rebuildTensor],
  ["torch._utils._rebuild_tensor_v3", rebuildTyped],
  ["torch._utils._rebuild_parameter", rebuildParameter],
  ["torch._utils._rebuild_parameter_with_state", rebuildParameter],
  ["torch.Size", size],
  ["torch.device", device],
  ...UNTYPED.map((name): [string, Construction] => [name, null]),
  ...Object.keys(STORAGES).flatMap((name): [string, Construction][] => [
    [`torch.${name}Storage`, null],
    [`torch.cuda.${name}Storage`, null],
  ]),
  ...Object.keys(ELEMENT_BYTES).map((name): [string, Construction] => [`torch.${name}`, null]),
]);

function tensorOf(
  storage: PtStorage,
  dtype: ElementType,
  [offset, shape, strides]: readonly PickleValue[],
  refuse: Refuse,
): PtTensor {
  if (!isShape(shape) || !isShape([offset]) || !isStrides(strides, shape.length)) {
    return refuse("a tensor must have an offset, a shape and as many strides", "else");
  }
  return new PtTensor(dtype, storage, { shape, strides, offset: offset as number }, refuse);
}

/** Unlike a shape's, the product of strides says nothing. */
function isStrides(value: unknown, length: number): value is readonly number[] {
  return Array.isArray(value) && value.length === length && value.every((s) => isShape([s]));
}

function isStorage(value: PickleValue | undefined): value is PtStorage {
  return typeof value === "object" && value !== null && "elements" in value;
}
