/** @file A graph as text: one line a tensor. */
import { showShape } from "./shape.ts";
import { topological, type Tensor } from "./tensor.ts";

/** Settings as `name=value`, without those that the shape shows. */
function showParams(x: Tensor): string {
  return Object.entries(x.params)
    .filter(([name]) => name !== "shape" && name !== "dtype")
    .map(([name, value]) => ` ${name}=${JSON.stringify(value)}`)
    .join("");
}

/** `%7 = conv2d(%1, %2) stride=1 padding=1 : f32 [10, 16, 8, 8]`, in an order that can be computed. */
export function printGraph(outputs: readonly Tensor[]): string {
  const number = new Map<Tensor, number>();
  const lines = topological(outputs).map((x, i) => {
    number.set(x, i);
    const inputs = x.inputs.map((input) => `%${number.get(input)!}`).join(", ");
    return `%${i} = ${x.op.name}(${inputs})${showParams(x)} : ${x.dtype} ${showShape(x.shape)}`;
  });
  return [...lines, `return ${outputs.map((x) => `%${number.get(x)!}`).join(", ")}`].join("\n");
}
