/** @file Atomic writes leave all or nothing, and disk errors become sentences. */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import {
  fileError,
  FileError,
  FileUnderWay,
  openRunFolder,
  proveWritable,
  readBytes,
  writeAtomic,
} from "../../distill/files.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "potstill-files-"));
});
afterEach(() => {
  chmodSync(folder, 0o700);
  rmSync(folder, { recursive: true });
});

const asRoot = process.getuid?.() === 0;

describe("writeAtomic", () => {
  it("writes bytes and text, replaces what was there, and leaves nothing else", () => {
    const path = join(folder, "a.bin");
    writeAtomic(path, Uint8Array.of(1, 2, 3));
    expect([...readFileSync(path)]).toEqual([1, 2, 3]);
    writeAtomic(path, "größer");
    expect(readFileSync(path, "utf8")).toBe("größer");
    writeAtomic(path, new Uint8Array(0));
    expect(readFileSync(path).length).toBe(0);
    expect(readdirSync(folder)).toEqual(["a.bin"]);
  });

  it("writes into the current folder by a bare name", () => {
    const before = process.cwd();
    process.chdir(folder);
    try {
      writeAtomic("bare", "x");
    } finally {
      process.chdir(before);
    }
    expect(readdirSync(folder)).toEqual(["bare"]);
  });

  it("keeps a folder that has the name, and removes its temporary file", () => {
    mkdirSync(join(folder, "taken", "inside"), { recursive: true });
    expect(() => writeAtomic(join(folder, "taken"), "x")).toThrow(FileError);
    expect(readdirSync(folder)).toEqual(["taken"]);
    expect(existsSync(join(folder, "taken", "inside"))).toBe(true);
  });

  it("says that the folder is missing", () => {
    const path = join(folder, "none", "a");
    expect(() => writeAtomic(path, "x")).toThrow(
      `${path}: its folder must exist, got none (ENOENT)`,
    );
  });

  it("says that a part of the path is a file", () => {
    writeFileSync(join(folder, "file"), "x");
    const path = join(folder, "file", "a");
    expect(() => writeAtomic(path, "x")).toThrow(
      `${path}: every part of its path but the last must be a folder, got a file (ENOTDIR)`,
    );
  });

  it.skipIf(asRoot)("says that the folder is not the user's to write", () => {
    chmodSync(folder, 0o500);
    const path = join(folder, "a");
    expect(() => writeAtomic(path, "x")).toThrow(
      `${path}: must be writable by this user, got permission denied (EACCES)`,
    );
  });
});

describe("openRunFolder", () => {
  it("creates the folder with those above it and leaves it empty", () => {
    const path = join(folder, "runs", "demo");
    expect(openRunFolder(path)).toBe(path);
    expect(readdirSync(path)).toEqual([]);
    writeFileSync(join(path, "kept"), "x");
    expect(openRunFolder(join(folder, "runs", ".", "demo"))).toBe(path);
    expect(readdirSync(path)).toEqual(["kept"]);
  });

  it("refuses a file, and a path through a file", () => {
    const file = join(folder, "file");
    writeFileSync(file, "x");
    expect(() => openRunFolder(file)).toThrow(`${file}: must be a folder, got a file (EEXIST)`);
    expect(() => openRunFolder(join(file, "run"))).toThrow(
      "every part of its path but the last must be a folder, got a file (ENOTDIR)",
    );
  });

  it.skipIf(process.platform !== "linux")("refuses a folder in which no file can be made", () => {
    expect(() => openRunFolder("/proc/self")).toThrow(/^\/proc\/self: .*, got .* \(E[A-Z]+\)$/);
  });

  it.skipIf(asRoot)("refuses a folder that is not the user's to write", () => {
    chmodSync(folder, 0o500);
    expect(() => openRunFolder(folder)).toThrow(
      `${folder}: must be writable by this user, got permission denied (EACCES)`,
    );
  });
});

describe("proveWritable", () => {
  it("lets a new file and an old one pass, and leaves no trace", () => {
    const path = join(folder, "trace.json");
    proveWritable(path);
    expect(readdirSync(folder)).toEqual([]);
    writeFileSync(path, "before");
    proveWritable(path);
    expect(readFileSync(path, "utf8")).toBe("before");
    expect(readdirSync(folder)).toEqual(["trace.json"]);
  });

  it("refuses a folder, and what has none", () => {
    expect(() => proveWritable(folder)).toThrow(
      new FileError(`${folder}: must be a file, got a folder (EISDIR)`),
    );
    const path = join(folder, "no", "trace.json");
    expect(() => proveWritable(path)).toThrow(
      new FileError(`${path}: its folder must exist, got none (ENOENT)`),
    );
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("readBytes", () => {
  it("reads a file and says what is wrong with one it can't", () => {
    writeFileSync(join(folder, "a"), "x");
    expect([...readBytes(join(folder, "a"))]).toEqual([120]);
    expect(() => readBytes(join(folder, "b"))).toThrow("b: must exist, got no such file (ENOENT)");
    expect(() => readBytes(folder)).toThrow(`${folder}: must be a file, got a folder (EISDIR)`);
  });
});

describe("fileError", () => {
  const errno = (code: string) =>
    Object.assign(new Error(`${code}: long text`), { code, syscall: "open" });

  it.each([
    ["ENOSPC", "the disk must have room for it, got no space left (ENOSPC)"],
    ["EACCES", "must be writable by this user, got permission denied (EACCES)"],
    ["EROFS", "must be on a file system that can be written, got a read-only one (EROFS)"],
    ["EIO", "must be writable, got an error (EIO)"],
  ])("makes one sentence of %s", (code, sentence) => {
    const cause = errno(code);
    const error = fileError("run/a", "writable", cause);
    expect(error.message).toBe(`run/a: ${sentence}`);
    expect(error.cause).toBe(cause);
  });

  it("leaves a FileError and an error of the program as they are", () => {
    for (const error of [new FileError("said already"), new TypeError("a bug")]) {
      expect(fileError("a", "readable", error)).toBe(error);
    }
  });
});

describe("what a killed process left half-written", () => {
  it("is removed when the folder is opened, and of living processes nothing", () => {
    const below = join(folder, "below");
    openRunFolder(below);
    const gone = spawnSync(process.execPath, ["-e", ""]).pid;
    for (const at of [folder, below]) {
      using living = new FileUnderWay(join(at, "a.bin"));
      living.write(Uint8Array.of(1));
      const [own] = readdirSync(at).filter((name) => name.startsWith(".potstill-"));
      const left = own!.replace(`-${process.pid}-`, `-${gone}-`);
      const elsewhere = left.replace(/^\.potstill-[0-9a-f]+/, ".potstill-00000000");
      for (const name of [left, elsewhere, ".potstill-notes"]) writeFileSync(join(at, name), "x");
      openRunFolder(folder);
      const names = readdirSync(at).filter((name) => name.startsWith(".potstill-"));
      expect(names).toEqual([own, elsewhere, ".potstill-notes"].sort());
    }
  });
});
