// Functions that run on the CPU and on a GPU.
#pragma once

#ifdef __CUDACC__
#define AFFECTRT_HOST_DEVICE __host__ __device__
#else
#define AFFECTRT_HOST_DEVICE
#endif
