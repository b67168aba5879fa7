/** @file SwiftShader, the Vulkan driver for CPUs inside @sparticuz/chromium: unpacked once, opened without an install. */

import {
  accessSync,
  constants as fs,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { constants, homedir, tmpdir } from "node:os";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { brotliDecompressSync } from "node:zlib";

const LOADER = "libvulkan.so.1";
const ICD = "vk_swiftshader_icd.json";
const FILES = [LOADER, "libvk_swiftshader.so", ICD];

/** glibc's and musl's number for "stays mapped after dlclose"; Node has no name for it. */
const RTLD_NODELETE = 0x1000;

/**
 * Whether `dlopen` finds the library. Node refuses a library that is no addon, and its refusal tells
 * "loaded, but no addon" from "cannot be loaded"; without `RTLD_NODELETE` it is unmapped again.
 */
function loads(library: string, flags: number = constants.dlopen.RTLD_NOW): boolean {
  try {
    process.dlopen({ exports: {} }, library, flags);
    return true;
  } catch (error) {
    return error instanceof Error && error.message.includes("did not self-register");
  }
}

/** Whether Dawn will find a Vulkan loader; true off Linux, where it looks elsewhere. */
export function vulkanLoaderIsThere(): boolean {
  return process.platform !== "linux" || loads(LOADER);
}

/** The archive of the npm package, or undefined where it is not installed or cannot run here. */
export function bundledArchive(): string | undefined {
  // The package ships x86-64 Linux libraries only.
  if (process.platform !== "linux" || process.arch !== "x64") return undefined;
  try {
    const entry = createRequire(import.meta.url).resolve("@sparticuz/chromium");
    const archive = resolve(dirname(entry), "../../bin/swiftshader.tar.br");
    return existsSync(archive) ? archive : undefined;
  } catch {
    return undefined;
  }
}

/** The regular files of a POSIX tar archive, by name without folders. */
function untar(archive: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  const text = (start: number, end: number) =>
    archive.toString("latin1", start, end).replace(/\0.*$/s, "");
  for (let at = 0; at + 512 <= archive.length && archive[at] !== 0;) {
    const size = parseInt(text(at + 124, at + 136), 8);
    if (!Number.isSafeInteger(size)) {
      throw new Error(`swiftshader.tar: a member's size must be octal, got it damaged at ${at}`);
    }
    const name = text(at, at + 100).replace(/^.*\//, "");
    files.set(name, archive.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

/** Whether only this user can have written into the folder: libraries are run from there. */
function isOurs(folder: string): boolean {
  const { uid, mode } = statSync(folder);
  return uid === process.getuid?.() && (mode & 0o022) === 0;
}

/** A folder for what can be made again, writable: the user's cache, else one of their own in the OS's temp folder. */
function cacheFolder(): string {
  const user = process.getuid?.() ?? "user";
  const xdg = process.env["XDG_CACHE_HOME"] ?? "";
  const places = [
    // The XDG specification has relative paths ignored.
    join(isAbsolute(xdg) ? xdg : join(homedir(), ".cache"), "potstill"),
    join(tmpdir(), `potstill-${user}`),
  ];
  for (const place of places) {
    try {
      mkdirSync(place, { recursive: true, mode: 0o700 });
      accessSync(place, fs.W_OK | fs.X_OK);
      if (isOurs(place)) return place;
    } catch {
      // A read-only home: the next place.
    }
  }
  throw new Error(`swiftshader: one of ${places.join(", ")} must be writable, got neither`);
}

/**
 * Unpacks the archive into the cache, unless it is there, and returns the folder. Every file appears by a
 * rename, so that processes which start together, or are killed on the way, leave it whole or absent.
 */
function unpack(archive: string): string {
  const cache = cacheFolder();
  const folder = join(cache, `swiftshader-${versionOf(archive)}`);
  const missing = FILES.filter((file) => !existsSync(join(folder, file)));
  if (missing.length === 0) return folder;
  const members = untar(brotliDecompressSync(readFileSync(archive)));
  const unpacked = mkdtempSync(join(cache, "unpacking-"));
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const file of missing) {
      const member = members.get(file);
      if (!member) throw new Error(`${archive}: ${file} must be in it, got no such member`);
      writeFileSync(join(unpacked, file), member, { mode: 0o755 });
      renameSync(join(unpacked, file), join(folder, file));
    }
  } finally {
    rmSync(unpacked, { recursive: true, force: true });
  }
  return folder;
}

/** The npm package's version, from the manifest above the archive's folder. */
function versionOf(archive: string): string {
  const manifest: unknown = JSON.parse(
    readFileSync(resolve(dirname(archive), "../package.json"), "utf8"),
  );
  const { version } = manifest as { version: string };
  return version;
}

/**
 * Makes the bundled driver ready and returns its ICD file, to be named by `VK_ICD_FILENAMES` while an
 * adapter is asked for; undefined where the package is missing. Where the system has no Vulkan loader,
 * the bundled one is mapped for good: Dawn's later `dlopen("libvulkan.so.1")` is then answered by its
 * soname, so nothing is written beside Dawn and the process need not start again.
 */
export function bundledSwiftShader(): string | undefined {
  const archive = bundledArchive();
  if (archive === undefined) return undefined;
  const folder = unpack(archive);
  if (!vulkanLoaderIsThere()) {
    const loader = join(folder, LOADER);
    if (!loads(loader, constants.dlopen.RTLD_NOW | RTLD_NODELETE)) {
      throw new Error(`${loader}: must load as a library, got a refusal`);
    }
  }
  return join(folder, ICD);
}
