# cmake -C contrib/preset/release.cmake -B build: what a distribution builds
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
