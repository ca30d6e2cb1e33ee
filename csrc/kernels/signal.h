// Arithmetic of sound features on raw pointers, sixteen frames side by side: one table of functions
// per instruction set, reached by Kernels::signal. No allocation, no throw.
//
// A tile is [rows][16]: value r of frame f is at tile[r * 16 + f], 64-byte aligned. What happens to
// a frame depends on that frame alone, neither on its lane nor on its neighbours: features are the
// same for any chunking of the stream and any number of threads. SIMD bodies share one order of
// operations and agree to the bit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace affectrt {

constexpr size_t kFrameLanes = 16;
constexpr size_t kMaxFftStages = 16;

// A real transform of `size` points by a complex one of size / 2 (fft.h makes and owns it).
struct FftPlan {
  size_t size;
  size_t stages;
  uint32_t radices[kMaxFftStages];  // 2, 3, 4, 5 or 7
  // Stage by stage, for j = 1 .. m - 1 and p = 1 .. radix - 1: cos and sin of -2 pi p j / (m
  // radix).
  const float* twiddles;
  const uint32_t* order;  // [size / 2] where the complex transform leaves its value k
  const float* untangle;  // [size / 4 + 1][2] cos and sin of 2 pi k / size
};

// What is done to the samples of a frame before the transform, in this order.
struct FrameShape {
  size_t length;  // samples
  size_t shift;   // samples between frames
  size_t rows;    // rows of the tile that are written: zeros behind `length`
  bool remove_mean;
  float preemphasis;    // x[i] -= preemphasis * x[i - 1], x[0] its own predecessor; 0: none
  const float* window;  // [length] or null
};

// Sums of weighted rows: out row i = sum of weights * rows first[i] .. first[i] + count[i] - 1.
struct RowSums {
  size_t outputs;
  const uint32_t* first;
  const uint32_t* count;
  const float* weights;  // those of one output behind those of the other
};

struct SignalKernels {
  // Sixteen frames, the first at `samples`, into tile [rows][16]. Reads 15 * shift +
  // round_up(length, 16) samples and writes at least round_up(length, 16) rows. `energy` is null or
  // gets each frame's sum of squares after the mean went, before pre-emphasis.
  void (*load_frames)(const FrameShape& shape, const float* samples, float* tile, float* energy);
  // The tile [size][16] becomes scratch; power [size / 2 + 1][16] gets |X|^2.
  void (*fft_power)(const FftPlan& plan, float* tile, float* power);
  // spectrum [size / 2 + 1][2][16] gets real and imaginary part.
  void (*fft)(const FftPlan& plan, float* tile, float* spectrum);
  void (*sum_rows)(const RowSums& sums, const float* tile, float* out);
  // In place: x = scale * ln(max(x, floor)), `floor` a normal number. Relative error of ln 2e-7.
  // Returns the largest result of all lanes.
  float (*log_rows)(float* tile, size_t rows, float floor, float scale);
  // out[f * stride + r] = tile[r * 16 + f] for f < count.
  void (*store_frames)(const float* tile, size_t rows, size_t count, float* out, size_t stride);

  // Resampling. The tile [size][16] becomes the Hartley transform of the spectrum [bins][2][16],
  // row k times gains[k], zero from `bins` <= size / 2 on; the values of an fft() of it, with
  // from_hartley(), are then the signal times `size`.
  void (*to_hartley)(const float* spectrum, const float* gains, size_t bins, size_t size,
                     float* tile);
  // The tile [size][16] of real minus imaginary parts of the spectrum [size / 2 + 1][2][16].
  void (*from_hartley)(const float* spectrum, size_t size, float* tile);
  // Sum of a[i] * b[i], n a multiple of 16.
  float (*dot)(const float* a, const float* b, size_t n);
};

}  // namespace affectrt
