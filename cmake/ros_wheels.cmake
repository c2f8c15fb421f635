# Only for builds against the ROS wheels from PyPI (see setup.py); a robot's ROS needs none of it.
#
# Their exported targets name include directories of the container they were built in, which CMake
# refuses because they do not exist; and with the virtual environment inside the source tree it
# refuses to export numpy's headers, which nothing here exports anyway. Both kinds are dropped.
function(_mend_include_directories)
  get_property(_imported DIRECTORY PROPERTY IMPORTED_TARGETS)
  get_property(_own DIRECTORY PROPERTY BUILDSYSTEM_TARGETS)
  foreach(_target IN LISTS _imported _own)
    get_target_property(_directories ${_target} INTERFACE_INCLUDE_DIRECTORIES)
    set(_kept)
    foreach(_directory IN LISTS _directories)
      if(_directory MATCHES "^\\$<" OR (_target IN_LIST _imported AND EXISTS "${_directory}"))
        list(APPEND _kept "${_directory}")
      endif()
    endforeach()
    if(_directories)
      set_target_properties(${_target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_kept}")
    endif()
  endforeach()
endfunction()
cmake_language(DEFER CALL _mend_include_directories)
