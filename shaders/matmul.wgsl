// Matrix product: y[i, j] = Σ over l of a[i, l] · b[l, j].
//
//   a: element (i, l) at i·AM + l·AK     b: element (l, j) at l·BK + j·BN     y [M, N]
// A workgroup of 8×8 computes a 32×32 tile, each invocation 4×4 of it at a distance of 8, so that
// neighbours read neighbours. The loop ends at K + group.z: group.z is 0, but the driver does not know
// and unrolls nothing. Rows and columns past the edge repeat the last one and store nothing.

const M: u32 = 32;
const K: u32 = 32;
const N: u32 = 32;
const AM: u32 = 32;
const AK: u32 = 1;
const BK: u32 = 32;
const BN: u32 = 1;
// Where the first and the second input start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let i = group.y * 32u + local.y + vec4u(0, 8, 16, 24);
  let j = group.x * 32u + local.x + vec4u(0, 8, 16, 24);
  let ia = min(i, vec4u(M - 1)) * AM;
  let jb = min(j, vec4u(N - 1)) * BN;
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  for (var l = 0u; l < K + group.z; l++) {
    let la = l * AK;
    let lb = l * BK;
    let right = vec4f(b[AT1 + jb.x + lb], b[AT1 + jb.y + lb], b[AT1 + jb.z + lb], b[AT1 + jb.w + lb]);
    s0 += a[AT0 + ia.x + la] * right;
    s1 += a[AT0 + ia.y + la] * right;
    s2 += a[AT0 + ia.z + la] * right;
    s3 += a[AT0 + ia.w + la] * right;
  }
  let sums = array<vec4f, 4>(s0, s1, s2, s3);
  for (var r = 0u; r < 4u; r++) {
    for (var c = 0u; c < 4u; c++) {
      if (i[r] < M && j[c] < N) {
        y[i[r] * N + j[c]] = sums[r][c];
      }
    }
  }
}
