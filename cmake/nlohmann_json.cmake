# nlohmann_json::nlohmann_json from a CMake package (Debian) or from the PyPI package of the building
# interpreter (headers only). Never fetched.
find_package(nlohmann_json 3.10 QUIET)
if(NOT TARGET nlohmann_json::nlohmann_json)
  find_package(Python REQUIRED COMPONENTS Interpreter)
  execute_process(
    COMMAND ${Python_EXECUTABLE} -c
      "import nlohmann_json as m; print(list(m.__path__)[0] + '/include')"
    OUTPUT_VARIABLE affectrt_json_include OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE affectrt_json_missing ERROR_QUIET)
  if(affectrt_json_missing)
    message(FATAL_ERROR "nlohmann-json not found: 'pip install nlohmann-json' or "
                        "'apt-get install nlohmann-json3-dev'")
  endif()
  add_library(nlohmann_json::nlohmann_json INTERFACE IMPORTED)
  target_include_directories(nlohmann_json::nlohmann_json INTERFACE ${affectrt_json_include})
endif()
