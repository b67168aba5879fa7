// Rows added up by number: y[r, k] = Σ over i with index[i] = r of g[i, k], in the order of i.
//
//   g     [COUNT, ROW]   index [COUNT]   y [ROWS, ROW]
// One invocation an element of y; a workgroup covers WIDTH elements of one row, so that all its
// invocations agree on every branch.

const ROWS: u32 = 4;
const ROW: u32 = 8;
const COUNT: u32 = 4;
const WIDTH: u32 = 64;
// Where the first and the second input start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;

alias T0 = f32;
alias TY = f32;

@group(0) @binding(0) var<storage, read> g: array<T0>;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<TY>;

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let k = group.x * WIDTH + lane;
  let row = group.z * 32768u + group.y;
  if (k >= ROW || row >= ROWS) {
    return;
  }
  var sum = 0.0;
  for (var i = 0u; i < COUNT; i++) {
    if (index[AT1 + i] == row) {
      sum += f32(g[AT0 + i * ROW + k]);
    }
  }
  y[row * ROW + k] = TY(sum);
}
