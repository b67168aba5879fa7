/** @file The launch tape of a procedure, and the loop that replays it. */
import type { Gpu } from "./device.ts";
import type { Dispatch } from "./plan.ts";

/** A launch with all that it needs bound, or a copy between buffers. */
export type Command =
  | {
      readonly pipeline: GPUComputePipeline;
      readonly group: GPUBindGroup;
      readonly grid: readonly [number, number, number];
      /** Whether the shader asks for the number of the repetition. */
      readonly immediate: boolean;
      readonly step: Dispatch;
    }
  | { readonly from: GPUBuffer; readonly to: GPUBuffer; readonly bytes: number };

/** Commands in one submission: enough to hide its cost, few enough to start early. */
export const CHUNK = 200;

/**
 * Queues a tape `times` over; repetitions are numbered from `first`. A profiled device times every
 * dispatch, which then has a pass of its own.
 */
export function replay(
  { device, timer }: Gpu,
  name: string,
  tape: readonly Command[],
  times: number,
  first: number,
): void {
  const begun = timer ? performance.now() : 0;
  const number = new Uint32Array(1);
  let encoder = device.createCommandEncoder();
  let pass: GPUComputePassEncoder | undefined;
  let count = 0;
  const submit = (): void => {
    pass?.end();
    pass = undefined;
    if (timer) timer.submit(name, encoder);
    else device.queue.submit([encoder.finish()]);
  };
  for (let time = 0; time < times; time++) {
    number[0] = first + time;
    for (const command of tape) {
      if ("pipeline" in command) {
        const timed = timer?.dispatching(command.step);
        if (timed) pass?.end();
        if (timed || !pass) pass = encoder.beginComputePass(timed);
        pass.setPipeline(command.pipeline);
        pass.setBindGroup(0, command.group);
        if (command.immediate) pass.setImmediates(0, number);
        pass.dispatchWorkgroups(command.grid[0], command.grid[1], command.grid[2]);
      } else {
        pass?.end();
        pass = undefined;
        encoder.copyBufferToBuffer(command.from, 0, command.to, 0, command.bytes);
      }
      if (++count % CHUNK === 0) {
        submit();
        encoder = device.createCommandEncoder();
      }
    }
  }
  submit();
  timer?.profiler.span("encode", name, begun);
}
