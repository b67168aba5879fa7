// Rows added in place: x[index[i], k] += g[i, k], equal indices in the order of i.
//
//   index [COUNT]   g [COUNT, ROW]   x [any, ROW], read and written under one binding
// A workgroup covers WIDTH elements of one row of g, so that all its invocations agree on every branch.
// The first of equal indices adds them all up, so that no two workgroups touch one element.

const ROW: u32 = 8;
const COUNT: u32 = 4;
const WIDTH: u32 = 64;
// Where the first and the second input start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;

alias T0 = u32;
alias T1 = f32;
alias TY = f32;

@group(0) @binding(0) var<storage, read> index: array<T0>;
@group(0) @binding(1) var<storage, read> g: array<T1>;
@group(0) @binding(2) var<storage, read_write> x: array<TY>;

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let k = group.x * WIDTH + lane;
  let i = group.z * 32768u + group.y;
  if (k >= ROW || i >= COUNT) {
    return;
  }
  let row = index[AT0 + i];
  for (var j = 0u; j < i; j++) {
    if (index[AT0 + j] == row) {
      return;
    }
  }
  var sum = f32(x[row * ROW + k]);
  for (var j = i; j < COUNT; j++) {
    if (index[AT0 + j] == row) {
      sum += f32(g[AT1 + j * ROW + k]);
    }
  }
  x[row * ROW + k] = TY(sum);
}
