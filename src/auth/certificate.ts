import type { KeyObject } from "node:crypto";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { Failure } from "../model/failure.ts";

/** A private key with its certificate, as MSAL wants them. */
export interface CertificatePair {
  /** PEM (PKCS #8). */
  readonly privateKey: string;
  /** Hex SHA-256 of the DER certificate; becomes `x5t#S256`. */
  readonly thumbprintSha256: string;
  readonly validFromMs: number;
  readonly validToMs: number;
  readonly subject: string;
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+?-----END \1-----/g;

/**
 * Reads every pair of key and certificate in a PEM text, in any order and with either kind of line ends;
 * chain certificates without a key are left out. Throws Failure `certificate-unusable` with a sentence of its
 * own for: no certificate, no key, an encrypted key, a key that fits no certificate.
 * @param name what to call the file in a sentence; its content is never repeated.
 */
export function certificatePairs(pem: string, name: string): readonly CertificatePair[] {
  const text = pem.replaceAll("\r\n", "\n");
  const keys: KeyObject[] = [];
  const certificates: X509Certificate[] = [];
  let encrypted = false;
  for (const [block, kind = ""] of text.matchAll(BLOCK)) {
    if (kind === "CERTIFICATE") certificates.push(readable(name, "certificate", () => new X509Certificate(block)));
    else if (kind === "ENCRYPTED PRIVATE KEY" || block.includes("Proc-Type: 4,ENCRYPTED")) encrypted = true;
    else if (kind.endsWith("PRIVATE KEY")) keys.push(readable(name, "key", () => createPrivateKey(block)));
  }
  if (certificates.length === 0)
    throw unusable(`${name} holds no certificate.`, "Put the certificate and its private key into one PEM file.");
  if (keys.length === 0) {
    throw encrypted
      ? unusable(
          `The private key in ${name} is encrypted.`,
          "Store it without a passphrase, readable by this program alone (openssl pkcs8 -topk8 -nocrypt).",
        )
      : unusable(
          `${name} holds a certificate but not its private key.`,
          "Put the certificate and its private key into one PEM file.",
        );
  }
  const pairs: CertificatePair[] = [];
  for (const certificate of certificates) {
    const key = keys.find((candidate) => certificate.checkPrivateKey(candidate));
    if (!key) continue;
    if (key.asymmetricKeyType !== "rsa")
      throw unusable(
        `The key in ${name} is not an RSA key.`,
        "Make an RSA key of at least 2048 bits: Entra takes no other kind here.",
      );
    pairs.push({
      privateKey: key.export({ type: "pkcs8", format: "pem" }).toString(),
      thumbprintSha256: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
      validFromMs: Date.parse(certificate.validFrom),
      validToMs: Date.parse(certificate.validTo),
      subject: certificate.subject.split("\n").join(", "),
    });
  }
  if (pairs.length === 0)
    throw unusable(
      `The private key in ${name} does not belong to its certificate.`,
      "Put the certificate and its own private key into one PEM file.",
    );
  return pairs;
}

/**
 * Which pair to use now. During a rollover a file holds two: the one that is valid and ends last wins. Pairs
 * that are over are not used. Throws Failure `certificate-expired`.
 */
export function usablePairs(
  pairs: readonly CertificatePair[],
  nowMs: number,
  name: string,
): readonly CertificatePair[] {
  const usable = pairs
    .filter((pair) => pair.validFromMs <= nowMs && nowMs < pair.validToMs)
    .sort((a, b) => b.validToMs - a.validToMs);
  if (usable.length > 0) return usable;
  const last = [...pairs].sort((a, b) => b.validToMs - a.validToMs)[0]!;
  const early = last.validFromMs > nowMs;
  throw new Failure(early ? "certificate-not-yet-valid" : "certificate-expired", {
    actor: "operator",
    retry: { when: "never" },
    area: "sign-in",
    say: `The certificate in ${name} ${early ? `is valid only from ${new Date(last.validFromMs).toISOString()}` : `expired on ${new Date(last.validToMs).toISOString()}`}.`,
    nextStep: early
      ? "Check this machine's clock."
      : "Make a new certificate, upload it to the app, and put it into the file beside or instead of the old one.",
  });
}

function readable<T>(name: string, what: string, read: () => T): T {
  try {
    return read();
  } catch {
    // The runtime's message may quote the block.
    throw unusable(`A ${what} in ${name} is damaged.`, "Export it again as PEM.");
  }
}

function unusable(say: string, nextStep: string): Failure {
  return new Failure("certificate-unusable", {
    actor: "operator",
    retry: { when: "never" },
    area: "sign-in",
    say,
    nextStep,
  });
}
