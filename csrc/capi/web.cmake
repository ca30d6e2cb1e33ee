# The C interface as an ES module for browsers and Node: affectrt_web.mjs and affectrt_web.wasm.
file(STRINGS affectrt.map affectrt_exports REGEX "^ +affectrt_[a-z_]+;")
list(TRANSFORM affectrt_exports REPLACE "^ +(affectrt_[a-z_]+);.*" "_\\1")
list(APPEND affectrt_exports _malloc _free)
list(JOIN affectrt_exports "," affectrt_exports)
add_executable(affectrt_web $<TARGET_OBJECTS:affectrt_capi>)
target_link_libraries(affectrt_web PRIVATE affectrt_runtime)
target_link_options(affectrt_web PRIVATE --no-entry -O3 -sMODULARIZE=1 -sEXPORT_ES6=1
  -sUSE_ES6_IMPORT_META=1 -sENVIRONMENT=web,worker,node -sALLOW_MEMORY_GROWTH=1
  -sINITIAL_MEMORY=67108864 -sTOTAL_STACK=1048576 -sMALLOC=emmalloc
  -sEXPORTED_FUNCTIONS=${affectrt_exports}
  -sEXPORTED_RUNTIME_METHODS=UTF8ToString,stringToUTF8,lengthBytesUTF8)
set_target_properties(affectrt_web PROPERTIES SUFFIX ".mjs" LINKER_LANGUAGE CXX)
