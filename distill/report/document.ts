/** @file The page as HTML: with its scripts beside it, or as one file with everything inside. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { FileError } from "../files.ts";

/** The page's program and style, bundled. */
export interface Bundle {
  readonly script: string;
  readonly style: string;
}

/** Packages in the bundle: their licences go where they go. */
const BUNDLED = ["preact", "uplot"];

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/**
 * The bundle that was built with the package; where it runs from its sources, one made of them now.
 * Throws `FileError` when there is neither.
 */
export async function loadBundle(): Promise<Bundle> {
  const [script, style] = [here("page.js"), here("page.css")];
  if (existsSync(script) && existsSync(style))
    return { script: readFileSync(script, "utf8"), style: readFileSync(style, "utf8") };
  if (existsSync(here("page/main.tsx"))) return await bundlePage(here("page"));
  throw new FileError(
    `${script}: must be there as the package brings it, got none; install it anew`,
  );
}

/** Bundles the page from the sources in a folder. Needs the packages for development. */
export async function bundlePage(folder: string): Promise<Bundle> {
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    entryPoints: [`${folder}/main.tsx`, `${folder}/page.css`],
    outdir: folder,
    bundle: true,
    write: false,
    minify: true,
    format: "iife",
    target: "es2022",
    tsconfig: `${folder}/tsconfig.json`,
    legalComments: "eof",
    logLevel: "silent",
  });
  const text = (ending: string): string =>
    outputFiles.find(({ path }) => path.endsWith(ending))!.text;
  const licences = BUNDLED.map((name) => {
    const file = createRequire(import.meta.url).resolve(`${name}/package.json`);
    return `/*! ${name}\n${readFileSync(join(dirname(file), "LICENSE"), "utf8").trim()} */\n`;
  });
  // The end of a script element in a text would end ours.
  const script = text(".js").replaceAll("</script", "<\\/script");
  return { script: script + licences.join(""), style: text(".css") };
}

const HEAD = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>Potstill report</title>
<link rel="icon" href="data:,">`;

const BODY = `</head>
<body>
<div id="report"></div>
<noscript>This report needs JavaScript.</noscript>`;

/** What the served page may do: what it needs, and only with the server that it is from. */
export const SERVED_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

export const servedPage = `${HEAD}
<link rel="stylesheet" href="/page.css">
${BODY}
<script src="/page.js"></script>
</body>
</html>
`;

/** The page as one file that shows `data`. It makes no request. */
export function exportedPage({ script, style }: Bundle, data: object): string {
  const hash = (text: string): string =>
    `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  const policy = [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  // In JSON, < stands only in texts.
  const json = JSON.stringify(data).replaceAll("<", "\\u003c");
  return `${HEAD}
<meta http-equiv="Content-Security-Policy" content="${policy}">
<style>${style}</style>
${BODY}
<script type="application/json" id="data">${json}</script>
<script>${script}</script>
</body>
</html>
`;
}
