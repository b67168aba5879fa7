// How fast the adapter moves memory: y[i] = x[i].
//
//   x [COUNT], y [COUNT] of vec4f
// Each invocation copies vectors a whole grid apart, so that neighbours copy neighbours.

const COUNT: u32 = 4096;
const STRIDE: u32 = 1024;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < COUNT; i += STRIDE) {
    y[i] = x[i];
  }
}
