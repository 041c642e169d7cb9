import { createHash } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { CLOUDS } from "./cloud.ts";
import { sealDifferences, sealOf } from "./seal.ts";
import { sealed } from "./sealed.ts";
import type { Endpoints, Route } from "./stanza.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const { loginUrl, graphUrl, apiUrl, mdeApiUrl, siemUrl } = CLOUDS.commercial;
const endpoints: Endpoints = { loginUrl, graphUrl, apiUrl, mdeApiUrl, siemUrl };
const ca = new TextEncoder().encode("-----BEGIN CERTIFICATE-----");
const seal = (changed: Partial<Endpoints> = {}, route: Route = {}, caBytes?: Uint8Array): string =>
  sealOf({ ...endpoints, ...changed }, route, caBytes, sha256);

describe("a secret stays behind when the place that it would be sent to changed", () => {
  test.each<[string, string, readonly string[]]>([
    ["login_url", seal({ loginUrl: "https://login.evil.example" }), ["login_url"]],
    ["graph_url", seal({ graphUrl: "https://graph.evil.example" }), ["graph_url"]],
    ["api_url", seal({ apiUrl: "https://api.evil.example" }), ["api_url"]],
    ["the endpoint host of api_url", seal({ mdeApiUrl: "https://api.evil.example" }), ["api_url"]],
    ["siem_url", seal({ siemUrl: "https://siem.evil.example" }), ["siem_url"]],
    ["proxy", seal({}, { proxy: sealed("http://proxy.evil.example:8080") }), ["proxy"]],
    ["ca_file", seal({}, {}, ca), ["ca_file"]],
    ["port", seal({ graphUrl: "https://graph.microsoft.com:8443" }), ["graph_url"]],
    ["two at once", seal({ loginUrl: "https://a.example", siemUrl: "https://b.example" }), ["login_url", "siem_url"]],
  ])("%s", (_, present, wanted) => {
    expect(present).not.toBe(seal());
    expect(sealDifferences(seal(), present)).toEqual(wanted);
  });

  test.each(["", "v1", "v2.abc.1.2.3.4.5.6", seal().replace("v1.", "v1.0")])(
    "an unreadable or forged seal %j differs in everything",
    (stored) => {
      expect(sealDifferences(stored, seal())).toHaveLength(6);
    },
  );

  test("moving a part into its neighbour does not give the same seal", () => {
    expect(seal({ graphUrl: "https://a.example\napi_url=x" })).not.toBe(
      seal({ graphUrl: "https://a.example", apiUrl: "x" }),
    );
  });
});

describe("what changes nothing about the destination keeps the seal", () => {
  test.each([
    ["another spelling", seal({ graphUrl: "https://GRAPH.microsoft.com:443/" }), seal()],
    [
      "a new login at the same proxy",
      seal({}, { proxy: sealed("http://a:b@proxy:8080") }),
      seal({}, { proxy: sealed("http://c:d@proxy:8080/") }),
    ],
    ["the CA file moved", seal({}, { caFile: "/a" }, ca), seal({}, { caFile: "/b" }, ca)],
  ])("%s", (_, one, other) => expect(one).toBe(other));

  test("it fits into one entry of storage/passwords and holds no address", () => {
    const text = seal({}, { proxy: sealed("http://user:secret@proxy:8080") }, ca);
    expect(text.length).toBeLessThanOrEqual(110);
    expect(text).toMatch(/^v1\.[0-9a-f]{64}(\.[0-9a-f]{6}){6}$/);
  });
});
