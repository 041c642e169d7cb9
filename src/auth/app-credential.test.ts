import { describe, expect, test } from "@jest/globals";
import { parseStanzas } from "../config/settings.ts";
import { sealed } from "../model/sealed.ts";
import type { AuthKind, Stanza } from "../model/stanza.ts";
import { authOf } from "../model/stanza.ts";
import { credentialOf } from "./app-credential.ts";

const CLIENT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";
const [PLAIN] = parseStanzas([{ name: "contoso", values: { tenant_id: "contoso.example", client_id: CLIENT } }], {
  host: "cli",
  nowMs: 0,
}).stanzas as [Stanza];

describe("how a customer signs in", () => {
  test.each<[AuthKind, Pick<Stanza, "auth" | "refreshToken">]>([
    ["app", {}],
    ["refresh_token", { refreshToken: sealed("token") }],
    ["app", { auth: "app", refreshToken: sealed("token") }],
    ["refresh_token", { auth: "refresh_token" }],
  ])("is %s: the setting auth decides before what is given", (auth, given) => expect(authOf(given)).toBe(auth));
});

describe("a customer's credential", () => {
  test("is the certificate before the client secret, and a public client's where a refresh token stands alone", () => {
    const refreshToken = sealed("token");
    const both = { ...PLAIN, refreshToken, clientSecret: sealed("s"), certificate: "/app.pem" };
    expect(credentialOf(both).kind).toBe("certificate");
    expect(credentialOf({ ...PLAIN, refreshToken, clientSecret: sealed("s") }).kind).toBe("secret");
    expect(credentialOf({ ...PLAIN, refreshToken }).kind).toBe("public");
  });

  test("is a public client's too where the refresh token lies in a vault", () => {
    expect(credentialOf(PLAIN, "refresh_token").kind).toBe("public");
    expect(() => credentialOf(PLAIN)).toThrow(
      expect.objectContaining({
        code: "credential-missing",
        say: "contoso has no client secret, certificate, assertion or refresh token, so nobody can sign in for it.",
      }),
    );
  });

  test("keeps the end of the client secret for the warnings", () => {
    expect(credentialOf({ ...PLAIN, clientSecret: sealed("s"), clientSecretEndsMs: 7 })).toMatchObject({ endsMs: 7 });
    expect(
      credentialOf({ ...PLAIN, clientSecret: sealed("s"), clientSecretEndsMs: 7, secretExpires: 9 }),
    ).toMatchObject({
      endsMs: 9,
    });
  });
});
