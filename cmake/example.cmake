# config/weir.yaml becomes `example_text` in room_example, for `weir config --example`;
# declared in cli/example.h.
set(example_file ${CMAKE_SOURCE_DIR}/config/weir.yaml)
set(example_source ${CMAKE_BINARY_DIR}/example.c)
add_custom_command(
  OUTPUT ${example_source}
  COMMAND ${CMAKE_COMMAND} -DOUTPUT=${example_source} -DFILE=${example_file}
          -DNAME=example_text -DHEADER=cli/example.h
          -P ${CMAKE_SOURCE_DIR}/cmake/embed_text.cmake
  DEPENDS ${example_file} ${CMAKE_SOURCE_DIR}/cmake/embed_text.cmake
  VERBATIM)
add_library(room_example STATIC ${example_source})
