/**
 * @file Python pickles, protocols 0 to 5, read as plain data: nothing that a pickle names is run or
 * loaded; it may only ask for the few constructions that the caller lists.
 */
import { PickleBytes } from "./pickle-bytes.ts";
import { checkGraph } from "./pickle-graph.ts";
import { refusing, type Refuse } from "./source.ts";

/**
 * What a pickle holds: None is null; integers beyond 2⁵³ are bigints; lists and tuples are arrays;
 * dicts are Maps (keys that are bytes become latin1 text); bytes are `Uint8Array`; text of Python 2
 * is read as latin1. Other objects are what the caller's constructions return.
 */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleKey, PickleValue>
  | Named
  | object;
export type PickleKey = null | boolean | number | bigint | string;

/** Something that a pickle named, `module.name`; it is on the caller's list. */
export class Named {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** An object that a pickle makes first and fills in afterwards (`__setstate__`). */
export abstract class Rebuilt {
  abstract setState(state: PickleValue, refuse: Refuse): void;
}

/** What to do when a pickle calls a name; null for names that may occur, but not be called. */
export type Construction = ((args: readonly PickleValue[], refuse: Refuse) => PickleValue) | null;

export interface PickleOptions {
  /** By `module.name`: all that the pickle may name. */
  readonly allowed: ReadonlyMap<string, Construction>;
  /** What a persistent id stands for; without it there may be none. */
  readonly persistent?: (id: PickleValue, refuse: Refuse) => PickleValue;
  /** Values that the pickle may create. */
  readonly mostValues?: number;
}

/** Python's `collections.OrderedDict`; its attributes (a state dict's `_metadata`) are dropped. */
export const ORDERED_DICT: readonly [string, Construction] = [
  "collections.OrderedDict",
  ([items = []], refuse) => {
    if (!Array.isArray(items)) return refuse("an OrderedDict must be made from pairs", "else");
    return new Map((items as PickleValue[]).map((pair) => pairOf(pair, refuse)));
  },
];

const MARK = Symbol("mark");
type Slot = PickleValue | typeof MARK;
const DEFAULT_MOST_VALUES = 10_000_000;

/**
 * The value of the pickle at the start of `bytes`. Throws `FileError`, naming `source`, when it is
 * damaged, names anything that is not allowed, or is built to exhaust its reader.
 */
export function unpickle(bytes: Uint8Array, source: string, options: PickleOptions): PickleValue {
  return unpickleFirst(bytes, source, options).value;
}

/** The same, with the number of bytes that the pickle takes: other data may follow. */
export function unpickleFirst(
  bytes: Uint8Array,
  source: string,
  options: PickleOptions,
): { readonly value: PickleValue; readonly length: number } {
  const machine = new Machine(bytes, refusing(source), options);
  const value = machine.run();
  return { value, length: machine.input.at };
}

/** Opcodes that push a value read from their arguments, by their letters in Python's pickletools. */
const LITERALS: Readonly<Record<string, (input: PickleBytes) => Slot>> = {
  "(": () => MARK,
  N: () => null,
  "\x88": () => true,
  "\x89": () => false,
  I: (input) => input.decimalInt(),
  L: (input) => input.decimalLong(),
  J: (input) => input.int32(),
  K: (input) => input.byte(),
  M: (input) => input.uint16(),
  "\x8a": (input) => input.long(input.byte()),
  "\x8b": (input) => input.long(input.length4()),
  F: (input) => input.decimalFloat(),
  G: (input) => input.float64(),
  S: (input) => input.quotedText(),
  T: (input) => input.latin1(input.length4()),
  U: (input) => input.latin1(input.byte()),
  V: (input) => input.escapedText(),
  X: (input) => input.utf8(input.length4()),
  "\x8c": (input) => input.utf8(input.byte()),
  "\x8d": (input) => input.utf8(input.length8()),
  B: (input) => input.bytes(input.length4()),
  C: (input) => input.bytes(input.byte()),
  "\x8e": (input) => input.bytes(input.length8()),
  // A bytearray.
  "\x96": (input) => input.bytes(input.length8()),
  "]": () => [],
  ")": () => [],
  "}": () => new Map(),
};

class Machine {
  readonly input: PickleBytes;
  private readonly refuse: Refuse;
  private readonly options: PickleOptions;
  private readonly stack: Slot[] = [];
  private readonly memo = new Map<number, PickleValue>();
  private readonly mostValues: number;
  private values = 0;

  constructor(bytes: Uint8Array, refuse: Refuse, options: PickleOptions) {
    this.input = new PickleBytes(bytes, refuse);
    this.refuse = refuse;
    this.options = options;
    this.mostValues = options.mostValues ?? DEFAULT_MOST_VALUES;
  }

  run(): PickleValue {
    for (;;) {
      const opcode = String.fromCharCode(this.input.byte());
      if (opcode === ".") break;
      const literal = LITERALS[opcode];
      if (literal) this.push(literal(this.input));
      else (this.actions[opcode] ?? this.unknown)();
    }
    const value = this.pop();
    if (this.stack.length > 0) this.refuse("a pickle must end with one value", "more");
    checkGraph(value, this.mostValues, this.refuse);
    return value;
  }

  /** Opcodes that do something with what is there. */
  private readonly actions: Readonly<Record<string, () => void>> = {
    "\x80": () => this.protocol(this.input.byte()),
    "\x95": () => this.input.checkFrame(),

    "0": () => this.drop(),
    "1": () => void this.popToMark(),
    "2": () => this.push(this.top()),

    l: () => this.push(this.popToMark()),
    t: () => this.push(this.popToMark()),
    "\x85": () => this.push(this.popSome(1)),
    "\x86": () => this.push(this.popSome(2)),
    "\x87": () => this.push(this.popSome(3)),
    a: () => this.append(this.popSome(1)),
    e: () => this.append(this.popToMark()),
    d: () => {
      const items = this.popToMark();
      this.push(new Map());
      this.setItems(items);
    },
    s: () => this.setItems(this.popSome(2)),
    u: () => this.setItems(this.popToMark()),

    p: () => this.store(this.input.memoKey()),
    q: () => this.store(this.input.byte()),
    r: () => this.store(this.input.uint32()),
    "\x94": () => this.store(this.memo.size),
    g: () => this.recall(this.input.memoKey()),
    h: () => this.recall(this.input.byte()),
    j: () => this.recall(this.input.uint32()),

    c: () => this.push(this.named(this.input.line(), this.input.line())),
    "\x93": () => {
      const [module, name] = this.popSome(2);
      this.push(this.named(module, name));
    },
    R: () => this.reduce(),
    "\x81": () => this.reduce(),
    "\x92": () => {
      const keywords = this.pop();
      if (!(keywords instanceof Map) || keywords.size > 0) {
        this.refuse("a pickle must call without keywords", "some");
      }
      this.reduce();
    },
    i: () => {
      const callee = this.named(this.input.line(), this.input.line());
      this.push(this.call(callee, this.popToMark()));
    },
    o: () => {
      const [callee, ...args] = this.popToMark();
      this.push(this.call(callee, args));
    },
    b: () => this.setState(this.pop()),
    P: () => this.push(this.persistent(this.input.line())),
    Q: () => this.push(this.persistent(this.pop())),
  };

  private readonly unknown = (): never => {
    const at = this.input.at - 1;
    const opcode = this.input.opcodeAt(at);
    return this.refuse(
      "a pickle must build plain values, lists and dicts",
      `opcode ${opcode} at byte ${at}`,
    );
  };

  private protocol(version: number): void {
    if (version > 5) this.refuse("a pickle must be of protocol 0 to 5", version);
  }

  private push(value: Slot): void {
    if (++this.values > this.mostValues) {
      this.refuse(`a pickle must create at most ${this.mostValues} values`, "more");
    }
    this.stack.push(value);
  }

  private top(): PickleValue {
    const value = this.stack.at(-1);
    if (value === undefined || value === MARK) {
      return this.refuse("a pickle must have a value where it uses one", "none (it is damaged)");
    }
    return value;
  }

  private drop(): void {
    if (this.stack.length === 0) this.refuse("a pickle must pop what it pushed", "nothing");
    this.stack.pop();
  }

  private pop(): PickleValue {
    const value = this.top();
    this.stack.pop();
    return value;
  }

  private popSome(count: number): PickleValue[] {
    const values = Array.from({ length: count }, () => this.pop());
    return values.reverse();
  }

  private popToMark(): PickleValue[] {
    const mark = this.stack.lastIndexOf(MARK);
    if (mark < 0) this.refuse("a pickle must mark where a list starts", "none (it is damaged)");
    return this.stack.splice(mark).slice(1) as PickleValue[];
  }

  private append(values: readonly PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) return this.refuse("a pickle must append to a list", kind(list));
    for (const value of values) list.push(value);
  }

  private setItems(items: readonly PickleValue[]): void {
    const dict = this.top();
    if (!(dict instanceof Map) || items.length % 2 !== 0) {
      return this.refuse("a pickle must set keys and values of a dict", kind(dict));
    }
    for (let i = 0; i < items.length; i += 2) {
      dict.set(keyOf(items[i]!, this.refuse), items[i + 1]!);
    }
  }

  private store(key: number): void {
    this.memo.set(key, this.top());
  }

  private recall(key: number): void {
    const value = this.memo.get(key);
    if (value === undefined) {
      return this.refuse("a pickle must recall what it stored", `${key} (it is damaged)`);
    }
    this.push(value);
  }

  private named(module: PickleValue | undefined, name: PickleValue | undefined): Named {
    if (typeof module !== "string" || typeof name !== "string") {
      return this.refuse("a pickle must name a module and what is in it", "else");
    }
    const full = `${module}.${name}`;
    if (!this.options.allowed.has(full)) {
      return this.refuse(
        "a pickle must be made of numbers, text, lists, dicts, arrays and tensors alone",
        `${JSON.stringify(full.slice(0, 100))}, which is not run`,
      );
    }
    return new Named(full);
  }

  private reduce(): void {
    const [callee, args] = this.popSome(2);
    this.push(this.call(callee, args));
  }

  private call(callee: PickleValue | undefined, args: PickleValue | undefined): PickleValue {
    if (!(callee instanceof Named) || !Array.isArray(args)) {
      return this.refuse("a pickle must call what it named", "else");
    }
    const construct = this.options.allowed.get(callee.name);
    if (!construct) return this.refuse("a pickle must call only constructors", callee.name);
    return construct(args as PickleValue[], this.refuse);
  }

  private setState(state: PickleValue): void {
    const object = this.top();
    if (object instanceof Rebuilt) object.setState(state, this.refuse);
    else if (!(object instanceof Map)) {
      this.refuse("a pickle must set the state of an array or a dict", kind(object));
    }
  }

  private persistent(id: PickleValue): PickleValue {
    const { persistent } = this.options;
    if (!persistent) return this.refuse("a pickle must hold all its values", "a persistent id");
    return persistent(id, this.refuse);
  }
}

function keyOf(value: PickleValue, refuse: Refuse): PickleKey {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("latin1");
  if (typeof value !== "object" || value === null) return value;
  return refuse("dict keys must be text, bytes or numbers", kind(value));
}

function pairOf(pair: PickleValue, refuse: Refuse): [PickleKey, PickleValue] {
  if (!Array.isArray(pair) || pair.length !== 2) {
    return refuse("an OrderedDict must be made from pairs", kind(pair));
  }
  const [key, value] = pair as [PickleValue, PickleValue];
  return [keyOf(key, refuse), value];
}

/** What a value is, for messages. */
function kind(value: PickleValue): string {
  if (Array.isArray(value)) return "a list";
  if (value instanceof Map) return "a dict";
  if (value instanceof Uint8Array) return "bytes";
  if (value === null) return "None";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
