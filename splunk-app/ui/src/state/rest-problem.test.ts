import { expect, test } from "@jest/globals";
import { sentenceFor } from "./rest-problem.ts";

test("after a failure of Splunk nobody is told that nothing was saved, because that is not known", () => {
  expect(sentenceFor(500, "disk full", true)).toBe(
    "Splunk failed (500): disk full. It is not known whether this was saved: look in another tab before you try again.",
  );
  expect(sentenceFor(502, "", false)).toBe("Splunk failed (502): look for the cause in splunkd.log.");
});

test("a refused form key and an ended session both say how to go on without losing what was typed", () => {
  for (const message of ["CSRF validation failed", "call not properly authenticated"])
    expect(sentenceFor(401, message, true)).toMatch(
      /Log in to Splunk in another tab, then try again here; what you typed stays\.$/,
    );
});
