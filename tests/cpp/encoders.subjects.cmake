affectrt_test(safetensors bundle)
affectrt_test(encoder encoders)
