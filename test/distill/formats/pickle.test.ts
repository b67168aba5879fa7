/** @file Pickles: plain values in every protocol, CIFAR's batches, and refusal of anything that would run. */
import { describe, expect, it } from "vitest";

import { NUMPY } from "../../../distill/formats/pickle-numpy.ts";
import { ORDERED_DICT, unpickle, type PickleValue } from "../../../distill/formats/pickle.ts";
import { fixture, ramp } from "../../support/fixture.ts";
import { surviveMutations } from "../../support/mutation.ts";

const options = { allowed: new Map([...NUMPY, ORDERED_DICT]) };
const read = (bytes: Uint8Array | string): PickleValue =>
  unpickle(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes, "f", options);

describe("a pickle", () => {
  it.each([0, 1, 2, 3, 4, 5])("of protocol %i holds what Python put into it", (protocol) => {
    const value = read(fixture(`plain-${protocol}.pkl`)) as Map<string, PickleValue>;
    const list = [1, [2, []]];
    expect(Object.fromEntries(value)).toEqual({
      none: null,
      true: true,
      false: false,
      small: 7,
      negative: -70000,
      wide: 2 ** 40,
      huge: -(2n ** 70n),
      float: -0.1,
      inf: -Infinity,
      text: "aé€\n'\"\\",
      bytes: Uint8Array.from({ length: 256 }, (_, i) => i),
      list,
      tuple: [1, [2, 3, 4, 5], []],
      dict: new Map<PickleValue, PickleValue>([
        [1, "one"],
        ["key", new Map()],
      ]),
      ordered: new Map([
        ["b", 1],
        ["a", 2],
      ]),
      array: expect.objectContaining({
        dtype: "float32",
        shape: [2, 3],
        data: Float32Array.from(ramp("float32", 6)),
      }) as unknown,
      fortran: expect.objectContaining({
        dtype: "float32",
        shape: [2, 3, 4],
        data: Float32Array.from(ramp("float32", 24)),
      }) as unknown,
      scalar: 0.25,
      shared: list,
    });
    expect(value.get("shared")).toBe(value.get("list"));
  });

  it("of Python 2 holds a CIFAR batch: pixels, labels, names in latin1", () => {
    const batch = read(fixture("cifar-python2.pkl")) as Map<string, PickleValue>;
    expect(batch.get("labels")).toEqual([6, 9]);
    expect(batch.get("filenames")).toEqual(["a.png", "bé.png"]);
    expect(batch.get("batch_label")).toBe("training batch 1 of 5");
    expect(batch.get("data")).toMatchObject({
      dtype: "uint8",
      shape: [2, 3072],
      data: Uint8Array.from({ length: 2 * 3072 }, (_, i) => (i * 7) % 256),
    });
  });

  it("of protocol 0 may escape its text", () => {
    expect(read("S'a\\n\\x41\\101\\'\\q'\n.")).toBe("a\nAA'\\q");
    expect(read("V\\u20ac\\U0001f600\n.")).toBe("€😀");
    expect(read("(I01\nI-5\nL9007199254740993L\nF1e3\nFnan\nt.")).toEqual([
      true,
      -5,
      9007199254740993n,
      1000,
      NaN,
    ]);
  });
});

describe("unpickle refuses", () => {
  it.each([0, 2, 4])(
    "a command, in protocol %i, by its name and without running it",
    (protocol) => {
      expect(() => read(fixture(`command-${protocol}.pkl`))).toThrow(
        'f: a pickle must be made of numbers, text, lists, dicts, arrays and tensors alone, got "posix.system", which is not run',
      );
    },
  );

  it.each([
    ["by opcode INST", "(S'echo no'\nios\nsystem\n."],
    ["by opcode OBJ", "(cos\nsystem\nS'echo no'\no."],
    ["by NEWOBJ", "\x80\x02cos\nsystem\n(S'echo no'\nt\x81."],
    ["by STACK_GLOBAL", "\x80\x04\x8c\x02os\x8c\x06system\x93."],
    ["of a dotted name", "\x80\x04\x8c\x05numpy\x8c\x0fdtype.__class__\x93."],
    ["of builtins", "cbuiltins\neval\n(S'1'\ntR."],
    ["of getattr", "c__builtin__\ngetattr\n."],
    ["of another name in a module that is allowed", "cnumpy\nload\n."],
  ])("a call %s", (_, text) => {
    expect(() => read(text)).toThrow(/^f: a pickle must be made of .* which is not run$/);
  });

  it.each([
    ["a list in itself", "]q\x00h\x00a.", "a pickle's lists must not contain themselves"],
    ["deep nesting", `${"]".repeat(300)}${"a".repeat(299)}.`, "nested at most 100 deep"],
    [
      "a list that shares itself into billions",
      `(]q\x00${Array.from({ length: 40 }, () => "(h\x00h\x00h\x00lq\x00").join("")}t.`,
      "a pickle must have at most 10000000 parts, got more",
    ],
    ["a name called that may only be named", "cnumpy\nndarray\n)R.", "must call only constructors"],
    ["a call of no name", "])R.", "a pickle must call what it named"],
    ["keywords", "cnumpy\ndtype\n)}S'a'\nK\x01s\x92.", "must call without keywords, got some"],
    ["text that is longer than the file", "T\xff\xff\xff\x7fabc.", "must have 2147483647 bytes"],
    ["a frame that is longer than the file", `\x80\x04\x95${"\xff".repeat(8)}.`, "must have"],
    ["an absurd integer", `\x8b\x10\x27\0\0${"\x01".repeat(10000)}.`, "at most 1000 bytes, got"],
    ["a key that is a list", "}]K\x01s.", "dict keys must be text, bytes or numbers, got a list"],
    ["a recall of nothing", "h\x07.", "must recall what it stored, got 7"],
    ["an empty stack", "a.", "must have a value where it uses one"],
    ["a mark for a value", "(0K\x01(.", "must have a value where it uses one"],
    ["two values at the end", "K\x01K\x02.", "must end with one value, got more"],
    ["no end", "K\x01", "part at byte 2 must have 1 bytes, got 0"],
    ["a persistent id", "K\x01Q.", "must hold all its values, got a persistent id"],
    ["an extension", "\x82\x01.", "got opcode 0x82 at byte 0"],
    ["protocol 6", "\x80\x06.", "a pickle must be of protocol 0 to 5, got 6"],
    ["state for a number", "K\x01}b.", "must set the state of an array or a dict, got a number"],
    ["objects in an array", "cnumpy\ndtype\n(S'O8'\ntR.", 'of at most 8 bytes, got "O8"'],
  ])("%s", (_, text, sentence) => {
    expect(() => read(text)).toThrow(sentence);
    expect(() => read(text)).toThrow(/^f: /);
  });

  it("arrays that claim more than their bytes", () => {
    const pickle = fixture("plain-2.pkl").toString("latin1");
    expect(() => read(pickle.replace("K\x02K\x03\x86", "K\xffK\xff\x86"))).toThrow(
      "a pickled array of float32 [255, 255] must have 260100 bytes, got 24",
    );
  });

  it("more values than it may create", () => {
    const bytes = Buffer.from(`(${"N".repeat(1000)}t.`);
    expect(() => unpickle(bytes, "f", { allowed: new Map(), mostValues: 1000 })).toThrow(
      "f: a pickle must create at most 1000 values, got more",
    );
  });

  it.each([0, 2, 5])("or reads 500 damaged pickles of protocol %i", (protocol) => {
    surviveMutations(fixture(`plain-${protocol}.pkl`), read, { refused: 200 });
  });
});
