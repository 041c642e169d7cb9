import type { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";

/** Longer chains do not exist, and a chain may lead back to itself. */
const LONGEST_CHAIN = 8;
const RSA_BITS_LEAST = 2048;
const SERVER_AUTHENTICATION = "1.3.6.1.5.5.7.3.1";

/**
 * Does one of these authorities vouch for the server's certificate, if nobody looks at the end dates? For
 * splunkd on this machine, whose certificate Splunk makes for three years and does not renew by itself. The
 * runtime reports only the last of several problems, so that "expired" may hide "unknown issuer". So the
 * chain is verified here: each signature, each authority's right to issue, key sizes, hashes and purpose.
 * The handshake has proved that the server holds the certificate's key.
 */
export function isVouchedFor(
  socket: Pick<TLSSocket, "getPeerX509Certificate">,
  authorities: readonly X509Certificate[],
): boolean {
  const leaf = socket.getPeerX509Certificate();
  if (leaf === undefined || !servesTls(leaf)) return false;
  let at: X509Certificate = leaf;
  for (let length = 1; length <= LONGEST_CHAIN; length += 1) {
    const present = at;
    if (hasShortKey(present) || hasWeakHash(present)) return false;
    const authority = authorities.find((one) => isSame(one, present) || hasIssued(one, present));
    if (authority !== undefined) return !hasShortKey(authority);
    const next = present.issuerCertificate;
    if (next === undefined || !hasIssued(next, present)) return false;
    at = next;
  }
  return false;
}

function hasIssued(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** Certificates without a purpose serve any. */
function servesTls({ keyUsage }: X509Certificate): boolean {
  const purposes = keyUsage as readonly string[] | undefined;
  return purposes === undefined || purposes.includes(SERVER_AUTHENTICATION);
}

function isSame(one: X509Certificate, other: X509Certificate): boolean {
  return one.fingerprint256 === other.fingerprint256;
}

function hasShortKey({ publicKey }: X509Certificate): boolean {
  const bits = publicKey.asymmetricKeyDetails?.modulusLength;
  return bits !== undefined && bits < RSA_BITS_LEAST;
}

function hasWeakHash({ signatureAlgorithm }: X509Certificate): boolean {
  return signatureAlgorithm === undefined || /md5|sha-?1(?!\d)/i.test(signatureAlgorithm);
}
