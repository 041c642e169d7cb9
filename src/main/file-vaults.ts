import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Clock, Log } from "../model/ports.ts";
import { sealOf } from "../model/seal.ts";
import type { Stanza } from "../model/stanza.ts";
import { realDisk } from "../stores/disk/disk.ts";
import { FileTokenVault, SecretFiles, tokenEntryName } from "../stores/disk/secrets.ts";
import type { VaultOf } from "./customers.ts";
import { needsSharedCredential, withSharedCredential } from "./stored-secrets.ts";
import { withRestriction } from "./windows-acl.ts";

/** `secrets/` of a state folder, closed to everybody else on Windows too. */
function secretFiles(stateDir: string, log: Log, clock: Clock, platform: NodeJS.Platform): SecretFiles {
  return new SecretFiles(stateDir, { ports: { disk: realDisk, clock, platform }, log, ...withRestriction(platform) });
}

/**
 * Refresh tokens of hosts that have no secret store of their own: in `secrets/` of the state folder, sealed
 * with the endpoints in force.
 */
export function fileVaults(
  stateDir: string,
  log: Log,
  clock: Clock,
  platform: NodeJS.Platform = process.platform,
): VaultOf {
  const files = secretFiles(stateDir, log, clock, platform);
  const seals = new Map<string, string>();
  return (stanza, tenantId) => {
    const stored = files.read(tokenEntryName(tenantId, stanza.name));
    if (stanza.refreshToken === undefined && stored === undefined) return undefined;
    const seal = seals.get(stanza.name) ?? sealNow(stanza);
    seals.set(stanza.name, seal);
    return new FileTokenVault({
      files,
      tenantId,
      stanza: stanza.name,
      seal,
      ...(stanza.refreshToken ? { typed: stanza.refreshToken } : {}),
      nowMs: () => clock.nowMs(),
    });
  };
}

function sealNow(stanza: Stanza): string {
  const caFile = stanza.route.caFile;
  return sealOf(stanza.endpoints, stanza.route, caFile === undefined ? undefined : readFileSync(caFile), (bytes) =>
    createHash("sha256").update(bytes).digest("hex"),
  );
}

/** Shared app credentials of the same hosts, for stanzas that name one. */
export function fileCredentials(
  stateDir: string,
  log: Log,
  clock: Clock,
  platform: NodeJS.Platform = process.platform,
): (stanza: Stanza) => Stanza {
  const files = secretFiles(stateDir, log, clock, platform);
  return (stanza) => (needsSharedCredential(stanza) ? withSharedCredential(stanza, files, sealNow(stanza)) : stanza);
}
