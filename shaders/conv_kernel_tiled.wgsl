// Convolution, transposed in its kernels, as a product of matrices in tiles of workgroup memory, in parts:
//   y[part, o, c, r, q] = Σ over pairs, n, i, j of x[n, c, S·i + r - P, S·j + q - P] · g[n, o, i, j]
// over the part's images n and rows i.
//
//   x [N, C, H, W]   g [N, O, I, J]   y [IMAGES · BANDS, O, C·R·Q]
// A workgroup computes GA·4·VA rows o of GP·4·VP columns (c, r, q) of one part, an invocation 4·VA of
// 4·VP. The sum over (n, i, j) goes through slices of DEPTH pixels; while one is multiplied, the next is on
// its way to registers. Invocations keep the (n, i, j) that they load and count on from slice to slice:
// nothing is divided. What is past the end is zero and stores nothing. Sums run in the order of the
// formula.

alias T0 = f32;
alias T1 = f32;
alias T2 = f32;
alias T3 = f32;
alias TY = f32;

const N: u32 = 1;
const C: u32 = 1;
const H: u32 = 8;
const W: u32 = 8;
const O: u32 = 16;
const R: u32 = 3;
const Q: u32 = 3;
const I: u32 = 8;
const J: u32 = 8;
const S: u32 = 1;
const P: u32 = 1;
// Pairs of x and g whose results are added.
const PAIRS: u32 = 1;
// Into how many parts the images and the rows of pixels are divided.
const IMAGES: u32 = 1;
const BANDS: u32 = 1;
// Invocations of a workgroup along rows and along columns, and vectors of each that one computes.
const GA: u32 = 8;
const GP: u32 = 8;
const VA: u32 = 1;
const VP: u32 = 1;
// Pixels of a slice.
const DEPTH: u32 = 16;
// Where the inputs start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;
const AT2: u32 = 0;
const AT3: u32 = 0;

const COLUMNS: u32 = C * R * Q;
// Images and rows of pixels of a part.
const PART_N: u32 = (N + IMAGES - 1) / IMAGES;
const PART_I: u32 = (I + BANDS - 1) / BANDS;
const SLICES: u32 = (PART_N * PART_I * J + DEPTH - 1) / DEPTH;
const SIZE: u32 = GA * GP;
// Vectors of a tile, how many an invocation loads of a slice, and how far they are apart.
const TILE_A: u32 = GA * VA;
const TILE_P: u32 = GP * VP;
const STEP: u32 = SIZE / DEPTH;
const LOADS_A: u32 = TILE_A / STEP;
const LOADS_P: u32 = TILE_P / STEP;
// Odd strides spread the vectors of one row or column over the banks of the memory.
const STRIDE_A: u32 = TILE_A + 1;
const STRIDE_P: u32 = TILE_P + 1;

@group(0) @binding(0) var<storage, read> x0: array<T0>;
@group(0) @binding(1) var<storage, read> g0: array<T1>;
@group(0) @binding(2) var<storage, read> x1: array<T2>;
@group(0) @binding(3) var<storage, read> g1: array<T3>;
@group(0) @binding(4) var<storage, read_write> y: array<TY>;

var<workgroup> rows: array<vec4f, DEPTH * STRIDE_A>;
var<workgroup> columns: array<vec4f, DEPTH * STRIDE_P>;

// Sums of four rows by four columns: first and second rows, first and second columns.
var<private> s00: mat4x4f;
var<private> s01: mat4x4f;
var<private> s10: mat4x4f;
var<private> s11: mat4x4f;

// A pixel of a part, counted from the part's first image and row.
struct Pixel {
  n: u32,
  i: u32,
  j: u32,
}

fn advance(at: Pixel, by: u32) -> Pixel {
  let j = at.j + by % J;
  let next_row = j >= J;
  let i = at.i + by / J % PART_I + select(0u, 1u, next_row);
  let next_image = i >= PART_I;
  let n = at.n + by / (PART_I * J) + select(0u, 1u, next_image);
  return Pixel(n, i - select(0, PART_I, next_image), j - select(0, J, next_row));
}

fn image(pair: u32, at: u32) -> f32 {
  if (pair == 0) {
    return f32(x0[AT0 + at]);
  }
  return f32(x1[AT2 + at]);
}

fn cotangent(pair: u32, at: u32) -> f32 {
  if (pair == 0) {
    return f32(g0[AT1 + at]);
  }
  return f32(g1[AT3 + at]);
}

// Four columns at a pixel of the whole; zero where `inside` is false.
fn load_columns(pair: u32, at: Pixel, inside: bool, first: u32) -> vec4f {
  let column = first + vec4u(0, 1, 2, 3);
  let h = S * at.i + column / Q % R - P;
  let w = S * at.j + column % Q - P;
  let valid = (column < vec4u(COLUMNS)) & (h < vec4u(H)) & (w < vec4u(W)) & vec4<bool>(inside);
  let plane = (at.n * C + column / (R * Q)) * (H * W);
  let place = select(vec4u(), plane + h * W + w, valid);
  let values = vec4f(
    image(pair, place.x),
    image(pair, place.y),
    image(pair, place.z),
    image(pair, place.w),
  );
  return select(vec4f(), values, valid);
}

// Four rows there.
fn load_rows(pair: u32, at: Pixel, inside: bool, first: u32) -> vec4f {
  let o = first + vec4u(0, 1, 2, 3);
  let valid = (o < vec4u(O)) & vec4<bool>(inside);
  let place = select(vec4u(), (at.n * O + o) * (I * J) + at.i * J + at.j, valid);
  let values = vec4f(
    cotangent(pair, place.x),
    cotangent(pair, place.y),
    cotangent(pair, place.z),
    cotangent(pair, place.w),
  );
  return select(vec4f(), values, valid);
}

fn multiply_add(sums: mat4x4f, a: vec4f, p: vec4f) -> mat4x4f {
  return mat4x4f(
    fma(vec4f(a.x), p, sums[0]),
    fma(vec4f(a.y), p, sums[1]),
    fma(vec4f(a.z), p, sums[2]),
    fma(vec4f(a.w), p, sums[3]),
  );
}

fn add_up(pair: u32, group: vec3u, lane: u32) {
  let first_n = group.z / BANDS * PART_N;
  let first_i = group.z % BANDS * PART_I;
  let mine = lane / DEPTH;
  let row = group.y * TILE_A + mine;
  let column = group.x * TILE_P + mine;
  let place = lane % DEPTH;
  var pixel = Pixel(place / (PART_I * J), place / J % PART_I, place % J);
  var a: array<vec4f, LOADS_A>;
  var p: array<vec4f, LOADS_P>;
  for (var slice = 0u; slice <= SLICES; slice++) {
    // Before the first slice there is nothing to multiply, after the last nothing to load.
    if (slice > 0) {
      workgroupBarrier();
      for (var i = 0u; i < LOADS_A; i++) {
        rows[place * STRIDE_A + mine + i * STEP] = a[i];
      }
      for (var i = 0u; i < LOADS_P; i++) {
        columns[place * STRIDE_P + mine + i * STEP] = p[i];
      }
      workgroupBarrier();
    }
    let at = Pixel(first_n + pixel.n, first_i + pixel.i, pixel.j);
    let inside = pixel.n < PART_N && at.n < N && at.i < I;
    for (var i = 0u; i < LOADS_A; i++) {
      a[i] = load_rows(pair, at, inside, 4 * (row + i * STEP));
    }
    for (var i = 0u; i < LOADS_P; i++) {
      p[i] = load_columns(pair, at, inside, 4 * (column + i * STEP));
    }
    pixel = advance(pixel, DEPTH);
    if (slice > 0) {
      for (var k = 0u; k < DEPTH; k++) {
        let a0 = rows[k * STRIDE_A + lane / GP];
        let p0 = columns[k * STRIDE_P + lane % GP];
        s00 = multiply_add(s00, a0, p0);
        if (VP > 1) {
          s01 = multiply_add(s01, a0, columns[k * STRIDE_P + lane % GP + GP]);
        }
        if (VA > 1) {
          let a1 = rows[k * STRIDE_A + lane / GP + GA];
          s10 = multiply_add(s10, a1, p0);
          if (VP > 1) {
            s11 = multiply_add(s11, a1, columns[k * STRIDE_P + lane % GP + GP]);
          }
        }
      }
    }
  }
}

fn store(part: u32, o: u32, column: u32, sums: mat4x4f) {
  for (var i = 0u; i < 4; i++) {
    for (var p = 0u; p < 4; p++) {
      if (o + i < O && column + p < COLUMNS) {
        y[(part * O + o + i) * COLUMNS + column + p] = TY(sums[i][p]);
      }
    }
  }
}

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  add_up(0, group, lane);
  if (PAIRS > 1) {
    add_up(1, group, lane);
  }
  let o = (group.y * TILE_A + lane / GP) * 4;
  let column = (group.x * TILE_P + lane % GP) * 4;
  store(group.z, o, column, s00);
  if (VP > 1) {
    store(group.z, o, column + 4 * GP, s01);
  }
  if (VA > 1) {
    store(group.z, o + 4 * GA, column, s10);
    if (VP > 1) {
      store(group.z, o + 4 * GA, column + 4 * GP, s11);
    }
  }
}
