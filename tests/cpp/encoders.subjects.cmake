affectrt_test(safetensors bundle)
affectrt_test(encoder encoders)
affectrt_test(pre_ln encoders)
affectrt_test(pooling encoders)
