/** @file The recipes of the sets side by side; what differs stands out. */
import type { Curve } from "./store.ts";

export function Settings({ curves }: { readonly curves: readonly Curve[] }) {
  const columns = curves.flatMap(({ key, label, colour, recipe }) =>
    recipe ? [{ key, label, colour, values: new Map(recipe.settings) }] : [],
  );
  if (columns.length === 0) return null;
  const names = [...new Set(columns.flatMap(({ values }) => [...values.keys()]))];
  const valueOf = (values: ReadonlyMap<string, string>, name: string) => values.get(name) ?? "–";
  return (
    <section aria-labelledby="settings">
      <details>
        <summary>
          <h2 id="settings">Settings</h2>
        </summary>
        <div class="scroll" tabIndex={0} role="region" aria-label="Table of settings">
          <table class="settings">
            <thead>
              <tr>
                <th scope="col">setting</th>
                {columns.map(({ key, label, colour }) => (
                  <th key={key} scope="col">
                    <i class={`swatch series-${colour}`} />
                    {label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {names.map((name) => {
                const values = columns.map((column) => valueOf(column.values, name));
                const differs = new Set(values).size > 1;
                return (
                  <tr key={name} class={differs ? "differs" : ""}>
                    <th scope="row">
                      <code>{name}</code>
                    </th>
                    {values.map((value, i) => (
                      <td key={columns[i]!.key}>{value}</td>
                    ))}
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      </details>
    </section>
  );
}
