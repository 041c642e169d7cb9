import { expect, test } from "@jest/globals";
import { exitCodeOf, Failure } from "./failure.ts";

test.each([
  ["secret-expired", { actor: "operator", area: "sign-in" }, 3],
  ["forbidden", { actor: "customer" }, 3],
  ["throttled", { actor: "microsoft" }, 4],
  ["network-unreachable", { actor: "operator" }, 4],
  ["tls-failed", { actor: "operator" }, 4],
  ["clock-wrong", { actor: "operator" }, 4],
  ["bad-answer", { actor: "operator" }, 4],
  ["host-gone", { actor: "operator" }, 5],
  ["output-full", { actor: "operator" }, 5],
  ["state-locked", { actor: "operator" }, 7],
  ["settings", { actor: "operator" }, 2],
  ["defect", { actor: "us" }, 1],
] as const)("%s ends a command with its exit code", (code, detail, wanted) => {
  expect(exitCodeOf(new Failure(code, { ...detail, retry: { when: "never" }, say: "…" }))).toBe(wanted);
});
