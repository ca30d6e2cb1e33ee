affectrt_test(base base)
