'use strict';

// Code that has been left becomes traps, in child processes too: else what wrongly goes there would work.
process.env.NOMAD_POISON ??= '1';

/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  setupFilesAfterEnv: ['<rootDir>/test/support/every-test.ts'],
  // Types are checked by tsc (set-up and lint); here they are only removed.
  transform: { '^.+\\.ts$': ['ts-jest', { diagnostics: false }] },
  moduleNameMapper: { '^nomad-jit$': '<rootDir>/lib/index.ts' },
  modulePathIgnorePatterns: ['<rootDir>/build', '<rootDir>/dist'],
  maxWorkers: 2,
  testTimeout: 120_000,
};
