/** @file Colours where a terminal shows them: as NO_COLOR and FORCE_COLOR say, else on terminals. */
import { styleText } from "node:util";

/** Whether what is written to a stream is to have colours. FORCE_COLOR comes before NO_COLOR, as in Node. */
export function hasColours(
  stream: { readonly isTTY?: boolean },
  env: NodeJS.ProcessEnv = process.env,
): boolean {
  const { FORCE_COLOR: force, NO_COLOR: no, TERM: terminal } = env;
  if (force !== undefined) return force !== "0" && force !== "false";
  return stream.isTTY === true && terminal !== "dumb" && (no === undefined || no === "");
}

/** Paints text for a stream, or leaves it as it is where that has no colours. */
export const paint = (
  stream: { readonly isTTY?: boolean },
  colour: "red" | "green",
  text: string,
): string => (hasColours(stream) ? styleText(colour, text) : text);
