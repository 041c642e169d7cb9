import "reflect-metadata";
import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

/** A throw-away authority and one server certificate, PEM. They live as long as the simulator does. */
export interface ServerCertificate {
  readonly caPem: string;
  readonly certificatePem: string;
  readonly keyPem: string;
}

/**
 * Names the certificate answers to besides loopback: Microsoft's own, so that a client which maps them to
 * loopback (`curl --resolve`, a proxy) reaches the simulator under the real address. Microsoft docs:
 * "Supported clouds", gov pages.
 */
const MICROSOFT_NAMES = [
  "login.microsoftonline.com",
  "login.microsoftonline.us",
  "api.partnercenter.microsoft.com",
  "graph.microsoft.com",
  "graph.microsoft.us",
  "dod-graph.microsoft.us",
  "api.security.microsoft.com",
  "*.api.security.microsoft.com",
  "*.security.microsoft.com",
  "*.security.microsoft.us",
  "api.securitycenter.microsoft.com",
  "*.securitycenter.microsoft.com",
  "*.securitycenter.microsoft.us",
  "*.securitycenter.windows.com",
  "*.securitycenter.windows.us",
  "*.windows.com",
];

const DAY_MS = 86_400_000;
const KEY = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/**
 * Makes both certificates, valid from a day before to 60 days after `nowMs` (real time: the clients check
 * against theirs). Authority and subject key identifiers are written, so that strict verification (RFC 5280)
 * passes.
 */
export async function makeServerCertificate(nowMs: number): Promise<ServerCertificate> {
  x509.cryptoProvider.set(
    webcrypto as unknown as NonNullable<Parameters<typeof x509.cryptoProvider.set>[0]> & typeof globalThis.crypto,
  );
  const notBefore = new Date(nowMs - DAY_MS);
  const notAfter = new Date(nowMs + 60 * DAY_MS);
  const caKeys = await webcrypto.subtle.generateKey(KEY, true, ["sign", "verify"]);
  const keys = await webcrypto.subtle.generateKey(KEY, true, ["sign", "verify"]);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: "CN=defender-mssp simulator CA",
    notBefore,
    notAfter,
    keys: caKeys,
    signingAlgorithm: KEY,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  });
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: "CN=localhost",
    issuer: ca.subject,
    notBefore,
    notAfter,
    publicKey: keys.publicKey,
    signingKey: caKeys.privateKey,
    signingAlgorithm: KEY,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(["1.3.6.1.5.5.7.3.1"]),
      new x509.SubjectAlternativeNameExtension([
        { type: "dns", value: "localhost" },
        { type: "ip", value: "127.0.0.1" },
        { type: "ip", value: "::1" },
        ...MICROSOFT_NAMES.map((value) => ({ type: "dns" as const, value })),
      ]),
      await x509.AuthorityKeyIdentifierExtension.create(ca),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  const keyPem = `-----BEGIN PRIVATE KEY-----\n${pkcs8.match(/.{1,64}/g)?.join("\n")}\n-----END PRIVATE KEY-----\n`;
  return { caPem: `${ca.toString("pem")}\n`, certificatePem: `${leaf.toString("pem")}\n`, keyPem };
}

/** A positive serial number of 16 bytes, hex. */
function serial(): string {
  const raw = Buffer.from(webcrypto.getRandomValues(new Uint8Array(16)));
  raw[0] = ((raw[0] ?? 0) & 0x7f) | 0x01;
  return raw.toString("hex");
}
