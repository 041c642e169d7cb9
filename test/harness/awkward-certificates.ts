import "reflect-metadata";
import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";
import type { ServerCertificate } from "./simulator/certificates.ts";

/** What is wrong with the certificate of a server. */
export type Awkward =
  | "1024-bit key"
  | "SHA-1 signature"
  | "1024-bit authority"
  | "intermediate authority"
  | "intermediate without the right to issue"
  | "client's purpose"
  | "nothing";

const DAY_MS = 86_400_000;
const ECDSA = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const rsa = (modulusLength: number, hash: "SHA-1" | "SHA-256") =>
  ({ name: "RSASSA-PKCS1-v1_5", hash, modulusLength, publicExponent: new Uint8Array([1, 0, 1]) }) as const;

export interface AwkwardCertificate extends ServerCertificate {
  /** The root that issued the intermediate authority; equal to `caPem` where there is none. */
  readonly rootPem: string;
}

/**
 * A certificate for localhost that real servers have and strict clients refuse. With an intermediate
 * authority, `caPem` is that authority alone, and the server sends only its own certificate.
 *
 * @param valid the server's certificate alone; its authorities are valid now.
 */
export async function makeAwkwardCertificate(what: Awkward, valid = lifetime()): Promise<AwkwardCertificate> {
  x509.cryptoProvider.set(
    webcrypto as unknown as NonNullable<Parameters<typeof x509.cryptoProvider.set>[0]> & typeof globalThis.crypto,
  );
  const rootAlgorithm =
    what === "1024-bit authority" ? rsa(1024, "SHA-256") : what === "SHA-1 signature" ? rsa(2048, "SHA-1") : ECDSA;
  const root = await authority("CN=test root", rootAlgorithm);
  const issuer = what.startsWith("intermediate")
    ? await authority("CN=test intermediate", ECDSA, { issuer: root, isAuthority: what === "intermediate authority" })
    : root;
  const keys = await newKeys(what === "1024-bit key" ? rsa(1024, "SHA-256") : ECDSA);
  const certificate = await x509.X509CertificateGenerator.create({
    ...valid,
    subject: "CN=localhost",
    issuer: issuer.certificate.subject,
    publicKey: keys.publicKey,
    signingKey: issuer.keys.privateKey,
    signingAlgorithm: issuer.algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      ...(what === "client's purpose" ? [new x509.ExtendedKeyUsageExtension(["1.3.6.1.5.5.7.3.2"])] : []),
      new x509.SubjectAlternativeNameExtension([
        { type: "dns", value: "localhost" },
        { type: "ip", value: "127.0.0.1" },
      ]),
    ],
  });
  return {
    caPem: `${issuer.certificate.toString("pem")}\n`,
    rootPem: `${root.certificate.toString("pem")}\n`,
    certificatePem: `${certificate.toString("pem")}\n`,
    keyPem: `${x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY")}\n`,
  };
}

type Algorithm = typeof ECDSA | ReturnType<typeof rsa>;
type Keys = Awaited<ReturnType<typeof newKeys>>;

interface Authority {
  readonly certificate: x509.X509Certificate;
  readonly keys: Keys;
  readonly algorithm: Algorithm;
}

async function newKeys(algorithm: Algorithm) {
  return webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

async function authority(
  name: string,
  algorithm: Algorithm,
  { issuer, isAuthority = true }: { readonly issuer?: Authority; readonly isAuthority?: boolean } = {},
): Promise<Authority> {
  const keys = await newKeys(algorithm);
  const certificate = await x509.X509CertificateGenerator.create({
    ...lifetime(),
    subject: name,
    issuer: issuer?.certificate.subject ?? name,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    signingAlgorithm: issuer?.algorithm ?? algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(isAuthority, undefined, true),
      ...(isAuthority
        ? [new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true)]
        : []),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate, keys, algorithm };
}

/** From so many days before now to so many days after. */
export function lifetime(daysBefore = 1, daysAfter = 60): { readonly notBefore: Date; readonly notAfter: Date } {
  const nowMs = Date.now();
  return { notBefore: new Date(nowMs - daysBefore * DAY_MS), notAfter: new Date(nowMs + daysAfter * DAY_MS) };
}
