# Finds LLVM 22. Gives the targets nomad_llvm_headers (as system headers), nomad_llvm (the shared library) and, if what they need
# is here, nomad_llvm_static (the static libraries): what is compiled is the same for both.

# find_package(LLVM 22) refuses 22.1 (LLVM's version file compares major.minor), so ask the right llvm-config where its files are.
find_program(LLVM_CONFIG NAMES llvm-config-22 llvm-config HINTS /usr/lib/llvm-22/bin)
if(LLVM_CONFIG AND NOT LLVM_DIR)
  execute_process(COMMAND ${LLVM_CONFIG} --cmakedir OUTPUT_VARIABLE llvmHint OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
find_package(LLVM CONFIG QUIET HINTS ${llvmHint})
if(NOT LLVM_FOUND OR NOT LLVM_VERSION_MAJOR EQUAL 22)
  message(FATAL_ERROR "LLVM 22's development files not found (found: '${LLVM_PACKAGE_VERSION}' in '${LLVM_DIR}'). "
    "Debian/Ubuntu: apt-get install llvm-22-dev; or pass -DLLVM_DIR=/path/to/lib/cmake/llvm")
endif()
message(STATUS "LLVM ${LLVM_PACKAGE_VERSION} in ${LLVM_DIR}")

add_library(nomad_llvm_headers INTERFACE)
target_include_directories(nomad_llvm_headers SYSTEM INTERFACE ${LLVM_INCLUDE_DIRS})
separate_arguments(llvmDefinitions NATIVE_COMMAND "${LLVM_DEFINITIONS}")
target_compile_definitions(nomad_llvm_headers INTERFACE ${llvmDefinitions})

add_library(nomad_llvm INTERFACE)
target_link_libraries(nomad_llvm INTERFACE nomad_llvm_headers LLVM)

# LLVMSupport's exported link list names z3, zlib and zstd development targets, which llvm-22-dev does not bring.
find_library(ZLIB_FILE NAMES z libz.so.1)
find_library(ZSTD_FILE NAMES zstd libzstd.so.1)
if(TARGET LLVMSupport AND ZLIB_FILE AND ZSTD_FILE)
  set_target_properties(LLVMSupport PROPERTIES INTERFACE_LINK_LIBRARIES "rt;dl;m;LLVMDemangle;${ZLIB_FILE};${ZSTD_FILE}")
  llvm_map_components_to_libnames(llvmLibraries orcjit jitlink runtimedyld native irreader bitreader bitwriter passes)
  add_library(nomad_llvm_static INTERFACE)
  target_link_libraries(nomad_llvm_static INTERFACE nomad_llvm_headers ${llvmLibraries})
endif()
