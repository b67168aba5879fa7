/** @file What progress looks like in a log, on a terminal, and when quiet. */
import { Writable } from "node:stream";

import { describe, expect, it } from "vitest";

import { createProgress } from "../../distill/progress.ts";

class Captured extends Writable {
  text = "";
  isTTY = false;
  columns = 80;

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }

  get lines(): string[] {
    return this.text.split("\n").slice(0, -1);
  }
}

/** A reporter that writes into `stream`, with a clock that the test moves. */
function reporter(bars: boolean) {
  const stream = new Captured();
  stream.isTTY = bars;
  const clock = { ms: 1000 };
  const progress = createProgress({ stream, bars, now: () => clock.ms });
  return { stream, clock, progress };
}

describe("without a terminal", () => {
  it("writes a line at the start, at each tenth and at the end, with rate, time left and value", () => {
    const { stream, clock, progress } = reporter(false);
    progress.start("teacher 1", 30);
    for (let done = 1; done <= 30; done++) {
      clock.ms += 500;
      progress.update(done, { loss: 1 / done });
    }
    progress.stop();
    expect(stream.lines).toEqual([
      "teacher 1: 0/30",
      "teacher 1: 3/30, 2.0/s, 14s left, loss 0.3333",
      "teacher 1: 6/30, 2.0/s, 12s left, loss 0.1667",
      "teacher 1: 9/30, 2.0/s, 11s left, loss 0.1111",
      "teacher 1: 12/30, 2.0/s, 9.0s left, loss 0.08333",
      "teacher 1: 15/30, 2.0/s, 7.5s left, loss 0.06667",
      "teacher 1: 18/30, 2.0/s, 6.0s left, loss 0.05556",
      "teacher 1: 21/30, 2.0/s, 4.5s left, loss 0.04762",
      "teacher 1: 24/30, 2.0/s, 3.0s left, loss 0.04167",
      "teacher 1: 27/30, 2.0/s, 1.5s left, loss 0.03704",
      "teacher 1: 30/30 in 15s, loss 0.03333",
    ]);
  });

  it("writes a line every half minute when the work is slow", () => {
    const { stream, clock, progress } = reporter(false);
    progress.start("matching", 1000);
    for (let done = 1; done <= 6; done++) {
      clock.ms += 13_000;
      progress.update(done);
    }
    expect(stream.lines).toEqual([
      "matching: 0/1000",
      "matching: 3/1000, 13s each, 3h 36m left",
      "matching: 6/1000, 13s each, 3h 35m left",
    ]);
  });

  it("gives the rate of the last while, not of a slow start", () => {
    const { stream, clock, progress } = reporter(false);
    progress.start("matching", 100);
    clock.ms += 60_000;
    for (let done = 0; done < 50; done++) {
      clock.ms += 10;
      progress.update(done);
    }
    progress.stop();
    expect(stream.lines.at(-2)).toBe("matching: 40/100, 100/s, 0.6s left");
    expect(stream.lines.at(-1)).toBe("matching: 49/100 in 1m 01s");
  });

  it("keeps values until they change and prints other lines between", () => {
    const { stream, clock, progress } = reporter(false);
    progress.start("a", 2);
    clock.ms += 1;
    progress.update(1, { loss: 0.5, teacher: "3" });
    progress.log("a line");
    progress.update(2, { loss: NaN });
    progress.start("b", 0);
    progress.stop();
    progress.stop();
    progress.update(7);
    expect(stream.lines).toEqual([
      "a: 0/2",
      "a: 1/2, 1000/s, 0.0s left, loss 0.5, teacher 3",
      "a line",
      "a: 2/2 in 0.0s, loss NaN, teacher 3",
      "b: 0/0",
      "b: 0/0 in 0.0s",
    ]);
  });
});

describe("on a terminal", () => {
  it("draws a bar that ends as a full line, and puts other lines above it", () => {
    const { stream, clock, progress } = reporter(true);
    progress.start("teachers", 4);
    clock.ms += 2000;
    progress.update(2, { accuracy: 0.9512345 });
    progress.log("teacher 1 done");
    progress.update(4);
    progress.stop();
    progress.log("after");
    expect(stream.text).toContain("\r\x1b[2Kteacher 1 done\n");
    expect(stream.text).toContain(
      "teachers [============------------] 2/4, 1.0/s, 2.0s left, accuracy 0.9512",
    );
    expect(stream.text).toContain(
      "teachers [========================] 4/4 in 2.0s, accuracy 0.9512",
    );
    expect(stream.text.endsWith("\nafter\n")).toBe(true);
  });

  it("cuts the bar to the terminal's width and sends no code that a Ctrl-C would leave on", () => {
    const { stream, progress } = reporter(true);
    stream.columns = 20;
    progress.start("a label that is longer than that", 4);
    progress.stop();
    expect(stream.text).toContain("a label that is long");
    expect(stream.text).not.toContain("a label that is longe");
    expect(stream.text).not.toContain("\x1b[?7l");
    expect(stream.text).not.toContain("\x1b[?25l");
  });

  it("lets Node exit once stopped, also when started anew without a stop", () => {
    const before = process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const { progress } = reporter(true);
    progress.start("a", 1);
    progress.start("b", 1);
    progress.stop();
    const after = process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    expect(after).toBe(before);
  });
});

describe("when quiet", () => {
  it("writes nothing", () => {
    const stream = new Captured();
    const progress = createProgress({ quiet: true, stream });
    progress.start("a", 1);
    progress.update(1);
    progress.log("b");
    progress.stop();
    expect(stream.text).toBe("");
  });
});
