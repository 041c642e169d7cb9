import type { KeyObject } from "node:crypto";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { quotedForPosix } from "../model/command-line.ts";
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
 * Reads every pair of private key and certificate in a PEM text, in any order and with either line ending.
 * Chain certificates without a key are skipped. Throws Failure `certificate-unusable`, each with its own
 * sentence: no certificate, no key, an encrypted key, a key that belongs to no certificate.
 * @param name how a sentence names the file; its content is never repeated.
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
    throw unusable(`${name} contains no certificate.`, "Put the certificate and its private key into one PEM file.");
  if (keys.length === 0) {
    throw encrypted
      ? unusable(
          `The private key in ${name} is encrypted.`,
          `Write the key without its passphrase, put it into the file instead, and let only this program's account read it: \`openssl pkey -in ${quotedForPosix(name)} -out key.pem\`.`,
        )
      : unusable(
          `${name} contains a certificate but not its private key.`,
          "Put the certificate and its private key into one PEM file.",
        );
  }
  const pairs: CertificatePair[] = [];
  for (const certificate of certificates) {
    const key = keys.find((candidate) => certificate.checkPrivateKey(candidate));
    if (!key) continue;
    if (key.asymmetricKeyType !== "rsa")
      throw unusable(
        `The private key in ${name} is not an RSA key.`,
        "Create an RSA key of at least 2048 bits. Entra accepts no other kind here.",
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
 * The pairs that are valid now, the one that ends last first. During a rollover a file contains two pairs.
 * Throws Failure `certificate-expired` or `certificate-not-yet-valid`.
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
      : "Create a new certificate, upload it to the app, and add it to the file.",
  });
}

function readable<T>(name: string, what: string, read: () => T): T {
  try {
    return read();
  } catch {
    // The runtime's message may quote the key, so it is not passed on.
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
