// Matrix products, an element at a time:
//   y[i, j] = Σ over pairs (a, b), then over l, of a[i, l] · b[l, j].
//
//   a0, a1 [M, K], or [K, M] where TA is 1   b0, b1 [K, N], or [N, K] where TB is 1   y [M, N]
// A workgroup of 8×8 computes a 32×32 tile, each invocation 4×4 of it at a distance of 8, so that
// neighbours read neighbours. Loops end at a size + group.z: group.z is 0, but the driver does not know
// and unrolls nothing. Rows and columns past the edge repeat the last one and store nothing.

const PAIRS: u32 = 1;
const M: u32 = 16;
const K: u32 = 32;
const N: u32 = 32;
const TA: u32 = 0;
const TB: u32 = 0;
// Where the operands start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;
const AT2: u32 = 0;
const AT3: u32 = 0;

alias T0 = f32;
alias T1 = f32;
alias T2 = f32;
alias T3 = f32;
alias TY = f32;

@group(0) @binding(0) var<storage, read> a0: array<T0>;
@group(0) @binding(1) var<storage, read> b0: array<T1>;
@group(0) @binding(2) var<storage, read> a1: array<T2>;
@group(0) @binding(3) var<storage, read> b1: array<T3>;
@group(0) @binding(4) var<storage, read_write> y: array<TY>;

// Distances between neighbours along i, l and j.
const AI: u32 = select(K, 1, TA == 1);
const AL: u32 = select(1, M, TA == 1);
const BL: u32 = select(N, 1, TB == 1);
const BJ: u32 = select(1, K, TB == 1);

fn load_a(pair: u32, at: vec4u) -> vec4f {
  if (PAIRS == 1 || pair == 0) {
    let p = AT0 + at;
    return vec4f(vec4<T0>(a0[p.x], a0[p.y], a0[p.z], a0[p.w]));
  }
  let p = AT2 + at;
  return vec4f(vec4<T2>(a1[p.x], a1[p.y], a1[p.z], a1[p.w]));
}

fn load_b(pair: u32, at: vec4u) -> vec4f {
  if (PAIRS == 1 || pair == 0) {
    let p = AT1 + at;
    return vec4f(vec4<T1>(b0[p.x], b0[p.y], b0[p.z], b0[p.w]));
  }
  let p = AT3 + at;
  return vec4f(vec4<T3>(b1[p.x], b1[p.y], b1[p.z], b1[p.w]));
}

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let i = group.y * 32 + local.y + vec4u(0, 8, 16, 24);
  let j = group.x * 32 + local.x + vec4u(0, 8, 16, 24);
  let ia = min(i, vec4u(M - 1)) * AI;
  let jb = min(j, vec4u(N - 1)) * BJ;
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  for (var pair = 0u; pair < PAIRS + group.z; pair++) {
    for (var l = 0u; l < K + group.z; l++) {
      let a = load_a(pair, ia + l * AL);
      let b = load_b(pair, jb + l * BL);
      s0 = fma(vec4f(a.x), b, s0);
      s1 = fma(vec4f(a.y), b, s1);
      s2 = fma(vec4f(a.z), b, s2);
      s3 = fma(vec4f(a.w), b, s3);
    }
  }
  let sums = array<vec4f, 4>(s0, s1, s2, s3);
  for (var r = 0u; r < 4; r++) {
    for (var c = 0u; c < 4; c++) {
      if (i[r] < M && j[c] < N) {
        y[i[r] * N + j[c]] = TY(sums[r][c]);
      }
    }
  }
}
