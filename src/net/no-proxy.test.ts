import { expect, test } from "@jest/globals";
import { bypassesProxy } from "./no-proxy.ts";

test.each<[string | undefined, string, number, boolean]>([
  [undefined, "graph.microsoft.com", 443, false],
  ["", "graph.microsoft.com", 443, false],
  ["*", "graph.microsoft.com", 443, true],
  ["microsoft.com", "graph.microsoft.com", 443, true],
  ["microsoft.com", "microsoft.com", 443, true],
  ["microsoft.com", "notmicrosoft.com", 443, false],
  [".microsoft.com", "graph.microsoft.com", 443, true],
  ["*.microsoft.com", "graph.microsoft.com", 443, true],
  ["*.microsoft.com", "microsoft.com", 443, false],
  ["GRAPH.Microsoft.Com", "graph.microsoft.com.", 443, true],
  ["a.test, graph.microsoft.com:8443", "graph.microsoft.com", 443, false],
  ["a.test graph.microsoft.com:443", "graph.microsoft.com", 443, true],
  ["10.0.0.0/8", "10.200.3.4", 443, true],
  ["10.0.0.0/8", "11.0.0.1", 443, false],
  ["10.0.0.0/8", "10.example.test", 443, false],
  ["::1", "[::1]", 8089, true],
  ["[::1]:8089", "::1", 8089, true],
  ["[::1]:8089", "::1", 443, false],
])("no_proxy %j exempts %s:%d: %j", (noProxy, host, port, wanted) => {
  expect(bypassesProxy(host, port, noProxy)).toBe(wanted);
});
