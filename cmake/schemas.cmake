# Every schemas/*.avsc becomes a C string in room_schemas, so that the binary
# needs no files beside it: `struct schema_text { name, text } schema_texts[]`,
# ended by a row of NULLs; declared in codec/schema_text.h.
file(GLOB schema_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/schemas/*.avsc)
set(schema_source ${CMAKE_BINARY_DIR}/schema_text.c)
add_custom_command(
  OUTPUT ${schema_source}
  COMMAND ${CMAKE_COMMAND} -DOUTPUT=${schema_source} "-DFILES=${schema_files}"
          -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  DEPENDS ${schema_files} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  VERBATIM)
add_library(room_schemas STATIC ${schema_source})
