import { expect, test } from "@jest/globals";
import { isWebAddress } from "./consent-link.ts";

test("only an https address is a link: an answer is a row that others can write too", () => {
  expect(isWebAddress("https://login.microsoftonline.com/x/adminconsent?client_id=1")).toBe(true);
  const others = [
    "javascript:alert(1)",
    " JavaScript:alert(1)",
    "data:text/html,x",
    "//evil.example",
    "http://x.example",
    "",
  ];
  expect(others.filter(isWebAddress)).toEqual([]);
});
