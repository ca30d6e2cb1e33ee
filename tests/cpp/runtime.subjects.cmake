affectrt_test(batch_plan runtime)
