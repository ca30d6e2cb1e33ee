affectrt_test(decode tasks)
