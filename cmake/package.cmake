# The Debian package: `cd build && cpack -G DEB`, or `./dev package`. The program with its
# rules and its dashboards, /etc/weir/weir.yaml, and a service that starts when it is asked to.
install(FILES ${CMAKE_SOURCE_DIR}/config/weir.yaml DESTINATION /etc/weir)
install(FILES ${CMAKE_SOURCE_DIR}/cmake/debian/weir.service DESTINATION lib/systemd/system)
install(FILES ${CMAKE_SOURCE_DIR}/config/rules.yaml DESTINATION share/weir)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/grafana ${CMAKE_SOURCE_DIR}/schemas DESTINATION share/weir)
install(FILES ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/config/reference.md
        DESTINATION share/doc/weir)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION share/doc/weir RENAME copyright)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME weir)
set(CPACK_PACKAGE_VENDOR Weir)
set(CPACK_PACKAGE_CONTACT "The Weir developers <weir@localhost>")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "alerts and recommendations from a stream of events")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "Weir reads the Kafka topics of a shop platform (orders, sign-ins, API calls, interactions)
and writes alerts and recommendations, exactly once, while the events pass. Its sinks store
the results in PostgreSQL and tell people by e-mail and Slack.")
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
# Libraries and their least versions are read out of the binary; what it opens by name is not
# seen there: time zones, and the certificates behind TLS.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "tzdata, ca-certificates")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${CMAKE_SOURCE_DIR}/cmake/debian/conffiles;${CMAKE_SOURCE_DIR}/cmake/debian/postinst;${CMAKE_SOURCE_DIR}/cmake/debian/prerm;${CMAKE_SOURCE_DIR}/cmake/debian/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_STRIP_FILES ON)
# Folders get these, whatever the umask of whoever packages.
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ
    GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
include(CPack)
