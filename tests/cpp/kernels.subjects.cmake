affectrt_test(attention_s16 kernels)
affectrt_test(kernels kernels)
affectrt_test(thread_pool base)
