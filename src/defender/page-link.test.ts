import { describe, expect, test } from "@jest/globals";
import { pageLink } from "./page-link.ts";

const BASE = "https://graph.microsoft.com";

describe("a next link is followed only where our token may go (P27)", () => {
  test.each<[string | undefined, string]>([
    [undefined, "none"],
    ["", "none"],
    ["https://graph.microsoft.com/v1.0/security/alerts_v2?$skiptoken=1", "next"],
    ["https://GRAPH.microsoft.com:443/v1.0?$skip=2", "next"],
    ["http://graph.microsoft.com/v1.0", "elsewhere"],
    ["https://graph.microsoft.com:8443/v1.0", "elsewhere"],
    ["https://graph.microsoft.com.evil.example/v1.0", "elsewhere"],
    ["https://graph.microsoft.com@evil.example/v1.0", "elsewhere"],
    ["https://user:word@graph.microsoft.com/v1.0", "elsewhere"],
    ["https://evil.example/?https://graph.microsoft.com", "elsewhere"],
    ["/v1.0/security/alerts_v2?$skiptoken=1", "elsewhere"],
    ["//evil.example/v1.0", "elsewhere"],
    ["javascript:alert(1)", "elsewhere"],
  ])("%s is %s", (link, kind) => expect(pageLink(link, BASE).kind).toBe(kind));

  test("what is followed is what was sent, byte for byte", () => {
    const url = "https://GRAPH.microsoft.com:443/v1.0?$skiptoken=%41%2f~'";
    expect(pageLink(url, BASE)).toEqual({ kind: "next", url });
  });

  test("what is not followed is named by its origin alone, since a path may carry a secret", () => {
    expect(pageLink("https://evil.example/steal?token=1", BASE)).toEqual({
      kind: "elsewhere",
      origin: "https://evil.example",
    });
  });
});
