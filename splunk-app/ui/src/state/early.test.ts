import { expect, test } from "@jest/globals";
import { early } from "./early.ts";

test("what was asked for early is used once: a later look never shows what was true when the page was opened", () => {
  let asked = 0;
  const customers = early(() => {
    asked += 1;
    return asked;
  });

  customers.askEarly();
  expect(asked).toBe(1);
  expect(customers.ask()).toBe(1);
  expect(asked).toBe(1);
  expect(customers.ask()).toBe(2);
  expect(customers.ask()).toBe(3);
});
