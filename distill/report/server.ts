/** @file The report's server: for this machine only, read only, and only files of the runs that it shows. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { loadBundle, SERVED_POLICY, servedPage, type Bundle } from "./document.ts";
import { findRuns, type RunFolder } from "./folder.ts";
import { labelsOf, sheetOf, snapshotOf, summariesOf, updateOf } from "./reader.ts";
import { FileError } from "../files.ts";

/** Nothing outside of this machine can reach it. */
const HOST = "127.0.0.1";

export interface Report extends AsyncDisposable {
  /** `http://127.0.0.1:PORT/`. */
  readonly url: string;
  close(): Promise<void>;
}

/** An answer that is not the usual one. */
class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

interface Answer {
  readonly type: string;
  readonly body: string | Uint8Array;
  /** Whether the address stands for these bytes for ever. */
  readonly lasting?: boolean;
}

/**
 * Serves the report of the runs among `paths` at a port (0: any that is free) until closed.
 * @throws FileError when a path cannot be read, or the port cannot be had.
 */
export async function serveReport(paths: readonly string[], port = 0): Promise<Report> {
  findRuns(paths);
  const bundle = await loadBundle();
  const server = createServer((request, response) => respond(request, response, paths, bundle));
  await listening(server, port);
  const { port: actual } = server.address() as AddressInfo;
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { url: `http://${HOST}:${actual}/`, close, [Symbol.asyncDispose]: close };
}

function listening(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const used = error.code === "EADDRINUSE" ? "one in use" : `an error (${String(error.code)})`;
      reject(new FileError(`--port ${port}: must be a free port of ${HOST}, got ${used}`));
    });
    server.listen(port, HOST, resolve);
  });
}

function respond(
  request: IncomingMessage,
  response: ServerResponse,
  paths: readonly string[],
  bundle: Bundle,
): void {
  response.setHeader("Content-Security-Policy", SERVED_POLICY);
  response.setHeader("X-Content-Type-Options", "nosniff");
  response.setHeader("Referrer-Policy", "no-referrer");
  response.setHeader("Cross-Origin-Resource-Policy", "same-origin");
  response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
  try {
    checkRequest(request);
    const {
      type,
      body,
      lasting = false,
    } = answer(new URL(request.url!, "http://report"), {
      paths,
      bundle,
    });
    response.setHeader("Content-Type", type);
    response.setHeader("Cache-Control", lasting ? "private, max-age=86400" : "no-store");
    response.end(body);
  } catch (error) {
    const status = error instanceof Refusal ? error.status : 500;
    if (status === 405) response.setHeader("Allow", "GET");
    response.statusCode = status;
    response.setHeader("Content-Type", "text/plain; charset=utf-8");
    response.setHeader("Cache-Control", "no-store");
    response.end(`${error instanceof Error ? error.message : String(error)}\n`);
  }
}

/**
 * Only a page of this server may ask. Another site's name that was made to point at this machine shows
 * in Host (DNS rebinding), another site's page in Sec-Fetch-Site.
 */
function checkRequest({ method, headers, url, socket }: IncomingMessage): void {
  if (method !== "GET") throw new Refusal(405, `the method must be GET, got ${String(method)}`);
  const port = socket.localPort!;
  const names = [HOST, "localhost"].flatMap((name) =>
    port === 80 ? [name, `${name}:80`] : [`${name}:${port}`],
  );
  if (!names.includes(headers.host?.toLowerCase() ?? ""))
    throw new Refusal(403, `Host must be ${names.join(" or ")}`);
  const site = headers["sec-fetch-site"];
  const foreign = site !== undefined && site !== "same-origin" && site !== "none";
  // Whoever follows a link to the page may.
  if (foreign && url !== "/") throw new Refusal(403, "only this report's own page may ask");
  if (!url?.startsWith("/") || !URL.canParse(url, "http://report"))
    throw new Refusal(400, "the address must be a path");
}

interface Served {
  readonly paths: readonly string[];
  readonly bundle: Bundle;
}

const json = (value: object): Answer => ({
  type: "application/json; charset=utf-8",
  body: JSON.stringify(value),
});

function answer({ pathname, searchParams }: URL, { paths, bundle }: Served): Answer {
  switch (pathname) {
    case "/":
      return { type: "text/html; charset=utf-8", body: servedPage };
    case "/page.js":
      return { type: "text/javascript; charset=utf-8", body: bundle.script };
    case "/page.css":
      return { type: "text/css; charset=utf-8", body: bundle.style };
    case "/api/runs":
      return json(summariesOf(findRuns(paths)));
    case "/api/run":
      return json(updateOf(runFor(searchParams, paths), searchParams.get("since") ?? ""));
    case "/api/sheet.png":
      return {
        ...{ type: "image/png", lasting: true },
        body: sheetOf(snapshotFor(searchParams, paths)),
      };
    case "/api/labels":
      return {
        ...{ type: "application/octet-stream", lasting: true },
        body: labelsOf(snapshotFor(searchParams, paths)),
      };
    default:
      throw new Refusal(404, "there is nothing here");
  }
}

/** The run that is asked for, by its name in the list and by nothing else. */
function runFor(query: URLSearchParams, paths: readonly string[]): RunFolder {
  const run = findRuns(paths).find(({ id }) => id === query.get("run"));
  if (!run) throw new Refusal(404, "run: must be the name of a run in the list, got another");
  return run;
}

function snapshotFor(query: URLSearchParams, paths: readonly string[]) {
  const [ipc, iteration] = [Number(query.get("ipc")), Number(query.get("iteration"))];
  const snapshot = snapshotOf(runFor(query, paths), ipc, iteration);
  if (!snapshot) throw new Refusal(404, "there is no snapshot of this set and iteration");
  return snapshot;
}
