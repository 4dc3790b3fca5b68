# What `cmake --install` puts where; in a Python wheel, the library alone.
if(SKBUILD)
  install(TARGETS medclf LIBRARY DESTINATION medclf/_native)
  return()
endif()

include(CMakePackageConfigHelpers)
set(cmake_folder ${CMAKE_INSTALL_LIBDIR}/cmake/medclf)
set(pkgconfig_folder ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(TARGETS medclf medclf-run EXPORT medclf-targets)
install(DIRECTORY native/include/medclf DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT medclf-targets NAMESPACE medclf:: DESTINATION ${cmake_folder})
configure_package_config_file(
  native/cmake/medclf-config.cmake.in medclf-config.cmake INSTALL_DESTINATION ${cmake_folder}
)
write_basic_package_version_file(medclf-config-version.cmake COMPATIBILITY SameMinorVersion)
install(
  FILES ${CMAKE_CURRENT_BINARY_DIR}/medclf-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/medclf-config-version.cmake
  DESTINATION ${cmake_folder}
)
file(RELATIVE_PATH to_prefix /${pkgconfig_folder} /) # the folder can be moved
string(REGEX REPLACE "/$" "" to_prefix "${to_prefix}")
configure_file(native/cmake/medclf.pc.in medclf.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/medclf.pc DESTINATION ${pkgconfig_folder})
