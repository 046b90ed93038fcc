# config/rules.yaml becomes `default_rules_text` in room_rules, so that the binary has
# its rules without a file beside it; declared in engine/default_rules.h.
set(rules_file ${CMAKE_SOURCE_DIR}/config/rules.yaml)
set(rules_source ${CMAKE_BINARY_DIR}/default_rules.c)
add_custom_command(
  OUTPUT ${rules_source}
  COMMAND ${CMAKE_COMMAND} -DOUTPUT=${rules_source} -DFILE=${rules_file}
          -DNAME=default_rules_text -DHEADER=engine/default_rules.h
          -P ${CMAKE_SOURCE_DIR}/cmake/embed_text.cmake
  DEPENDS ${rules_file} ${CMAKE_SOURCE_DIR}/cmake/embed_text.cmake
  VERBATIM)
add_library(room_rules STATIC ${rules_source})
