affectrt_test(batch_plan runtime)
affectrt_test(runtime runtime)
affectrt_test(speech_model runtime)
if(affectrt_onnxruntime)
  set_tests_properties(runtime PROPERTIES
    ENVIRONMENT "AFFECTRT_ONNXRUNTIME=${affectrt_onnxruntime}")
endif()
add_executable(score_model EXCLUDE_FROM_ALL score_model.cc)
target_link_libraries(score_model PRIVATE affectrt_flags affectrt_runtime)
