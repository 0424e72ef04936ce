# No second source of truth: this lets tools that insist on node-gyp (electron-rebuild, IDEs) drive the CMake build.
{
  "targets": [
    {
      "target_name": "nomad_jit",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake_build",
          "message": "Building nomad_jit.node with cmake-js",
          "inputs": ["CMakeLists.txt", "cmake/llvm.cmake", "<!@(node scripts/build-gyp.js --list-sources)"],
          "outputs": ["<(PRODUCT_DIR)/nomad_jit.node", "<(PRODUCT_DIR)/nomad_bitcode_reader"],
          "action": ["node", "scripts/build-gyp.js", "<(CONFIGURATION_NAME)", "<@(_outputs)"]
        }
      ]
    }
  ]
}
