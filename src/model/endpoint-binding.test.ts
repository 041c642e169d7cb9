import { createHash } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { CLOUDS } from "./cloud.ts";
import { endpointBinding, fingerprintDifferences } from "./endpoint-binding.ts";
import { sealed } from "./sealed.ts";
import type { Endpoints, Route } from "./stanza.ts";

const { loginUrl, graphUrl, apiUrl, mdeApiUrl, siemUrl } = CLOUDS.commercial;
const endpoints: Endpoints = { loginUrl, graphUrl, apiUrl, mdeApiUrl, siemUrl };
const FILES: Readonly<Record<string, string>> = {
  "/a": "-----BEGIN CERTIFICATE-----",
  "/b": "-----BEGIN CERTIFICATE-----",
  "/other": "another certificate",
};
const fingerprintOf = endpointBinding({
  readFile(path) {
    const text = FILES[path];
    if (text === undefined) throw Object.assign(new Error("EACCES: permission denied"), { code: "EACCES" });
    return new TextEncoder().encode(text);
  },
  sha256Hex: (bytes) => createHash("sha256").update(bytes).digest("hex"),
});
const fingerprint = (changed: Partial<Endpoints> = {}, route: Route = {}): string =>
  fingerprintOf({ endpoints: { ...endpoints, ...changed }, route });

describe("a secret stays behind when the place that it would be sent to changed", () => {
  test.each<[string, string, readonly string[]]>([
    ["login_url", fingerprint({ loginUrl: "https://login.evil.example" }), ["login_url"]],
    ["graph_url", fingerprint({ graphUrl: "https://graph.evil.example" }), ["graph_url"]],
    ["api_url", fingerprint({ apiUrl: "https://api.evil.example" }), ["api_url"]],
    ["the endpoint host of api_url", fingerprint({ mdeApiUrl: "https://api.evil.example" }), ["api_url"]],
    ["siem_url", fingerprint({ siemUrl: "https://siem.evil.example" }), ["siem_url"]],
    ["partnercenter_url", fingerprint({ partnercenterUrl: "https://partner.evil.example" }), ["partnercenter_url"]],
    ["proxy", fingerprint({}, { proxy: sealed("http://proxy.evil.example:8080") }), ["proxy"]],
    ["ca_file", fingerprint({}, { caFile: "/a" }), ["ca_file"]],
    ["port", fingerprint({ graphUrl: "https://graph.microsoft.com:8443" }), ["graph_url"]],
    [
      "two at once",
      fingerprint({ loginUrl: "https://a.example", siemUrl: "https://b.example" }),
      ["login_url", "siem_url"],
    ],
  ])("%s", (_, present, wanted) => {
    expect(present).not.toBe(fingerprint());
    expect(fingerprintDifferences(fingerprint(), present)).toEqual(wanted);
  });

  test.each(["", "v1", "v2.abc.1.2.3.4.5.6", fingerprint().replace("v1.", "v1.0")])(
    "an unreadable or forged fingerprint %j differs in everything",
    (stored) => {
      expect(fingerprintDifferences(stored, fingerprint())).toHaveLength(6);
    },
  );

  test("a changed or removed partnercenter_url is named alone", () => {
    const stored = fingerprint({ partnercenterUrl: "https://partner.example" });
    for (const present of [fingerprint(), fingerprint({ partnercenterUrl: "https://other.example" })])
      expect(fingerprintDifferences(stored, present)).toEqual(["partnercenter_url"]);
  });

  test("moving a part into its neighbour does not give the same fingerprint", () => {
    expect(fingerprint({ graphUrl: "https://a.example\napi_url=x" })).not.toBe(
      fingerprint({ graphUrl: "https://a.example", apiUrl: "x" }),
    );
  });
});

describe("what changes nothing about the destination keeps the fingerprint", () => {
  test.each([
    ["another spelling", fingerprint({ graphUrl: "https://GRAPH.microsoft.com:443/" }), fingerprint()],
    [
      "a proxy's password with characters that end a host elsewhere",
      fingerprint({}, { proxy: sealed("http://a:1/2#3?4@proxy:8080") }),
      fingerprint({}, { proxy: sealed("http://proxy:8080") }),
    ],
    [
      "a new login at the same proxy",
      fingerprint({}, { proxy: sealed("http://a:b@proxy:8080") }),
      fingerprint({}, { proxy: sealed("http://c:d@proxy:8080/") }),
    ],
    ["the CA file moved", fingerprint({}, { caFile: "/a" }), fingerprint({}, { caFile: "/b" })],
  ])("%s", (_, one, other) => expect(one).toBe(other));

  test("it fits into one entry of storage/passwords and holds no address", () => {
    const route = { proxy: sealed("http://user:secret@proxy:8080"), caFile: "/a" };
    expect(fingerprint({}, route)).toMatch(/^v1\.[0-9a-f]{64}(\.[0-9a-f]{6}){6}$/);
    const text = fingerprint({ partnercenterUrl: "https://partner.example" }, route);
    expect(text.length).toBeLessThanOrEqual(116);
    expect(text).toMatch(/^v1\.[0-9a-f]{64}(\.[0-9a-f]{6}){7}$/);
  });
});

test("a CA file that cannot be read is a failure of its customer and names the file", () => {
  let thrown: unknown;
  try {
    fingerprint({}, { caFile: "/closed" });
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({
    code: "ca-file-unusable",
    say: "The file /closed named in ca_file cannot be read.",
    cause: { code: "EACCES" },
  });
});
