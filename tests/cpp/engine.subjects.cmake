affectrt_test(chunks engine)
affectrt_test(native_backend engine)
# The tests of the ONNX Runtime backend use the library of the building interpreter's wheel, unless
# AFFECTRT_ONNXRUNTIME names another: the one way where another machine's code is built.
affectrt_test(onnxruntime_backend engine)
find_package(Python QUIET COMPONENTS Interpreter)
if(Python_FOUND AND NOT CMAKE_CROSSCOMPILING AND NOT DEFINED ENV{AFFECTRT_ONNXRUNTIME})
  execute_process(
    COMMAND ${Python_EXECUTABLE} -c "
import glob, importlib.util
spec = importlib.util.find_spec('onnxruntime')
folder = spec.submodule_search_locations[0] if spec else '/nowhere'
print((sorted(glob.glob(folder + '/capi/libonnxruntime.so*')) + [''])[0])"
    OUTPUT_VARIABLE affectrt_onnxruntime OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(affectrt_onnxruntime)
    set_tests_properties(onnxruntime_backend PROPERTIES
      ENVIRONMENT "AFFECTRT_ONNXRUNTIME=${affectrt_onnxruntime}")
  endif()
endif()
