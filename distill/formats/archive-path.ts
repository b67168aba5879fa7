/** @file Paths inside archives, none of which may lead out of the folder that it is unpacked in. */

/**
 * `path` relative to the archive's root with `/` between its parts, or undefined when it is absolute,
 * climbs by `..`, names a drive, or has a backslash or a control character.
 */
export function pathInside(path: string): string | undefined {
  if (/^\/|^[A-Za-z]:|[\\\u0000-\u001f\u007f]/.test(path)) return undefined;
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  return parts.length === 0 || parts.includes("..") ? undefined : parts.join("/");
}
