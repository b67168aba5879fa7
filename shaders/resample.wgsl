// Images through an affine map: y[n, c, i, j] = Σ over r, q of t(row - r) · t(column - q) · x[n, c, r, q]
// with t(d) = max(0, 1 - |d|) and (row, column) = map[n] · (i, j, 1), i and j from the image's centre.
//
//   x     [N, C, H, W]   map [N, 2, 3]   y [N, C, H, W]
// One invocation an element of y; a workgroup covers WIDTH elements of one image, so that all its
// invocations have one map. Only pixels that count are loaded: one for a shift or a flip.

const N: u32 = 2;
const C: u32 = 3;
const H: u32 = 4;
const W: u32 = 4;
const WIDTH: u32 = 64;
// Where the first and the second input start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;

alias T0 = f32;
alias T1 = f32;
alias TY = f32;

@group(0) @binding(0) var<storage, read> x: array<T0>;
@group(0) @binding(1) var<storage, read> map: array<T1>;
@group(0) @binding(2) var<storage, read_write> y: array<TY>;

const CENTRE = vec2f(f32(H - 1), f32(W - 1)) / 2;

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let k = group.x * WIDTH + lane;
  let n = group.z * 32768u + group.y;
  if (k >= C * H * W || n >= N) {
    return;
  }
  let m = AT1 + 6 * n;
  let di = vec2f(f32(map[m]), f32(map[m + 3]));
  let dj = vec2f(f32(map[m + 1]), f32(map[m + 4]));
  let shift = vec2f(f32(map[m + 2]), f32(map[m + 5]));
  let to = vec2f(f32(k / W % H), f32(k % W)) - CENTRE;
  let at = di * to.x + dj * to.y + shift + CENTRE;
  let plane = AT0 + (n * C + k / (H * W)) * H * W;
  var sum = 0.0;
  if (all(at > vec2f(-1)) && all(at < vec2f(f32(H), f32(W)))) {
    let low = vec2i(floor(at));
    for (var r = low.x; r <= low.x + 1; r++) {
      for (var q = low.y; q <= low.y + 1; q++) {
        let near = 1 - abs(at - vec2f(f32(r), f32(q)));
        let weight = near.x * near.y;
        if (weight > 0 && r >= 0 && r < i32(H) && q >= 0 && q < i32(W)) {
          sum += weight * f32(x[plane + u32(r) * W + u32(q)]);
        }
      }
    }
  }
  y[(n * C * H * W) + k] = TY(sum);
}
