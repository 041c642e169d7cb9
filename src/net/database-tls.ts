import { type ConnectionOptions, checkServerIdentity } from "node:tls";
import { trustFrom } from "./connect.ts";

/**
 * How connections to a database verify its host (`sslmode=verify-full`): the chain up to a public authority
 * or one of the file, and the host's name. Throws Failure `ca-file-unusable`.
 */
export async function databaseTls(caFile: string | undefined): Promise<(host: string) => ConnectionOptions> {
  const { context } = await trustFrom(caFile, "added");
  return (host) => ({
    // Set explicitly, because NODE_TLS_REJECT_UNAUTHORIZED changes only the default.
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    // The driver gives the runtime no name where the host is an IP address, which would then go unchecked.
    checkServerIdentity: (_, certificate) => checkServerIdentity(host, certificate),
    ...(context === undefined ? {} : { secureContext: context }),
  });
}
