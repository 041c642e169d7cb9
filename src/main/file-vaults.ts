import type { Clock, Log } from "../model/ports.ts";
import { needsSharedCredential, type Stanza } from "../model/stanza.ts";
import { realDisk } from "../stores/disk/disk.ts";
import { FileTokenVault, SecretFiles, tokenEntryName } from "../stores/disk/secrets.ts";
import type { VaultOf } from "./customers.ts";
import { withSharedCredential } from "./stored-secrets.ts";
import { withRestriction } from "./windows-acl.ts";
import { presentFingerprint } from "./world.ts";

/** `secrets/` of a state folder, closed to all other accounts, on Windows too. */
export function secretFiles(stateDir: string, log: Log, clock: Clock, platform: NodeJS.Platform): SecretFiles {
  return new SecretFiles(stateDir, { ports: { disk: realDisk, clock, platform }, log, ...withRestriction(platform) });
}

/**
 * Refresh tokens of hosts without their own secret store: in `secrets/` of the state folder, bound to the
 * current endpoints. The result throws Failure `ca-file-unusable`.
 */
export function fileVaults(
  stateDir: string,
  log: Log,
  clock: Clock,
  platform: NodeJS.Platform = process.platform,
  files: SecretFiles = secretFiles(stateDir, log, clock, platform),
): VaultOf {
  return (stanza, tenantId) => {
    const stored = files.read(tokenEntryName(tenantId, stanza.name));
    if (stanza.refreshToken === undefined && stored === undefined) return undefined;
    return new FileTokenVault({
      files,
      tenantId,
      stanza: stanza.name,
      fingerprint: presentFingerprint(stanza),
      ...(stanza.refreshToken ? { typed: stanza.refreshToken } : {}),
      nowMs: () => clock.nowMs(),
    });
  };
}

/**
 * Shared app credentials of the same hosts, for stanzas that name one. The result throws the same Failure.
 */
export function fileCredentials(
  stateDir: string,
  log: Log,
  clock: Clock,
  platform: NodeJS.Platform = process.platform,
): (stanza: Stanza) => Stanza {
  const files = secretFiles(stateDir, log, clock, platform);
  return (stanza) =>
    needsSharedCredential(stanza) ? withSharedCredential(stanza, files, presentFingerprint(stanza)) : stanza;
}
