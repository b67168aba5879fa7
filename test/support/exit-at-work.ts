/** @file Ends its process from within, with the code 7, while two devices have work in hand. */
import { add, exp, Gpu, mul, Program, sum, variable } from "../../engine/index.ts";

/** Twelve kernels that no driver has compiled yet: each process has numbers of its own. */
async function busy(gpu: Gpu): Promise<void> {
  const kernels = Array.from({ length: 12 }, (_, i) => {
    const x = variable(`x${i}`, [64 + i, 32]);
    let y = x;
    for (let k = 0; k < 6; k++) y = add(mul(y, exp(mul(x, k + Math.random()))), x);
    return [`p${i}`, { [`y${i}`]: sum(y) }] as const;
  });
  const program = await Program.compile(gpu, Object.fromEntries(kernels));
  for (const [name] of kernels) program.run(name);
}

const gpus = [await Gpu.open({ threads: "one" }), await Gpu.open({ threads: "one" })];
for (const gpu of gpus) await busy(gpu);
setTimeout(() => process.exit(7), Math.random() * 60);
