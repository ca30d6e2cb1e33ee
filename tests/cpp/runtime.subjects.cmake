affectrt_test(batch_plan runtime)
affectrt_test(runtime runtime)
if(affectrt_onnxruntime)
  set_tests_properties(runtime PROPERTIES
    ENVIRONMENT "AFFECTRT_ONNXRUNTIME=${affectrt_onnxruntime}")
endif()
