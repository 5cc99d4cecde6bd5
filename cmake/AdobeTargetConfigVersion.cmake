# Programs ask for the version that they were written for. Every later one with the same ABI will do.
set(PACKAGE_VERSION "0.1.0")
# The first version with the ABI, and so the soname, of this one.
set(_adobe_target_first "0.1.0")

if(PACKAGE_FIND_VERSION_RANGE)
    set(_adobe_target_least "${PACKAGE_FIND_VERSION_MIN}")
    set(_adobe_target_too_new FALSE)
    if(PACKAGE_VERSION VERSION_GREATER PACKAGE_FIND_VERSION_MAX
        OR (PACKAGE_FIND_VERSION_RANGE_MAX STREQUAL "EXCLUDE"
            AND PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION_MAX))
        set(_adobe_target_too_new TRUE)
    endif()
else()
    set(_adobe_target_least "${PACKAGE_FIND_VERSION}")
    set(_adobe_target_too_new FALSE)
endif()

set(PACKAGE_VERSION_COMPATIBLE FALSE)
set(PACKAGE_VERSION_EXACT FALSE)
if(_adobe_target_too_new OR PACKAGE_VERSION VERSION_LESS _adobe_target_least)
    # Too new for the range, or too old.
elseif(_adobe_target_least VERSION_LESS _adobe_target_first)
    # Written for another ABI. A range says that it knows this one as well.
    if(PACKAGE_FIND_VERSION_RANGE)
        set(PACKAGE_VERSION_COMPATIBLE TRUE)
    endif()
else()
    set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
if(PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION)
    set(PACKAGE_VERSION_EXACT TRUE)
endif()

unset(_adobe_target_first)
unset(_adobe_target_least)
unset(_adobe_target_too_new)
