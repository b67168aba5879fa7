// One row replaced in place: x[row[0], k] = value[k].
//
//   row [1]   value [ROW]   x [any, ROW], read and written under one binding
// One invocation an element of the row.

const ROW: u32 = 8;
// Where the first and the second input start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;

alias T1 = f32;
alias TY = f32;

@group(0) @binding(0) var<storage, read> row: array<u32>;
@group(0) @binding(1) var<storage, read> value: array<T1>;
@group(0) @binding(2) var<storage, read_write> x: array<TY>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < ROW) {
    x[row[AT0] * ROW + id.x] = TY(value[AT1 + id.x]);
  }
}
