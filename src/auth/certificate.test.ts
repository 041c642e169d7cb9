import { constants, createPrivateKey, createPublicKey, verify, X509Certificate } from "node:crypto";
import { beforeAll, describe, expect, test } from "@jest/globals";
import type { MadeCertificate } from "../../test/harness/app-certificate.ts";
import { makeAppCertificate } from "../../test/harness/app-certificate.ts";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import type { Failure } from "../model/failure.ts";
import type { Http } from "../model/ports.ts";
import { certificatePairs, usablePairs } from "./certificate.ts";
import { redeem } from "./redeem.ts";

const DAY_MS = 86_400_000;
const NOW_MS = Date.now();
let old: MadeCertificate;
let fresh: MadeCertificate;
let over: MadeCertificate;

beforeAll(async () => {
  old = await makeAppCertificate({ name: "old", days: 30 });
  fresh = await makeAppCertificate({ name: "fresh", days: 365 });
  over = await makeAppCertificate({ name: "over", fromMs: NOW_MS - 100 * DAY_MS, days: 50 });
});

function refusal(work: () => unknown): Pick<Failure, "code" | "say"> {
  try {
    work();
  } catch (error) {
    const { code, say } = error as Failure;
    return { code, say };
  }
  throw new Error("nothing was refused");
}

const encrypted = (): string =>
  createPrivateKey(fresh.keyPem)
    .export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" })
    .toString();

describe("a PEM file is read as operators make it", () => {
  test("key and certificate in either order, with Windows line ends and a chain beside them", () => {
    const text = `${fresh.certificatePem}${old.certificatePem}${fresh.keyPem}`.replaceAll("\n", "\r\n");

    const pairs = certificatePairs(text, "app.pem");

    expect(pairs.map(({ thumbprintSha256 }) => thumbprintSha256)).toEqual([
      new X509Certificate(fresh.certificatePem).fingerprint256.replaceAll(":", "").toLowerCase(),
    ]);
  });

  test.each<[string, () => string, string]>([
    [
      "a certificate without its key",
      () => fresh.certificatePem,
      "app.pem contains a certificate but not its private key.",
    ],
    ["a key without a certificate", () => fresh.keyPem, "app.pem contains no certificate."],
    [
      "somebody else's key",
      () => fresh.certificatePem + old.keyPem,
      "The private key in app.pem does not belong to its certificate.",
    ],
    ["an encrypted key", () => fresh.certificatePem + encrypted(), "The private key in app.pem is encrypted."],
    [
      "a damaged certificate",
      () => fresh.keyPem + fresh.certificatePem.replace(/[A-Za-z0-9+/]{20}/, "AAAA"),
      "A certificate in app.pem is damaged.",
    ],
    ["nothing of the kind", () => "hello", "app.pem contains no certificate."],
  ])("%s has its own sentence", (_, pem, say) => {
    expect(refusal(() => certificatePairs(pem(), "app.pem"))).toEqual({ code: "certificate-unusable", say });
  });

  test("of several the one that lasts longest comes first, and those that are over are left out", () => {
    const pairs = certificatePairs(
      [over, old, fresh].map(({ certificatePem, keyPem }) => certificatePem + keyPem).join(""),
      "app.pem",
    );
    expect(usablePairs(pairs, NOW_MS, "app.pem").map(({ subject }) => subject)).toEqual(["CN=fresh", "CN=old"]);
  });

  test("one that is over, or not valid yet, is refused with its date", () => {
    const pairs = certificatePairs(over.certificatePem + over.keyPem, "app.pem");
    expect(refusal(() => usablePairs(pairs, NOW_MS, "app.pem"))).toMatchObject({
      code: "certificate-expired",
      say: expect.stringMatching(/expired on \d{4}-\d\d-\d\dT/),
    });
    expect(refusal(() => usablePairs(pairs, NOW_MS - 101 * DAY_MS, "app.pem")).code).toBe("certificate-not-yet-valid");
  });
});

/** Answers the sign-in; refuses assertions made with the thumbprints in `unknown`. */
function service(unknown: readonly string[] = []): { http: Http; assertions: string[] } {
  const assertions: string[] = [];
  const http: Http = {
    send(request) {
      const assertion = new URLSearchParams(String(request.body)).get("client_assertion") ?? "";
      assertions.push(assertion);
      const head = JSON.parse(Buffer.from(assertion.split(".")[0]!, "base64url").toString()) as { "x5t#S256": string };
      const refused = unknown.includes(Buffer.from(head["x5t#S256"], "base64url").toString("hex"));
      const body = refused
        ? { error: "invalid_client", error_codes: [700027] }
        : { access_token: "app", expires_in: 3600, token_type: "Bearer" };
      return Promise.resolve({
        status: refused ? 401 : 200,
        headers: {},
        body: (async function* () {})(),
        text: () => Promise.resolve(JSON.stringify(body)),
        discard: () => Promise.resolve(),
      });
    },
    close: () => Promise.resolve(),
  };
  return { http, assertions };
}

describe("signing in with a certificate", () => {
  const clock = new FakeClock(NOW_MS, { pauses: "pass" });
  const signIn = (http: Http, pem: string) =>
    redeem(
      { http, clock, readText: () => Promise.resolve(pem) },
      {
        authority: { loginUrl: "https://login.example.test", tenant: "11111111-2222-4333-8444-555555555555" },
        route: {},
        credential: { kind: "certificate", clientId: "99999999-0000-4000-8000-000000000000", path: "app.pem" },
        audience: "https://graph.microsoft.com",
        grant: { kind: "app" },
        subject: { customer: "Contoso", clientId: "99999999-0000-4000-8000-000000000000" },
        keep: () => Promise.resolve(),
      },
    );

  test("sends a PS256 assertion with the SHA-256 thumbprint, for this tenant's token endpoint, good for at most ten minutes", async () => {
    const { http, assertions } = service();

    await signIn(http, fresh.certificatePem + fresh.keyPem);

    const [head = "", claims = "", signature = ""] = assertions[0]!.split(".");
    const certificate = new X509Certificate(fresh.certificatePem);
    expect(JSON.parse(Buffer.from(head, "base64url").toString())).toEqual({
      alg: "PS256",
      typ: "JWT",
      "x5t#S256": Buffer.from(certificate.fingerprint256.replaceAll(":", ""), "hex").toString("base64url"),
    });
    const read = JSON.parse(Buffer.from(claims, "base64url").toString()) as Record<string, string | number>;
    expect(read).toMatchObject({
      aud: "https://login.example.test/11111111-2222-4333-8444-555555555555/oauth2/v2.0/token",
      iss: "99999999-0000-4000-8000-000000000000",
      sub: "99999999-0000-4000-8000-000000000000",
      jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    expect(Number(read["exp"]) - Number(read["nbf"])).toBeLessThanOrEqual(600);
    const key = {
      key: createPublicKey(fresh.certificatePem),
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: 32,
    };
    expect(verify("sha256", Buffer.from(`${head}.${claims}`), key, Buffer.from(signature, "base64url"))).toBe(true);
  });

  test("during a rollover the older certificate is tried when the newer one is not uploaded yet", async () => {
    const newest = certificatePairs(fresh.certificatePem + fresh.keyPem, "")[0]!.thumbprintSha256;
    const { http, assertions } = service([newest]);

    const token = await signIn(
      http,
      [old, fresh].map(({ certificatePem, keyPem }) => certificatePem + keyPem).join(""),
    );

    expect(token.token.open((value) => value)).toBe("app");
    expect(assertions).toHaveLength(2);
  });

  test("when none is known the sentence is Microsoft's refusal", async () => {
    const pairs = certificatePairs(
      [old, fresh].map(({ certificatePem, keyPem }) => certificatePem + keyPem).join(""),
      "",
    );
    const { http } = service(pairs.map(({ thumbprintSha256 }) => thumbprintSha256));
    await expect(
      signIn(http, [old, fresh].map(({ certificatePem, keyPem }) => certificatePem + keyPem).join("")),
    ).rejects.toMatchObject({
      code: "certificate-wrong",
    });
  });
});
