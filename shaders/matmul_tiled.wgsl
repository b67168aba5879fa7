// Matrix products by tiles in workgroup memory:
//   y[i, j] = Σ over pairs (a, b), then over l, of a[i, l] · b[l, j].
//
//   a0, a1 [M, K], or [K, M] where TA is 1   b0, b1 [K, N], or [N, K] where TB is 1   y [M, N]
// A workgroup of SIDE×SIDE computes 4·SIDE·DOWN rows of 4·SIDE·ACROSS columns, an invocation 4·DOWN of
// 4·ACROSS in registers. It goes through K in slices of DEPTH: each invocation brings at most one block
// of 4×4 elements of a or of b for a slice, and loads the next one before it multiplies this one.
// Vectors lie along the inner axis of an operand, and are put together from elements where that axis
// or the start is no multiple of four. Rows and columns past the edge repeat the last one and store
// nothing; past K everything is zero.

const PAIRS: u32 = 1;
const M: u32 = 16;
const K: u32 = 32;
const N: u32 = 32;
const TA: u32 = 0;
const TB: u32 = 0;
// Invocations along a side of the workgroup.
const SIDE: u32 = 8;
// Blocks of four rows, and of four columns, of an invocation: 1 or 2.
const DOWN: u32 = 1;
const ACROSS: u32 = 1;
// A multiple of 4, so that a slice has at most SIDE·SIDE blocks.
const DEPTH: u32 = 16;
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
const B_VECTORS: bool = B_LENGTH % 4 == 0 && AT1 % 4 == 0 && AT3 % 4 == 0;

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
  if (K % DEPTH == 0) {
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
  if (K % DEPTH == 0) {
    return v;
  }
  let l = select(vec4u(line), first + FOUR, TB == 1);
  return select(v, vec4f(), l >= vec4u(K));
}

const A_BLOCKS: u32 = SIDE * DOWN;
const B_BLOCKS: u32 = SIDE * ACROSS;
const SLICES: u32 = (K + DEPTH - 1) / DEPTH;

// A slice: four rows of a, four columns of b in a vector, for each l.
var<workgroup> a_slice: array<vec4f, DEPTH * A_BLOCKS>;
var<workgroup> b_slice: array<vec4f, DEPTH * B_BLOCKS>;

// Which block of a slice of `blocks` blocks for every four l is the invocation's: its number across, and
// its l. Neighbours read along the inner axis.
fn block_of(t: u32, blocks: u32, inner_is_l: bool) -> vec2u {
  if (inner_is_l) {
    return vec2u(t / (DEPTH / 4), t % (DEPTH / 4) * 4);
  }
  return vec2u(t % blocks, t / blocks * 4);
}

// Four rows of a for four l: one vector an l.
fn block_a(pair: u32, l: u32, row: u32) -> mat4x4f {
  if (TA == 1) {
    return mat4x4f(load_a(pair, l, row), load_a(pair, l + 1, row), load_a(pair, l + 2, row), load_a(pair, l + 3, row));
  }
  return transpose(mat4x4f(
    load_a(pair, row, l),
    load_a(pair, row + 1, l),
    load_a(pair, row + 2, l),
    load_a(pair, row + 3, l),
  ));
}

// Four columns of b for four l: one vector an l.
fn block_b(pair: u32, l: u32, column: u32) -> mat4x4f {
  if (TB == 1) {
    return transpose(mat4x4f(
      load_b(pair, column, l),
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

fn add(sums: mat4x4f, a: vec4f, b: vec4f) -> mat4x4f {
  return mat4x4f(
    fma(vec4f(a.x), b, sums[0]),
    fma(vec4f(a.y), b, sums[1]),
    fma(vec4f(a.z), b, sums[2]),
    fma(vec4f(a.w), b, sums[3]),
  );
}

fn store_row(row: u32, column: u32, sum: vec4f) {
  for (var j = 0u; j < 4; j++) {
    if (row < M && column + j < N) {
      y[row * N + column + j] = TY(sum[j]);
    }
  }
}

fn store(row: u32, column: u32, sums: mat4x4f) {
  store_row(row, column, sums[0]);
  store_row(row + 1, column, sums[1]);
  store_row(row + 2, column, sums[2]);
  store_row(row + 3, column, sums[3]);
}

@compute @workgroup_size(SIDE, SIDE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) t: u32,
) {
  let row = group.y * (4 * A_BLOCKS);
  let column = group.x * (4 * B_BLOCKS);
  let brings_a = t < A_BLOCKS * (DEPTH / 4);
  let brings_b = !brings_a && t < (A_BLOCKS + B_BLOCKS) * (DEPTH / 4);
  let at_a = block_of(t, A_BLOCKS, TA == 0);
  let at_b = block_of(t - A_BLOCKS * (DEPTH / 4), B_BLOCKS, TB == 1);
  var next: mat4x4f;
  var s00 = mat4x4f();
  var s01 = mat4x4f();
  var s10 = mat4x4f();
  var s11 = mat4x4f();
  for (var slice = 0u; slice <= PAIRS * SLICES; slice++) {
    workgroupBarrier();
    if (slice > 0) {
      for (var i = 0u; i < 4; i++) {
        if (brings_a) {
          a_slice[(at_a.y + i) * A_BLOCKS + at_a.x] = next[i];
        } else if (brings_b) {
          b_slice[(at_b.y + i) * B_BLOCKS + at_b.x] = next[i];
        }
      }
    }
    workgroupBarrier();
    if (slice < PAIRS * SLICES) {
      let l = slice % SLICES * DEPTH;
      if (brings_a) {
        next = block_a(slice / SLICES, l + at_a.y, row + 4 * at_a.x);
      } else if (brings_b) {
        next = block_b(slice / SLICES, l + at_b.y, column + 4 * at_b.x);
      }
    }
    if (slice > 0) {
      for (var l = 0u; l < DEPTH; l++) {
        let a = a_slice[l * A_BLOCKS + local.y];
        let b = b_slice[l * B_BLOCKS + local.x];
        s00 = add(s00, a, b);
        if (ACROSS == 2) {
          s01 = add(s01, a, b_slice[l * B_BLOCKS + SIDE * (ACROSS - 1) + local.x]);
        }
        if (DOWN == 2) {
          let below = a_slice[l * A_BLOCKS + SIDE * (DOWN - 1) + local.y];
          s10 = add(s10, below, b);
          if (ACROSS == 2) {
            s11 = add(s11, below, b_slice[l * B_BLOCKS + SIDE * (ACROSS - 1) + local.x]);
          }
        }
      }
    }
  }
  let i = row + 4 * local.y;
  let j = column + 4 * local.x;
  store(i, j, s00);
  if (ACROSS == 2) {
    store(i, j + 4 * SIDE, s01);
  }
  if (DOWN == 2) {
    store(i + 4 * SIDE, j, s10);
    if (ACROSS == 2) {
      store(i + 4 * SIDE, j + 4 * SIDE, s11);
    }
  }
}
