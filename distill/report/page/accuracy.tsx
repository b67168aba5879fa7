/** @file Test accuracy of sets beside what they are compared with: means, deviations and every network. */
import { accuraciesFor, isBaseline, type Curve } from "./store.ts";
import type { Accuracy as Row } from "../messages.ts";
import { showPercent } from "./words.ts";

/** The part of 0..1 that has all values in it, out to whole tenths. */
function domainOf(rows: readonly Row[]): [number, number] {
  const values = rows.flatMap(({ mean, std, values: all }) => [mean - std, mean + std, ...all]);
  const low = Math.floor(10 * Math.max(0, Math.min(...values)) + 1e-9) / 10;
  const high = Math.ceil(10 * Math.min(1, Math.max(...values)) - 1e-9) / 10;
  return high > low ? [low, high] : [Math.max(0, low - 0.1), Math.min(1, high + 0.1)];
}

export function Accuracy({ curves }: { readonly curves: readonly Curve[] }) {
  const groups = curves
    .map((curve) => ({ curve, rows: accuraciesFor(curve.run, curve.set.ipc) }))
    .filter(({ rows }) => rows.length > 0);
  if (groups.length === 0) return null;
  const [low, high] = domainOf(groups.flatMap(({ rows }) => rows));
  const share = (value: number): number =>
    100 * Math.min(1, Math.max(0, (value - low) / (high - low)));
  const tenths = Math.round(10 * (high - low));
  const marks = Array.from({ length: tenths + 1 }, (_, i) => low + i / 10);
  return (
    <section aria-labelledby="accuracy">
      <h2 id="accuracy">Accuracy</h2>
      <p class="note">
        Networks trained from fresh on each set, tested on real data: mean ± standard deviation, and
        a dot for each network.
      </p>
      <div class="scroll" tabIndex={0} role="region" aria-label="Table of accuracies">
        <table class="accuracy">
          <thead>
            <tr>
              <th scope="col">trained on</th>
              <th scope="col">test accuracy</th>
              <td aria-hidden="true">
                <div class="track axis">
                  {marks.map((mark) => (
                    <span key={mark} style={{ left: `${share(mark)}%` }}>
                      {Math.round(100 * mark)}
                    </span>
                  ))}
                </div>
              </td>
            </tr>
          </thead>
          {groups.map(({ curve, rows }) => (
            <tbody key={curve.key}>
              <tr class="group">
                <th colSpan={3} scope="rowgroup">
                  <i class={`swatch series-${curve.colour}`} />
                  {curve.label}
                </th>
              </tr>
              {rows.map((row) => (
                <tr key={row.method} class={isBaseline(row) ? "" : "own"}>
                  <th scope="row">{row.title}</th>
                  <td class="number">
                    {showPercent(row.mean)} ± {(100 * row.std).toFixed(1)}
                  </td>
                  <td aria-hidden="true">
                    <div class={`track ${isBaseline(row) ? "baseline" : `series-${curve.colour}`}`}>
                      {marks.map((mark) => (
                        <s key={mark} style={{ left: `${share(mark)}%` }} />
                      ))}
                      <u
                        style={{
                          left: `${share(row.mean - row.std)}%`,
                          width: `${share(row.mean + row.std) - share(row.mean - row.std)}%`,
                        }}
                      />
                      {row.values.map((value, i) => (
                        <i key={i} style={{ left: `${share(value)}%` }} />
                      ))}
                      <b style={{ left: `${share(row.mean)}%` }} />
                    </div>
                  </td>
                </tr>
              ))}
            </tbody>
          ))}
        </table>
      </div>
    </section>
  );
}
