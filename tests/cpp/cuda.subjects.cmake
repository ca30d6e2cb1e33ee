affectrt_test(cuda cuda)
