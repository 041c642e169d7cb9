import { expect, test } from "@jest/globals";
import { mutationsOf, PROMISES, testsOf } from "../../scripts/generate/promises-page.ts";

test.each(PROMISES.map((promise, index) => [index + 1, promise] as const))(
  "promise %i has a test that carries its number, and a change of the source that must fail one: %s",
  (number) => {
    expect(testsOf(number)).not.toEqual([]);
    expect(mutationsOf(number)).not.toEqual([]);
  },
);

test("there are 27 promises", () => {
  expect(PROMISES).toHaveLength(27);
});
