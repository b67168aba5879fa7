/** @file Downloads from a server on this machine: whole with the right checksum, or nothing at all. */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { download } from "../../../distill/data/download.ts";
import { datasetNames } from "../../../distill/data/known.ts";
import { officialFile, officialOf } from "../../../distill/data/official.ts";
import { createProgress } from "../../../distill/progress.ts";
import { noise, refusal } from "../../support/data-files.ts";

const CONTENT = Buffer.from(noise(3 << 20));
const MD5 = createHash("md5").update(CONTENT).digest("hex");

let server: Server;
let base: string;
let root: string;
let asked: string[] = [];
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "potstill-download-"));
  server = createServer((request, response) => {
    asked.push(request.url!);
    if (request.url === "/good") response.end(CONTENT);
    else if (request.url === "/moved") response.writeHead(302, { location: "/good" }).end();
    else if (request.url === "/other") response.end("<html>please log in</html>");
    else if (request.url === "/cut") {
      response.writeHead(200, { "content-length": CONTENT.length });
      response.write(CONTENT.subarray(0, 1000), () => response.destroy());
    } else response.writeHead(404).end();
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
  rmSync(root, { recursive: true });
});

let made = 0;
/** Downloads one file into a new folder; returns what is there afterwards, or how it was refused. */
async function attempt(
  ...paths: string[]
): Promise<{ told: string; files: string[]; folder: string }> {
  const folder = join(root, String(made++));
  asked = [];
  const file = { name: "set.gz", md5: MD5, urls: paths.map((path) => `${base}${path}`) };
  const get = () => download([file], folder, createProgress({ quiet: true }));
  const told = await refusal(get, root).catch(() => "fetched");
  return { told: told.replaceAll(base, "http:/"), files: readdirSync(folder), folder };
}

describe("download", () => {
  it("puts the file in a folder that it makes, and does not fetch it again", async () => {
    const { told, files, folder } = await attempt("/good");
    expect([told, files]).toEqual(["fetched", ["set.gz"]]);
    expect(readFileSync(join(folder, "set.gz")).equals(CONTENT)).toBe(true);
    const file = { name: "set.gz", md5: MD5, urls: [`${base}/good`] };
    expect(await download([file], folder, createProgress({ quiet: true }))).toEqual([]);
    expect(asked).toEqual(["/good"]);
  });

  it("follows redirections, and goes on to another address when one fails", async () => {
    expect((await attempt("/moved")).told).toBe("fetched");
    expect((await attempt("/missing", "/other", "/cut", "/good")).told).toBe("fetched");
    expect(asked).toEqual(["/missing", "/other", "/cut", "/good"]);
  });

  it.each([
    ["/missing", "http://missing: must be there, got status 404"],
    ["/other", `http://other: must be the official file (md5 ${MD5}), got another (md5 `],
    ["/cut", "http://cut: must be reachable, got "],
  ])("leaves nothing of %s", async (path, sentence) => {
    const { told, files } = await attempt(path);
    expect(told).toContain(sentence);
    expect(told).not.toContain("\n");
    expect(files).toEqual([]);
  });

  it("tells an address that can't be reached", async () => {
    const file = { name: "set.gz", md5: MD5, urls: ["http://127.0.0.1:1/set.gz"] };
    const get = () => download([file], join(root, "closed"), createProgress({ quiet: true }));
    expect(await refusal(get, root)).toMatch(
      /^http:\/\/127\.0\.0\.1:1\/set\.gz: must be reachable, got .+$/,
    );
  });

  it("does not replace a file of that name", async () => {
    writeFileSync(join(root, "set.gz"), "mine");
    const file = { name: "set.gz", md5: MD5, urls: [`${base}/good`] };
    expect(await refusal(() => download([file], root, createProgress({ quiet: true })), root)).toBe(
      `set.gz: must be the official file (md5 ${MD5}) or not there, got another (md5 ${createHash("md5").update("mine").digest("hex")})`,
    );
    expect(readFileSync(join(root, "set.gz"), "utf8")).toBe("mine");
  });
});

describe("the official files", () => {
  it("are named for every set that does not come with the program", () => {
    for (const name of datasetNames) {
      const official = officialOf(name);
      expect(official === undefined).toBe(name === "digits");
      for (const file of official?.files ?? []) {
        expect(file.md5).toMatch(/^[0-9a-f]{32}$/);
        expect(officialFile(file.md5)).toBe(file.name);
        for (const url of file.urls) expect(url.endsWith(`/${file.name}`)).toBe(true);
      }
    }
  });
});
