/** @file Bytes that are read a part at a time: of a file on disk, or in memory. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

import { fileError, FileError } from "../files.ts";

export interface ByteSource {
  /** Names the file in errors. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** Bytes `at` to `at + length`. Throws `FileError` when the source has fewer; then nothing is allocated. */
  read(at: number, length: number): Uint8Array;
}

/** Refuses a file: what must hold, and what came instead. */
export type Refuse = (must: string, got: string | number | bigint) => never;

/** Refusals of the file called `name`. */
export function refusing(name: string): Refuse {
  return (must, got) => {
    throw new FileError(`${name}: ${must}, got ${got}`);
  };
}

/** `bytes` as a source; what it returns are views of them. */
export function inMemory(bytes: Uint8Array, name: string): ByteSource {
  return {
    name,
    size: bytes.length,
    read(at, length) {
      checkRange(this, at, length);
      return bytes.subarray(at, at + length);
    },
  };
}

/** A file held open for reading. Everything thrown is a `FileError`. */
export class OpenFile implements ByteSource, Disposable {
  readonly name: string;
  readonly size: number;
  private readonly handle: number;

  constructor(path: string) {
    this.name = path;
    try {
      this.handle = openSync(path, "r");
    } catch (cause) {
      throw fileError(path, "readable", cause);
    }
    const stat = fstatSync(this.handle);
    this.size = stat.size;
    if (!stat.isFile()) {
      closeSync(this.handle);
      throw new FileError(
        `${path}: must be a file, got ${stat.isDirectory() ? "a folder" : "a device"}`,
      );
    }
  }

  read(at: number, length: number): Uint8Array<ArrayBuffer> {
    checkRange(this, at, length);
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const more = this.readInto(bytes, done, at + done);
      if (more === 0) {
        throw new FileError(`${this.name}: must have ${this.size} bytes as when it was opened`);
      }
      done += more;
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    closeSync(this.handle);
  }

  private readInto(bytes: Uint8Array, done: number, at: number): number {
    try {
      return readSync(this.handle, bytes, done, bytes.length - done, at);
    } catch (cause) {
      throw fileError(this.name, "readable", cause);
    }
  }
}

function checkRange({ name, size }: ByteSource, at: number, length: number): void {
  if (at >= 0 && length >= 0 && at + length <= size) return;
  throw new FileError(
    `${name}: must have bytes ${at} to ${at + length} (the file is cut or damaged), got ${size}`,
  );
}
