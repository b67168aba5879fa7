// Convolution, transposed in its kernels:
//   y[o, c, r, q] = Σ over n, i, j of x[n, c, S·i + r - P, S·j + q - P] · g[n, o, i, j].
//
//   x [N, C, H, W]   g [N, O, I, J]   y [O, C, R, Q]
// A workgroup computes all taps of one output channel and four input channels, an invocation one
// tap of the four. Loops end at a size + group.z: group.z is 0, but the driver does not know and
// unrolls nothing. Sums run in the order of (n, i, j), so results repeat bit for bit.

const N: u32 = 1;
const C: u32 = 1;
const H: u32 = 8;
const W: u32 = 8;
const O: u32 = 4;
const R: u32 = 3;
const Q: u32 = 3;
const I: u32 = 8;
const J: u32 = 8;
const S: u32 = 1;
const P: u32 = 1;
// Where the first and the second input start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let o = group.x;
  let c = group.y * 4u + vec4u(0, 1, 2, 3);
  let plane = min(c, vec4u(C - 1)) * (H * W);
  for (var tap = lane; tap < R * Q; tap += 16u) {
    let r = tap / Q;
    let q = tap % Q;
    var sum = vec4f();
    for (var n = 0u; n < N + group.z; n++) {
      let gn = (n * O + o) * (I * J);
      let xn = n * (C * H * W) + plane;
      for (var i = 0u; i < I + group.z; i++) {
        let h = S * i + r;
        if (h < P || h >= H + P) {
          continue;
        }
        for (var j = 0u; j < J + group.z; j++) {
          let w = S * j + q;
          if (w >= P && w < W + P) {
            let at = xn + (h - P) * W + (w - P);
            sum += g[AT1 + gn + i * J + j] * vec4f(x[AT0 + at.x], x[AT0 + at.y], x[AT0 + at.z], x[AT0 + at.w]);
          }
        }
      }
    }
    for (var a = 0u; a < 4u; a++) {
      if (c[a] < C) {
        y[((o * C + c[a]) * R + r) * Q + q] = sum[a];
      }
    }
  }
}
