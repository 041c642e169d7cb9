import { tmpdir } from "node:os";
import { join } from "node:path";

// Many tests start the program or a script as a process: what Node compiled for one start is kept for the next, also between runs.
process.env["NODE_COMPILE_CACHE"] ??= join(tmpdir(), "defender-mssp-compiled");

/** Jest runs as ESM: node --experimental-vm-modules, see the scripts in package.json. */
export default {
  testEnvironment: "node",
  // Generous, because it only ends what hangs: no promise depends on how fast the machine is.
  testTimeout: 300_000,
  // One for each core. Jest's own default leaves one core idle, which on two cores is half of the machine; tests that start processes also wait much.
  maxWorkers: "100%",
  // A worker keeps what the test files before have loaded (ES modules are not unloaded); above this it makes way for a new one.
  workerIdleMemoryLimit: "1GB",
  globalSetup: "<rootDir>/scripts/jest-scratch.mjs",
  globalTeardown: "<rootDir>/scripts/jest-scratch-end.mjs",
  reporters: ["default", "<rootDir>/scripts/jest-counts.mjs"],
  extensionsToTreatAsEsm: [".ts"],
  testMatch: [
    "<rootDir>/src/**/*.test.ts",
    "<rootDir>/test/**/*.test.ts",
    "<rootDir>/scripts/**/*.test.ts",
    "<rootDir>/splunk-app/ui/**/*.test.ts",
  ],
  modulePathIgnorePatterns: ["<rootDir>/dist/", "<rootDir>/tmp/"],
  transform: {
    "^.+\\.ts$": [
      "@swc/jest",
      {
        jsc: { target: "es2024", parser: { syntax: "typescript", explicitResourceManagement: true } },
        module: { type: "es6" },
      },
    ],
  },
};
