import { describe, expect, test } from "@jest/globals";
import { DatabaseError } from "pg";
import { statementFailed } from "./failures.ts";

function said(code: string, severity: string | undefined, message = "what the server says"): DatabaseError {
  return Object.assign(new DatabaseError(message, message.length, "error"), { code, severity });
}

describe("what became of a statement", () => {
  test.each([
    ["XX000", "ERROR", "fleet-refused"],
    ["XX001", "ERROR", "fleet-refused"],
    ["XX000", "FATAL", "fleet-unsettled"],
    ["XX000", "PANIC", "fleet-unsettled"],
    // A server that speaks another language.
    ["XX000", "FEHLER", "fleet-unsettled"],
    ["XX000", undefined, "fleet-unsettled"],
    ["40003", "ERROR", "fleet-unsettled"],
    ["40001", "ERROR", "fleet-refused"],
    ["57P01", "FATAL", "fleet-unsettled"],
    ["08006", "ERROR", "fleet-unsettled"],
    ["23514", "ERROR", "fleet-refused"],
  ])("is known after %s of severity %s as %s", (code, severity, expected) => {
    expect(statementFailed(said(code, severity)).code).toBe(expected);
  });

  test("is said in one line, also where the server's words are several", () => {
    expect(statementFailed(said("P0001", "ERROR", "first\n  second")).say).toBe(
      "The fleet's database refused a statement (P0001): first second. Nothing of it was committed.",
    );
  });
});
