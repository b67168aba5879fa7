// The adjoint of resample.wgsl: x[n, c, r, q] = Σ over i, j of t(row - r) · t(column - q) · g[n, c, i, j]
// with t(d) = max(0, 1 - |d|) and (row, column) = map[n] · (i, j, 1), i and j from the image's centre.
//
//   g     [N, C, H, W]   map [N, 2, 3]   x [N, C, H, W]
// One invocation an element of x; a workgroup covers WIDTH elements of one image, so that all its
// invocations have one map. What reaches (r, q) lies in a parallelogram around its preimage: the pixels
// of the rectangle about that are looked at, in order; all pixels where the map is as good as singular.

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

@group(0) @binding(0) var<storage, read> g: array<T0>;
@group(0) @binding(1) var<storage, read> map: array<T1>;
@group(0) @binding(2) var<storage, read_write> x: array<TY>;

const LAST = vec2f(f32(H - 1), f32(W - 1));
const CENTRE = LAST / 2;
// Of a determinant to the products that it is the difference of: below, the preimage is not known.
const SINGULAR = 0.01;
// Of a pixel: far beyond what rounding can move a preimage.
const SLACK = 0.01;

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
  let own = vec2f(f32(k / W % H), f32(k % W));

  var first = vec2f(0);
  var last = LAST;
  let determinant = di.x * dj.y - di.y * dj.x;
  if (abs(determinant) > SINGULAR * (abs(di.x * dj.y) + abs(di.y * dj.x))) {
    let there = own - CENTRE - shift;
    let preimage = vec2f(dj.y * there.x - dj.x * there.y, di.x * there.y - di.y * there.x) / determinant;
    let reach = vec2f(abs(dj.y) + abs(dj.x), abs(di.x) + abs(di.y)) / abs(determinant);
    first = max(first, ceil(preimage + CENTRE - reach * (1 + SLACK)));
    last = min(last, floor(preimage + CENTRE + reach * (1 + SLACK)));
  }
  let plane = AT0 + (n * C + k / (H * W)) * H * W;
  var sum = 0.0;
  for (var i = first.x; i <= last.x; i += 1) {
    for (var j = first.y; j <= last.y; j += 1) {
      let at = di * (i - CENTRE.x) + dj * (j - CENTRE.y) + shift + CENTRE;
      let near = max(vec2f(0), 1 - abs(at - own));
      let weight = near.x * near.y;
      if (weight > 0) {
        sum += weight * f32(g[plane + u32(i) * W + u32(j)]);
      }
    }
  }
  x[(n * C * H * W) + k] = TY(sum);
}
