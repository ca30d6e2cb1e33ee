affectrt_test(kernels kernels)
affectrt_test(thread_pool base)
