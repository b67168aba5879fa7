/** @file A process of one peer: reads requests line by line, answers on file descriptor 3. */
import { readFileSync, readdirSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { slowPolling } from "../../engine/gpu/polling.ts";
import { AbsentError, type Peer, type Prepared, type Reply, type Request } from "./peer.ts";
import { openPeer } from "./peers.ts";
import type { Arrays } from "./tasks.ts";

const peerName = process.argv[2] ?? "";
let peer: Peer | undefined;
let prepared: Prepared | undefined;
let resume: (() => void) | undefined;

function readArrays(folder: string): Arrays {
  const names = readdirSync(folder).filter((file) => file.endsWith(".f32"));
  return Object.fromEntries(
    names.map((file) => {
      const { buffer, byteOffset, byteLength } = readFileSync(join(folder, file));
      const bytes = buffer.slice(byteOffset, byteOffset + byteLength);
      return [file.slice(0, -".f32".length), new Float32Array(bytes)];
    }),
  );
}

async function timed(work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

async function answer(request: Request): Promise<Reply> {
  switch (request.do) {
    case "open": {
      peer = await openPeer(peerName, request);
      if (request.slowPolling && peerName !== "ours") resume = slowPolling();
      const { versions, adapter } = peer;
      return { opened: { versions, ...(adapter ? { adapter } : {}) } };
    }
    case "prepare": {
      const inputs = readArrays(request.folder);
      let output = new Float32Array();
      const firstMs = await timed(async () => {
        prepared = await peer!.prepare(request.task, inputs);
        output = Float32Array.from(await prepared.first());
      });
      writeFileSync(join(request.folder, "output.f32"), output);
      return { firstMs };
    }
    case "sample": {
      const ms = await timed(() => prepared!.repeat(request.times));
      return { ms, peakMiB: process.resourceUsage().maxRSS / 1024 };
    }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  let reply: Reply;
  try {
    reply = await answer(JSON.parse(line) as Request);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    reply = error instanceof AbsentError ? { absent: message } : { error: message };
  }
  writeSync(3, `${JSON.stringify(reply)}\n`);
}
resume?.();
// Frameworks keep devices and timers open.
process.exit();
