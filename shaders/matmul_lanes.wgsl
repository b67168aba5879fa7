// Matrix products with the lanes of a subgroup along columns:
//   y[i, j] = Σ over pairs (a, b), then over l, of a[i, l] · b[l, j].
//
//   a0, a1 [M, K], or [K, M] where TA is 1   b0, b1 [K, N], or [N, K] where TB is 1   y [M, N]
// A subgroup computes ROWS rows, a lane COLUMNS columns of them. For four l at a time a lane loads what
// its columns need of b, and one vector of a for every eight rows, which broadcasts hand to all lanes:
// few loads for many multiplications. Vectors lie along the inner axis of an operand, and are put
// together from elements where that axis or the start is no multiple of four. Rows and columns past
// the edge repeat the last one and store nothing; past K everything is zero. Loops end at a size +
// group.z: group.z is 0, but the driver does not know and unrolls nothing.

enable subgroups;

const PAIRS: u32 = 1;
const M: u32 = 16;
const K: u32 = 32;
const N: u32 = 32;
const TA: u32 = 0;
const TB: u32 = 0;
// Lanes of a subgroup: 4, or at least 8.
const LANES: u32 = 8;
// Rows of a tile: 8, 16 or 32.
const ROWS: u32 = 16;
// Columns of a lane: 1 or 4.
const COLUMNS: u32 = 4;
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

@group(0) @binding(0) var<storage, read> a0: array<vec4<T0>>;
@group(0) @binding(1) var<storage, read> b0: array<vec4<T1>>;
@group(0) @binding(2) var<storage, read> a1: array<vec4<T2>>;
@group(0) @binding(3) var<storage, read> b1: array<vec4<T3>>;
@group(0) @binding(4) var<storage, read_write> y: array<TY>;

// Lines lie one after the other, LENGTH elements each.
const A_LINES: u32 = select(M, K, TA == 1);
const A_LENGTH: u32 = select(K, M, TA == 1);
const B_LINES: u32 = select(K, N, TB == 1);
const B_LENGTH: u32 = select(N, K, TB == 1);
const A_VECTORS: bool = A_LENGTH % 4 == 0 && AT0 % 4 == 0 && AT2 % 4 == 0;
const B_VECTORS: bool = B_LENGTH % 4 == 0 && AT1 % 4 == 0 && AT3 % 4 == 0 && (COLUMNS == 4 || TB == 1);

const FOUR = vec4u(0, 1, 2, 3);

fn load_a(pair: u32, line: u32, first: u32) -> vec4f {
  let at = min(line, A_LINES - 1) * A_LENGTH + min(first + FOUR, vec4u(A_LENGTH - 1));
  var v: vec4f;
  if (PAIRS == 1 || pair == 0) {
    let p = AT0 + at;
    if (A_VECTORS) {
      v = vec4f(a0[p.x / 4]);
    } else {
      v = vec4f(vec4<T0>(a0[p.x / 4][p.x % 4], a0[p.y / 4][p.y % 4], a0[p.z / 4][p.z % 4], a0[p.w / 4][p.w % 4]));
    }
  } else {
    let p = AT2 + at;
    if (A_VECTORS) {
      v = vec4f(a1[p.x / 4]);
    } else {
      v = vec4f(vec4<T2>(a1[p.x / 4][p.x % 4], a1[p.y / 4][p.y % 4], a1[p.z / 4][p.z % 4], a1[p.w / 4][p.w % 4]));
    }
  }
  if (K % 4 == 0) {
    return v;
  }
  let l = select(first + FOUR, vec4u(line), TA == 1);
  return select(v, vec4f(), l >= vec4u(K));
}

fn load_b(pair: u32, line: u32, first: u32) -> vec4f {
  let at = min(line, B_LINES - 1) * B_LENGTH + min(first + FOUR, vec4u(B_LENGTH - 1));
  var v: vec4f;
  if (PAIRS == 1 || pair == 0) {
    let p = AT1 + at;
    if (B_VECTORS) {
      v = vec4f(b0[p.x / 4]);
    } else {
      v = vec4f(vec4<T1>(b0[p.x / 4][p.x % 4], b0[p.y / 4][p.y % 4], b0[p.z / 4][p.z % 4], b0[p.w / 4][p.w % 4]));
    }
  } else {
    let p = AT3 + at;
    if (B_VECTORS) {
      v = vec4f(b1[p.x / 4]);
    } else {
      v = vec4f(vec4<T3>(b1[p.x / 4][p.x % 4], b1[p.y / 4][p.y % 4], b1[p.z / 4][p.z % 4], b1[p.w / 4][p.w % 4]));
    }
  }
  if (K % 4 == 0) {
    return v;
  }
  let l = select(vec4u(line), first + FOUR, TB == 1);
  return select(v, vec4f(), l >= vec4u(K));
}

// The lane's columns of b for four l: one vector an l.
fn tile_b(pair: u32, l: u32, column: u32) -> mat4x4f {
  if (TB == 1) {
    let first = load_b(pair, column, l);
    if (COLUMNS == 1) {
      return transpose(mat4x4f(first, vec4f(), vec4f(), vec4f()));
    }
    return transpose(mat4x4f(
      first,
      load_b(pair, column + 1, l),
      load_b(pair, column + 2, l),
      load_b(pair, column + 3, l),
    ));
  }
  return mat4x4f(
    load_b(pair, l, column),
    load_b(pair, l + 1, column),
    load_b(pair, l + 2, column),
    load_b(pair, l + 3, column),
  );
}

// The lane's vectors of eight rows of a for four l: lanes 0 … 3 hold the first four rows, and the other
// four lie in lanes 4 … 7, or in a second vector where there are four lanes.
struct Part {
  first: vec4f,
  second: vec4f,
}

fn four_rows(pair: u32, l: u32, row: u32, lane: u32) -> vec4f {
  if (TA == 1) {
    return load_a(pair, l + lane % 4, row + lane % 8 / 4 * 4);
  }
  return load_a(pair, row + lane % 8, l);
}

fn eight_rows(pair: u32, l: u32, row: u32, lane: u32) -> Part {
  var part = Part(four_rows(pair, l, row, lane), vec4f());
  if (LANES < 8) {
    part.second = four_rows(pair, l, row + 4, lane);
  }
  return part;
}

// Four rows of a for four l: one vector a row.
fn by_row(p: vec4f, q: vec4f, r: vec4f, s: vec4f) -> mat4x4f {
  let m = mat4x4f(p, q, r, s);
  if (TA == 1) {
    return transpose(m);
  }
  return m;
}

fn from_low(v: vec4f) -> mat4x4f {
  return by_row(subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u));
}

fn from_high(v: vec4f) -> mat4x4f {
  return by_row(subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u));
}

fn add_row(sum: vec4f, a: vec4f, b: mat4x4f) -> vec4f {
  if (COLUMNS == 1) {
    return vec4f(fma(a.w, b[3].x, fma(a.z, b[2].x, fma(a.y, b[1].x, fma(a.x, b[0].x, sum.x)))), 0.0, 0.0, 0.0);
  }
  return fma(vec4f(a.w), b[3], fma(vec4f(a.z), b[2], fma(vec4f(a.y), b[1], fma(vec4f(a.x), b[0], sum))));
}

fn add_rows(sum: mat4x4f, a: mat4x4f, b: mat4x4f) -> mat4x4f {
  return mat4x4f(add_row(sum[0], a[0], b), add_row(sum[1], a[1], b), add_row(sum[2], a[2], b), add_row(sum[3], a[3], b));
}

struct Sums {
  low: mat4x4f,
  high: mat4x4f,
}

fn add_eight(sums: Sums, a: Part, b: mat4x4f) -> Sums {
  let low = add_rows(sums.low, from_low(a.first), b);
  if (LANES >= 8) {
    return Sums(low, add_rows(sums.high, from_high(a.first), b));
  }
  return Sums(low, add_rows(sums.high, from_low(a.second), b));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * ROWS;
  let column = COLUMNS * (group.x * LANES + lane);
  var s0 = Sums();
  var s1 = Sums();
  var s2 = Sums();
  var s3 = Sums();
  for (var pair = 0u; pair < PAIRS + group.z; pair++) {
    for (var l = 0u; l < K + group.z; l += 4) {
      // All loads before the sums: registers last longer.
      let p0 = eight_rows(pair, l, row, lane);
      var p1 = Part();
      var p2 = Part();
      var p3 = Part();
      if (ROWS >= 16) {
        p1 = eight_rows(pair, l, row + 8, lane);
      }
      if (ROWS >= 32) {
        p2 = eight_rows(pair, l, row + 16, lane);
        p3 = eight_rows(pair, l, row + 24, lane);
      }
      let b = tile_b(pair, l, column);
      s0 = add_eight(s0, p0, b);
      if (ROWS >= 16) {
        s1 = add_eight(s1, p1, b);
      }
      if (ROWS >= 32) {
        s2 = add_eight(s2, p2, b);
        s3 = add_eight(s3, p3, b);
      }
    }
  }
  var sums = array<mat4x4f, 8>(s0.low, s0.high, s1.low, s1.high, s2.low, s2.high, s3.low, s3.high);
  for (var i = 0u; i < min(ROWS, M - row) + group.z; i++) {
    let sum = sums[i / 4][i % 4];
    for (var j = 0u; j < COLUMNS; j++) {
      if (column + j < N) {
        y[(row + i) * N + column + j] = TY(sum[j]);
      }
    }
  }
}
