import { constants, createHash, verify, type X509Certificate } from "node:crypto";

const SKEW_S = 300;

interface Expected {
  readonly certificates: readonly X509Certificate[];
  readonly clientId: string;
  /** The token endpoint's addresses, with and without the version, that `aud` may name. */
  readonly audiences: readonly string[];
  readonly nowMs: number;
}

/**
 * Checks a client assertion (Microsoft Entra docs, certificate-credentials): PS256 with `x5t#S256`, or the
 * older RS256 with `x5t`; `aud` the token endpoint of this tenant, `iss` and `sub` the app, in time. Returns
 * the AADSTS number of what is wrong.
 */
export function assertionProblem(assertion: string, expected: Expected): number | undefined {
  const [head = "", body = "", signature = ""] = assertion.split(".");
  const header = readPart(head);
  const claims = readPart(body);
  if (header === undefined || claims === undefined) return 50012;
  const certificate = expected.certificates.find((one) => thumbprintFits(one, header));
  if (certificate === undefined) return 700027;
  const key =
    header["alg"] === "PS256"
      ? {
          key: certificate.publicKey,
          padding: constants.RSA_PKCS1_PSS_PADDING,
          saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
        }
      : header["alg"] === "RS256"
        ? { key: certificate.publicKey, padding: constants.RSA_PKCS1_PADDING }
        : undefined;
  if (
    key === undefined ||
    !verify("RSA-SHA256", Buffer.from(`${head}.${body}`), key, Buffer.from(signature, "base64url"))
  )
    return 700027;
  const nowS = expected.nowMs / 1000;
  if (claims["iss"] !== expected.clientId || claims["sub"] !== expected.clientId) return 50012;
  if (!expected.audiences.includes(String(claims["aud"]))) return 50012;
  if (typeof claims["exp"] !== "number" || claims["exp"] < nowS - SKEW_S) return 700024;
  return typeof claims["nbf"] === "number" && claims["nbf"] > nowS + SKEW_S ? 700024 : undefined;
}

function thumbprintFits(certificate: X509Certificate, header: Readonly<Record<string, unknown>>): boolean {
  const print = (algorithm: string): string => createHash(algorithm).update(certificate.raw).digest("base64url");
  // Padding is tolerated: some clients write it.
  const given = (name: string): string | undefined =>
    typeof header[name] === "string"
      ? header[name].replaceAll("=", "").replaceAll("+", "-").replaceAll("/", "_")
      : undefined;
  return given("x5t#S256") === print("sha256") || given("x5t") === print("sha1");
}

function readPart(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString());
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
