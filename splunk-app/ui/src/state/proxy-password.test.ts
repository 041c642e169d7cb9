import { expect, test } from "@jest/globals";
import { maskProblems, meantBy, shownOf } from "./proxy-password.ts";

const STORED = { cloud: "commercial", proxy: "http://user:s3cret@proxy.example:8080" };

test.each([
  ["http://user:s3cret@proxy.example:8080", "http://user:********@proxy.example:8080"],
  ["http://user:s3c:r@t/@proxy.example", "http://user:********@proxy.example"],
  ["user:s3cret@proxy.example:8080", "user:********@proxy.example:8080"],
  ["http://:s3cret@proxy.example", "http://:********@proxy.example"],
  ["http://user@proxy.example:8080", "http://user@proxy.example:8080"],
  ["http://proxy.example:8080", "http://proxy.example:8080"],
  ["", ""],
])("a form shows the proxy %s as %s", (proxy, shown) => {
  expect(shownOf({ proxy })).toEqual({ proxy: shown });
});

test("an address that is left as it was shown keeps its stored password", () => {
  const typed = { ...shownOf(STORED), cloud: "gcc-high" };
  const meant = meantBy(typed, STORED);
  expect(meant).toEqual({ ...STORED, cloud: "gcc-high" });
  expect(maskProblems(meant, STORED)).toEqual({});
});

test.each(["http://user:********@other.example:8080", "http://user:*****x@proxy.example:8080"])(
  "the mask is never saved: %s needs its password again",
  (proxy) => {
    const meant = meantBy({ ...STORED, proxy }, STORED);
    expect(maskProblems(meant, STORED)).toEqual({ proxy: "has *** in its password: type the password again" });
  },
);

test("another password, another proxy and none are saved as they are typed", () => {
  for (const proxy of ["http://user:n3w@proxy.example:8080", "http://other.example:8080", ""]) {
    const meant = meantBy({ ...STORED, proxy }, STORED);
    expect(meant).toEqual({ ...STORED, proxy });
    expect(maskProblems(meant, STORED)).toEqual({});
  }
});

test("a stored password of asterisks stays as it is", () => {
  const odd = { proxy: "http://user:****@proxy.example" };
  expect(maskProblems(meantBy(shownOf(odd), odd), odd)).toEqual({});
});
