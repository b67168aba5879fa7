/** @file The arguments of a pickle's opcodes, read from its bytes with every length checked. */
import type { Refuse } from "./source.ts";

/** Of a line in protocol 0 that is a number or a name, and of an integer in bytes. */
const MOST_DIGITS = 1000;

export class PickleBytes {
  /** The next byte to read. */
  at = 0;
  private readonly buffer: Buffer;
  private readonly refuse: Refuse;

  constructor(bytes: Uint8Array, refuse: Refuse) {
    this.buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.refuse = refuse;
  }

  byte(): number {
    return this.buffer.readUInt8(this.skip(1));
  }

  /** The byte at a place, as Python's pickletools spells it. */
  opcodeAt(at: number): string {
    return `0x${this.buffer.readUInt8(at).toString(16).padStart(2, "0")}`;
  }

  uint16(): number {
    return this.buffer.readUInt16LE(this.skip(2));
  }

  int32(): number {
    return this.buffer.readInt32LE(this.skip(4));
  }

  uint32(): number {
    return this.buffer.readUInt32LE(this.skip(4));
  }

  float64(): number {
    return this.buffer.readDoubleBE(this.skip(8));
  }

  /** A length in 4 bytes, of what must still be there. */
  length4(): number {
    return this.checked(this.uint32());
  }

  length8(): number {
    return this.checked(Number(this.buffer.readBigUInt64LE(this.skip(8))));
  }

  /** Frames cut a pickle into parts that could be read ahead; here they only must fit. */
  checkFrame(): void {
    this.length8();
  }

  bytes(length: number): Uint8Array {
    const start = this.skip(length);
    return new Uint8Array(this.buffer.subarray(start, this.at));
  }

  latin1(length: number): string {
    const start = this.skip(length);
    return this.buffer.toString("latin1", start, this.at);
  }

  utf8(length: number): string {
    const start = this.skip(length);
    return this.buffer.toString("utf8", start, this.at);
  }

  /** A little-endian integer in two's complement. */
  long(length: number): number | bigint {
    if (length > MOST_DIGITS) {
      return this.refuse(`a pickle's integers must have at most ${MOST_DIGITS} bytes`, length);
    }
    const digits = Buffer.from(this.bytes(length)).reverse();
    if (length === 0) return 0;
    return plain(BigInt.asIntN(8 * length, BigInt(`0x${digits.toString("hex")}`)));
  }

  /** Up to the end of the line, which is read too. */
  line(): string {
    const end = this.buffer.indexOf(10, this.at);
    if (end < 0) return this.refuse("a pickle's lines must end", "the end of the file");
    const text = this.buffer.toString("latin1", this.at, end);
    this.at = end + 1;
    return text;
  }

  /** `I01` and `I00` are how protocol 0 writes True and False. */
  decimalInt(): number | bigint | boolean {
    const line = this.line();
    return line === "01" ? true : line === "00" ? false : this.integer(line);
  }

  decimalLong(): number | bigint {
    return this.integer(this.line().replace(/L$/, ""));
  }

  decimalFloat(): number {
    const line = this.line();
    if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(line)) return Number(line);
    const [, minus, word] = /^([+-]?)(inf|nan)$/.exec(line) ?? [];
    if (word === undefined) return this.refuse("a pickle's floats must be numbers", shown(line));
    return word === "nan" ? NaN : minus === "-" ? -Infinity : Infinity;
  }

  memoKey(): number {
    const line = this.line();
    return /^\d{1,15}$/.test(line)
      ? Number(line)
      : this.refuse("a pickle must store under a number", shown(line));
  }

  /** Python's repr of a byte string, quotes and all. */
  quotedText(): string {
    const line = this.line();
    const [, quote, body] = /^(['"])(.*)\1$/s.exec(line) ?? [];
    if (quote === undefined || body === undefined) {
      return this.refuse("a pickle's strings must be quoted", shown(line));
    }
    return body.replace(/\\(?:x([\da-fA-F]{2})|([0-7]{1,3})|(.))/gs, (_, hex, octal, letter) =>
      unescaped(hex as string, octal as string, letter as string),
    );
  }

  /** Python's raw-unicode-escape. */
  escapedText(): string {
    return this.line().replace(/\\(?:u([\da-fA-F]{4})|U([\da-fA-F]{8}))/g, (whole, four, eight) => {
      const code = parseInt((four ?? eight) as string, 16);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    });
  }

  private integer(text: string): number | bigint {
    return /^[+-]?\d+$/.test(text) && text.length <= MOST_DIGITS
      ? plain(BigInt(text.replace("+", "")))
      : this.refuse("a pickle's integers must be decimal numbers", shown(text));
  }

  private checked(length: number): number {
    const left = this.buffer.length - this.at;
    return length <= left
      ? length
      : this.refuse(`a pickle's part at byte ${this.at} must have ${length} bytes`, left);
  }

  /** Moves behind the next `length` bytes and returns where they start. */
  private skip(length: number): number {
    this.checked(length);
    this.at += length;
    return this.at - length;
  }
}

function plain(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

const LETTERS: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

function unescaped(hex?: string, octal?: string, letter?: string): string {
  if (hex !== undefined) return String.fromCharCode(parseInt(hex, 16));
  if (octal !== undefined) return String.fromCharCode(parseInt(octal, 8) & 255);
  if (/["'\\]/.test(letter!)) return letter!;
  return LETTERS[letter!] ?? `\\${letter!}`;
}

const shown = (text: string): string => JSON.stringify(text.slice(0, 60));
