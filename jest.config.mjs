/** Jest runs as ESM: node --experimental-vm-modules, see the scripts in package.json. */
export default {
  testEnvironment: "node",
  // Generous, because it only ends what hangs: no promise depends on how fast the machine is.
  testTimeout: 120_000,
  reporters: ["default", "<rootDir>/scripts/jest-counts.mjs"],
  extensionsToTreatAsEsm: [".ts"],
  testMatch: ["<rootDir>/src/**/*.test.ts", "<rootDir>/test/**/*.test.ts", "<rootDir>/scripts/**/*.test.ts"],
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
