# find_package(AdobeTarget): the imported targets AdobeTarget::shared and AdobeTarget::static, those of the two that
# are installed. find_package(AdobeTarget COMPONENTS static) needs that one.
#
# Nothing here depends on where it is installed: libraries and header are found from the place of this file, which is
# <libdir>/cmake/AdobeTarget, or <prefix>/share/cmake/AdobeTarget. For a header elsewhere set AdobeTarget_INCLUDE_DIR.

set(_adobe_target_header)
set(_adobe_target_shared)
set(_adobe_target_static)
if(AdobeTarget_INCLUDE_DIR)
    set(_adobe_target_header "${AdobeTarget_INCLUDE_DIR}")
endif()

# As the file was found, and where it really is: /lib is a link to /usr/lib on many systems.
get_filename_component(_adobe_target_real "${CMAKE_CURRENT_LIST_DIR}" REALPATH)
foreach(_adobe_target_start IN ITEMS "${CMAKE_CURRENT_LIST_DIR}" "${_adobe_target_real}")
    # cmake; <libdir> or share; what is above
    set(_adobe_target_above "${_adobe_target_start}")
    foreach(_adobe_target_step RANGE 1 3)
        get_filename_component(_adobe_target_above "${_adobe_target_above}" DIRECTORY)
        # The library's directory itself comes first; the others are for a file in share.
        foreach(_adobe_target_sub IN ITEMS "" "/lib/${CMAKE_LIBRARY_ARCHITECTURE}" "/lib64" "/lib")
            set(_adobe_target_place "${_adobe_target_above}${_adobe_target_sub}")
            if(NOT _adobe_target_shared AND NOT _adobe_target_static)
                if(EXISTS "${_adobe_target_place}/libadobe_target.so")
                    set(_adobe_target_shared "${_adobe_target_place}/libadobe_target.so")
                endif()
                if(EXISTS "${_adobe_target_place}/libadobe_target.a")
                    set(_adobe_target_static "${_adobe_target_place}/libadobe_target.a")
                endif()
                if(_adobe_target_shared OR _adobe_target_static)
                    # The header of the same prefix, and of no other that happens to be above it.
                    get_filename_component(_adobe_target_prefix "${_adobe_target_place}" DIRECTORY)
                    get_filename_component(_adobe_target_name "${_adobe_target_prefix}" NAME)
                    if(_adobe_target_name STREQUAL "lib" AND NOT _adobe_target_place MATCHES "/lib(64)?$")
                        # It was <prefix>/lib/<architecture>.
                        get_filename_component(_adobe_target_prefix "${_adobe_target_prefix}" DIRECTORY)
                    endif()
                    foreach(_adobe_target_in IN ITEMS "include" "include/${CMAKE_LIBRARY_ARCHITECTURE}")
                        if(NOT _adobe_target_header
                            AND EXISTS "${_adobe_target_prefix}/${_adobe_target_in}/adobe_target.h")
                            set(_adobe_target_header "${_adobe_target_prefix}/${_adobe_target_in}")
                        endif()
                    endforeach()
                endif()
            endif()
        endforeach()
    endforeach()
endforeach()

set(AdobeTarget_FOUND TRUE)
if(NOT _adobe_target_header)
    set(AdobeTarget_FOUND FALSE)
    set(AdobeTarget_NOT_FOUND_MESSAGE
        "There is no include/adobe_target.h above ${CMAKE_CURRENT_LIST_DIR}: set AdobeTarget_INCLUDE_DIR.")
elseif(NOT _adobe_target_shared AND NOT _adobe_target_static)
    set(AdobeTarget_FOUND FALSE)
    set(AdobeTarget_NOT_FOUND_MESSAGE
        "There is no libadobe_target.so or libadobe_target.a near ${CMAKE_CURRENT_LIST_DIR}.")
endif()

if(AdobeTarget_FOUND AND _adobe_target_shared AND NOT TARGET AdobeTarget::shared)
    add_library(AdobeTarget::shared SHARED IMPORTED)
    set_target_properties(AdobeTarget::shared PROPERTIES
        IMPORTED_LOCATION "${_adobe_target_shared}"
        IMPORTED_SONAME "libadobe_target.so.1"
        INTERFACE_INCLUDE_DIRECTORIES "${_adobe_target_header}")
endif()

if(AdobeTarget_FOUND AND _adobe_target_static AND NOT TARGET AdobeTarget::static)
    add_library(AdobeTarget::static STATIC IMPORTED)
    set_target_properties(AdobeTarget::static PROPERTIES
        IMPORTED_LOCATION "${_adobe_target_static}"
        IMPORTED_LINK_INTERFACE_LANGUAGES "C"
        INTERFACE_LINK_LIBRARIES "-lutil;-lrt;-lpthread;-lm;-ldl;-lc"
        INTERFACE_INCLUDE_DIRECTORIES "${_adobe_target_header}")
endif()

foreach(_adobe_target_sub IN LISTS AdobeTarget_FIND_COMPONENTS)
    if(TARGET "AdobeTarget::${_adobe_target_sub}")
        set("AdobeTarget_${_adobe_target_sub}_FOUND" TRUE)
    else()
        set("AdobeTarget_${_adobe_target_sub}_FOUND" FALSE)
        if(AdobeTarget_FOUND AND AdobeTarget_FIND_REQUIRED_${_adobe_target_sub})
            set(AdobeTarget_FOUND FALSE)
            set(AdobeTarget_NOT_FOUND_MESSAGE "There is no component ${_adobe_target_sub} here: shared or static.")
        endif()
    endif()
endforeach()

foreach(_adobe_target_sub IN ITEMS header shared static real start above step place prefix name in sub)
    unset("_adobe_target_${_adobe_target_sub}")
endforeach()
