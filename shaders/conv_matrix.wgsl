// Convolution, or convolution transposed in its images, of f16 operands by the matrix units of subgroups.
// Formula, arguments and TRANSPOSED are those of conv_pixels.wgsl; products are added up in f32.
//
//   x [N, B, H, W]   k: strides KA, KB   y [N, A, T, U]
// A workgroup of four subgroups computes 64 channels of 64 pixels, each subgroup 32 of 32 in matrices of
// M × WIDTH, from slices of 32 terms (b, r, q) in workgroup memory. Invocations keep the (b, r, q) that they
// load and count on from slice to slice. What is past the end is zero and stores nothing. Matrices have
// no elements to be picked, so they reach y through workgroup memory.

diagnostic(off, chromium.subgroup_matrix_uniformity);
enable f16;
enable chromium_experimental_subgroup_matrix;

alias T0 = f16;
alias T1 = f16;
alias T2 = f16;
alias T3 = f16;
alias TY = f32;

const N: u32 = 1;
const A: u32 = 16;
const B: u32 = 1;
const T: u32 = 8;
const U: u32 = 8;
const H: u32 = 8;
const W: u32 = 8;
const R: u32 = 3;
const Q: u32 = 3;
const S: u32 = 1;
const P: u32 = 1;
const KA: u32 = 9;
const KB: u32 = 9;
const TRANSPOSED: u32 = 0;
// Pairs of x and k whose convolutions are added.
const PAIRS: u32 = 1;
// Lanes of a subgroup: at least 16.
const LANES: u32 = 32;
// Rows, columns and terms of the adapter's matrices: divisors of 32.
const M: u32 = 16;
const WIDTH: u32 = 16;
const K: u32 = 16;
// Where the inputs start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;
const AT2: u32 = 0;
const AT3: u32 = 0;

// Terms of a slice.
const DEPTH: u32 = 32;
const SLICES: u32 = (B * R * Q + DEPTH - 1) / DEPTH;
const SIZE: u32 = 4 * LANES;
const TILE: u32 = 64;
// Padding keeps rows from falling on the same banks of the memory.
const STRIDE_A: u32 = DEPTH + 8;
const STRIDE_P: u32 = TILE + 8;
// Matrices of a subgroup along channels and along pixels.
const ROWS: u32 = 32 / M;
const COLUMNS: u32 = 32 / WIDTH;

@group(0) @binding(0) var<storage, read> x0: array<T0>;
@group(0) @binding(1) var<storage, read> k0: array<T1>;
@group(0) @binding(2) var<storage, read> x1: array<T2>;
@group(0) @binding(3) var<storage, read> k1: array<T3>;
@group(0) @binding(4) var<storage, read_write> y: array<TY>;

var<workgroup> channels: array<f16, TILE * STRIDE_A>;
var<workgroup> pixels: array<f16, DEPTH * STRIDE_P>;
// One matrix of each subgroup.
var<workgroup> results: array<f32, 4 * M * WIDTH>;

// A term of the sum.
struct Term {
  b: u32,
  r: u32,
  q: u32,
}

fn term(at: u32) -> Term {
  return Term(at / (R * Q), at / Q % R, at % Q);
}

fn advance(at: Term, by: u32) -> Term {
  let q = at.q + by % Q;
  let next_row = q >= Q;
  let r = at.r + by / Q % R + select(0u, 1u, next_row);
  let next_channel = r >= R;
  let b = at.b + by / (R * Q) + select(0u, 1u, next_channel);
  return Term(b, r - select(0, R, next_channel), q - select(0, Q, next_row));
}

fn image(pair: u32, at: u32) -> f16 {
  if (pair == 0) {
    return f16(x0[AT0 + at]);
  }
  return f16(x1[AT2 + at]);
}

fn kernel(pair: u32, at: u32) -> f16 {
  if (pair == 0) {
    return f16(k0[AT1 + at]);
  }
  return f16(k1[AT3 + at]);
}

// As in conv_pixels.wgsl.
fn read_at(at: u32, tap: u32, size: u32) -> u32 {
  if (TRANSPOSED == 0) {
    return S * at + tap - P;
  }
  let scaled = at + P - tap;
  let position = scaled / S;
  return select(size, position, position * S == scaled);
}

fn load_pixel(pair: u32, at: Term, pixel: u32) -> f16 {
  let h = read_at(pixel / U % T, at.r, H);
  let w = read_at(pixel % U, at.q, W);
  let valid = pixel < N * T * U && h < H && w < W && at.b < B;
  let place = (pixel / (T * U) * B + at.b) * (H * W) + h * W + w;
  return select(0h, image(pair, select(0, place, valid)), valid);
}

fn load_channel(pair: u32, at: Term, a: u32) -> f16 {
  let valid = a < A && at.b < B;
  let place = a * KA + at.b * KB + at.r * Q + at.q;
  return select(0h, kernel(pair, select(0, place, valid)), valid);
}

alias Left = subgroup_matrix_left<f16, K, M>;
alias Right = subgroup_matrix_right<f16, WIDTH, K>;
alias Result = subgroup_matrix_result<f32, WIDTH, M>;

@compute @workgroup_size(SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first_channel = group.y * TILE;
  let first_pixel = group.x * TILE;
  // The quarter of the tile that this subgroup computes.
  let top = lane / LANES / 2 * 32;
  let left = lane / LANES % 2 * 32;
  var sums: array<Result, ROWS * COLUMNS>;
  for (var pair = 0u; pair < PAIRS; pair++) {
    var channel_term = term(lane % DEPTH);
    var pixel_term = term(lane / TILE);
    for (var slice = 0u; slice < SLICES; slice++) {
      for (var i = lane / DEPTH; i < TILE; i += SIZE / DEPTH) {
        channels[i * STRIDE_A + lane % DEPTH] = load_channel(pair, channel_term, first_channel + i);
      }
      channel_term = advance(channel_term, DEPTH);
      for (var i = lane / TILE; i < DEPTH; i += SIZE / TILE) {
        pixels[i * STRIDE_P + lane % TILE] = load_pixel(pair, pixel_term, first_pixel + lane % TILE);
        pixel_term = advance(pixel_term, SIZE / TILE);
      }
      workgroupBarrier();
      for (var k = 0u; k < DEPTH; k += K) {
        for (var i = 0u; i < ROWS; i++) {
          let a = subgroupMatrixLoad<Left, row_major>(&channels, (top + i * M) * STRIDE_A + k, STRIDE_A);
          for (var j = 0u; j < COLUMNS; j++) {
            let p = subgroupMatrixLoad<Right, row_major>(
              &pixels,
              k * STRIDE_P + left + j * WIDTH,
              STRIDE_P,
            );
            sums[i * COLUMNS + j] = subgroupMatrixMultiplyAccumulate(a, p, sums[i * COLUMNS + j]);
          }
        }
      }
      workgroupBarrier();
    }
  }
  let mine = lane / LANES * (M * WIDTH);
  for (var i = 0u; i < ROWS; i++) {
    for (var j = 0u; j < COLUMNS; j++) {
      subgroupMatrixStore<row_major>(&results, mine, sums[i * COLUMNS + j], WIDTH);
      workgroupBarrier();
      for (var e = lane % LANES; e < M * WIDTH; e += LANES) {
        let a = first_channel + top + i * M + e / WIDTH;
        let pixel = first_pixel + left + j * WIDTH + e % WIDTH;
        if (pixel < N * T * U && a < A) {
          y[(pixel / (T * U) * A + a) * (T * U) + pixel % (T * U)] = TY(results[mine + e]);
        }
      }
      workgroupBarrier();
    }
  }
}
