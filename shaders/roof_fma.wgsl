// How fast the adapter multiplies and adds: eight independent chains of fused multiply-adds a lane.
//
//   y [64·64] of vec4f: read once, written once
// ROUNDS·16 vec4 operations between one load and one store. group.z is 0, which the shader compiler does
// not know: nothing can be computed beforehand.

const ROUNDS: u32 = 1000;

@group(0) @binding(0) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  let m = vec4f(0.999);
  var a = y[id.x];
  var b = a + 1.0;
  var c = a + 2.0;
  var d = a + 3.0;
  var e = a + 4.0;
  var f = a + 5.0;
  var g = a + 6.0;
  var h = a + 7.0;
  for (var i = 0u; i < ROUNDS + group.z; i++) {
    a = fma(a, m, m);
    b = fma(b, m, m);
    c = fma(c, m, m);
    d = fma(d, m, m);
    e = fma(e, m, m);
    f = fma(f, m, m);
    g = fma(g, m, m);
    h = fma(h, m, m);
    a = fma(a, m, m);
    b = fma(b, m, m);
    c = fma(c, m, m);
    d = fma(d, m, m);
    e = fma(e, m, m);
    f = fma(f, m, m);
    g = fma(g, m, m);
    h = fma(h, m, m);
  }
  y[id.x] = a + b + c + d + e + f + g + h;
}
