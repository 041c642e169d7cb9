import "reflect-metadata";
import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

export interface ServerCertificate {
  /** PEM of the authority that vouches for the server. */
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

export type SplunkdCertificate = "loopback" | "as-shipped" | "expired";

const DAY_MS = 24 * 3600_000;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/**
 * An authority and a server certificate, made anew. `as-shipped` is what a Splunk out of the box shows: the
 * subject `SplunkServerDefaultCert` and no name of the host, so that only a client which skips the name check
 * on loopback can verify it; `loopback` also carries localhost and 127.0.0.1. `expired` is as shipped three
 * years ago: it ended a day before now, and its authority lives on.
 */
export async function makeCertificate(kind: SplunkdCertificate, now: Date): Promise<ServerCertificate> {
  x509.cryptoProvider.set(webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[0]);
  const notBefore = new Date(now.getTime() - (kind === "expired" ? 3 * 365 + 1 : 1) * DAY_MS);
  const notAfter = new Date(now.getTime() + 3 * 365 * DAY_MS);
  const caKeys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: "CN=SplunkCommonCA, O=Splunk",
    notBefore,
    notAfter,
    keys: caKeys as never,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  });
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const names: x509.JsonGeneralName[] = [
    { type: "dns", value: "localhost" },
    { type: "ip", value: "127.0.0.1" },
    { type: "ip", value: "::1" },
  ];
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: "02",
    subject: "CN=SplunkServerDefaultCert, O=SplunkUser",
    issuer: ca.subject,
    notBefore,
    notAfter: kind === "expired" ? new Date(now.getTime() - DAY_MS) : notAfter,
    publicKey: keys.publicKey as never,
    signingKey: caKeys.privateKey as never,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.ExtendedKeyUsageExtension(["1.3.6.1.5.5.7.3.1"], false),
      await x509.AuthorityKeyIdentifierExtension.create(caKeys.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ...(kind === "loopback" ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    ca: ca.toString("pem"),
    certificate: certificate.toString("pem"),
    key: x509.PemConverter.encode(pkcs8, "PRIVATE KEY"),
  };
}
