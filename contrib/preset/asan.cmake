# cmake -C contrib/preset/asan.cmake -B build-asan: debugging, with AddressSanitizer and UndefinedBehaviorSanitizer
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(SALLYPORT_SANITIZE ON CACHE BOOL "")
