import { expect, test } from "@jest/globals";
import { mustTick } from "./transport.ts";

test.each([
  "http://splunk.example:8000",
  "http://localhost.example:8000",
  "http://127.example:8000",
  "http://10.0.0.1:8000",
])("a secret that is typed at %s needs the agreement of whoever types it", (address) => {
  expect(mustTick(new URL(address))).toBe(true);
});

test.each(["http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000", "https://splunk.example:8000"])(
  "a secret that is typed at %s can be read by nobody on the way",
  (address) => {
    expect(mustTick(new URL(address))).toBe(false);
  },
);
