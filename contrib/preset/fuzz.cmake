# cmake -C contrib/preset/fuzz.cmake -B build-fuzz: the libFuzzer targets, by clang
set(CMAKE_C_COMPILER clang CACHE STRING "")
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(SALLYPORT_FUZZ ON CACHE BOOL "")
