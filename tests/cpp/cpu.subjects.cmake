affectrt_test(cpu base)
