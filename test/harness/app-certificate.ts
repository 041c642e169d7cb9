import "reflect-metadata";
import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

const DAY_MS = 86_400_000;

export interface MadeCertificate {
  readonly certificatePem: string;
  /** PKCS #8. */
  readonly keyPem: string;
}

/** A self-signed certificate with an RSA key, as an operator makes one for an app registration. */
export async function makeAppCertificate(
  options: { readonly name?: string; readonly fromMs?: number; readonly days?: number } = {},
): Promise<MadeCertificate> {
  x509.cryptoProvider.set(
    webcrypto as unknown as NonNullable<Parameters<typeof x509.cryptoProvider.set>[0]> & typeof globalThis.crypto,
  );
  const algorithm = {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    publicExponent: new Uint8Array([1, 0, 1]),
    modulusLength: 2048,
  } as const;
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const fromMs = options.fromMs ?? Date.now() - DAY_MS;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${options.name ?? "MSSP collector"}`,
    notBefore: new Date(fromMs),
    notAfter: new Date(fromMs + (options.days ?? 365) * DAY_MS),
    keys,
    signingAlgorithm: algorithm,
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return {
    certificatePem: `${certificate.toString("pem")}\n`,
    keyPem: `-----BEGIN PRIVATE KEY-----\n${pkcs8.match(/.{1,64}/g)?.join("\n")}\n-----END PRIVATE KEY-----\n`,
  };
}
