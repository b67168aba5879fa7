// Convolution, or convolution transposed in its images, as a product of matrices in tiles of workgroup
// memory. Formula, arguments and TRANSPOSED are those of conv_pixels.wgsl.
//
//   x [N, B, H, W]   k: strides KA, KB   y [N, A, T, U]
// A workgroup computes GA·4·VA channels of GP·4·VP pixels, an invocation 4·VA of 4·VP. The sum over
// (b, r, q) goes through slices of DEPTH terms; while one is multiplied, the next is on its way to registers.
// Invocations keep the (b, r, q) that they load and count on from slice to slice: nothing is divided.
// What is past the end is zero and stores nothing. Sums run in the order of the formula.

alias T0 = f32;
alias T1 = f32;
alias T2 = f32;
alias T3 = f32;
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
// Invocations of a workgroup along channels and along pixels, and vectors of each that one computes.
const GA: u32 = 8;
const GP: u32 = 8;
const VA: u32 = 1;
const VP: u32 = 1;
// Terms of a slice.
const DEPTH: u32 = 16;
// Where the inputs start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;
const AT2: u32 = 0;
const AT3: u32 = 0;

const SLICES: u32 = (B * R * Q + DEPTH - 1) / DEPTH;
const SIZE: u32 = GA * GP;
// Vectors of a tile, and how many an invocation loads of a slice.
const TILE_A: u32 = GA * VA;
const TILE_P: u32 = GP * VP;
const LOADS_A: u32 = TILE_A * DEPTH / SIZE;
const LOADS_P: u32 = TILE_P * DEPTH / SIZE;
// Terms between two loads of pixels; invocations load all their channels of one term.
const STEP: u32 = SIZE / TILE_P;
// An odd stride spreads the vectors of one channel over the banks of the memory.
const STRIDE_A: u32 = TILE_A + 1;

@group(0) @binding(0) var<storage, read> x0: array<T0>;
@group(0) @binding(1) var<storage, read> k0: array<T1>;
@group(0) @binding(2) var<storage, read> x1: array<T2>;
@group(0) @binding(3) var<storage, read> k1: array<T3>;
@group(0) @binding(4) var<storage, read_write> y: array<TY>;

var<workgroup> channels: array<vec4f, DEPTH * STRIDE_A>;
var<workgroup> pixels: array<vec4f, DEPTH * TILE_P>;

// Sums of four channels by four pixels: first and second channels, first and second pixels.
var<private> s00: mat4x4f;
var<private> s01: mat4x4f;
var<private> s10: mat4x4f;
var<private> s11: mat4x4f;

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

fn image(pair: u32, at: u32) -> f32 {
  if (pair == 0) {
    return f32(x0[AT0 + at]);
  }
  return f32(x1[AT2 + at]);
}

fn kernel(pair: u32, at: u32) -> f32 {
  if (pair == 0) {
    return f32(k0[AT1 + at]);
  }
  return f32(k1[AT3 + at]);
}

// As in conv_pixels.wgsl.
fn read_at(at: vec4u, tap: u32, size: u32) -> vec4u {
  if (TRANSPOSED == 0) {
    return S * at + tap - P;
  }
  let scaled = at + P - tap;
  let position = scaled / S;
  return select(vec4u(size), position, position * S == scaled);
}

// Four output pixels: where their image starts, and where they are in it; t = none past the end.
struct Pixels {
  start: vec4u,
  t: vec4u,
  u: vec4u,
  inside: vec4<bool>,
}

fn pixels_at(first: u32) -> Pixels {
  let pixel = first + vec4u(0, 1, 2, 3);
  let inside = pixel < vec4u(N * T * U);
  return Pixels(pixel / (T * U) * (B * H * W), pixel / U % T, pixel % U, inside);
}

fn load_pixels(pair: u32, at: Term, p: Pixels) -> vec4f {
  let h = read_at(p.t, at.r, H);
  let w = read_at(p.u, at.q, W);
  let valid = p.inside & (h < vec4u(H)) & (w < vec4u(W)) & vec4<bool>(at.b < B);
  let place = select(vec4u(), p.start + at.b * (H * W) + h * W + w, valid);
  let values = vec4f(
    image(pair, place.x),
    image(pair, place.y),
    image(pair, place.z),
    image(pair, place.w),
  );
  return select(vec4f(), values, valid);
}

fn load_channels(pair: u32, at: Term, first: u32) -> vec4f {
  let a = first + vec4u(0, 1, 2, 3);
  let valid = (a < vec4u(A)) & vec4<bool>(at.b < B);
  let place = select(vec4u(), a * KA + (at.b * KB + at.r * Q + at.q), valid);
  let values = vec4f(
    kernel(pair, place.x),
    kernel(pair, place.y),
    kernel(pair, place.z),
    kernel(pair, place.w),
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
  let column = lane % TILE_P;
  let first_pixel = (group.x * TILE_P + column) * 4;
  let mine = pixels_at(first_pixel);
  var pixel_term = term(lane / TILE_P);
  let channel = lane / DEPTH;
  let first_channel = (group.y * TILE_A + channel) * 4;
  var channel_term = term(lane % DEPTH);
  var a: array<vec4f, LOADS_A>;
  var p: array<vec4f, LOADS_P>;
  for (var slice = 0u; slice <= SLICES + group.z; slice++) {
    // Before the first slice there is nothing to multiply, after the last nothing to load.
    if (slice > 0) {
      workgroupBarrier();
      for (var i = 0u; i < LOADS_A; i++) {
        channels[lane % DEPTH * STRIDE_A + channel + i * (SIZE / DEPTH)] = a[i];
      }
      for (var i = 0u; i < LOADS_P; i++) {
        pixels[i * SIZE + lane] = p[i];
      }
      workgroupBarrier();
    }
    for (var i = 0u; i < LOADS_A; i++) {
      a[i] = load_channels(pair, channel_term, first_channel + i * (4 * SIZE / DEPTH));
    }
    channel_term = advance(channel_term, DEPTH);
    for (var i = 0u; i < LOADS_P; i++) {
      p[i] = load_pixels(pair, pixel_term, mine);
      pixel_term = advance(pixel_term, STEP);
    }
    if (slice > 0) {
      for (var k = 0u; k < DEPTH; k++) {
        let a0 = channels[k * STRIDE_A + lane / GP];
        let p0 = pixels[k * TILE_P + lane % GP];
        s00 = multiply_add(s00, a0, p0);
        if (VP > 1) {
          s01 = multiply_add(s01, a0, pixels[k * TILE_P + lane % GP + GP]);
        }
        if (VA > 1) {
          let a1 = channels[k * STRIDE_A + lane / GP + GA];
          s10 = multiply_add(s10, a1, p0);
          if (VP > 1) {
            s11 = multiply_add(s11, a1, pixels[k * TILE_P + lane % GP + GP]);
          }
        }
      }
    }
  }
}

fn store(a: u32, pixel: u32, sums: mat4x4f) {
  for (var p = 0u; p < 4; p++) {
    let at = pixel + p;
    if (at < N * T * U) {
      let place = at / (T * U) * (A * T * U) + at % (T * U);
      for (var i = 0u; i < 4; i++) {
        if (a + i < A) {
          y[place + (a + i) * (T * U)] = TY(sums[i][p]);
        }
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
  let a = (group.y * TILE_A + lane / GP) * 4;
  let pixel = (group.x * TILE_P + lane % GP) * 4;
  store(a, pixel, s00);
  if (VP > 1) {
    store(a, pixel + 4 * GP, s01);
  }
  if (VA > 1) {
    store(a + 4 * GA, pixel, s10);
    if (VP > 1) {
      store(a + 4 * GA, pixel + 4 * GP, s11);
    }
  }
}
