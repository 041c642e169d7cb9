import type { Failure } from "./failure.ts";
import type { FailureCode } from "./failure-codes.ts";
import { apiOf, permissionOf, serving } from "./permissions.ts";
import type { TokenApi } from "./sign-in.ts";
import type { StreamName } from "./stream.ts";

/** What a token allows: `roles` of an app, `scp` of a user. */
export interface TokenRights {
  readonly kind: "app" | "user";
  readonly held: readonly string[];
}

/** What the newest token of one API allows, and how that changed. */
export interface GrantedPermissions extends TokenRights {
  /** When a token first allowed something else than the one before it; undefined if none did. */
  readonly changedAtMs?: number;
  /** What an earlier token allowed, with the time at which a token first lacked it. */
  readonly withdrawnAtMs: Readonly<Record<string, number>>;
}

export type GrantedByApi = Readonly<Partial<Record<TokenApi, GrantedPermissions>>>;

/** Granted against needed; member names are those of the JSON in health events and `/status`. */
export interface PermissionDrift {
  readonly granted: readonly string[];
  /** Needed by a stream and not granted. */
  readonly missing: readonly string[];
  /** Of these, what was granted before, with the time of the first token that lacked it. */
  readonly withdrawn: readonly { readonly permission: string; readonly since: string }[];
  /** Granted and needed by no stream. */
  readonly unneeded: readonly string[];
  /** When a token first held something else than the one before it; null if none did. */
  readonly changed_at: string | null;
}

/** What a customer has granted, as its collection sees it. */
export interface CustomerPermissions {
  /** Undefined before the first token. */
  drift(): PermissionDrift | undefined;
  /** What has to be reported now; each is returned once, also after a restart. */
  news(): readonly Failure[];
}

/** What sign-in itself needs. Every registration has User.Read from the start. */
const OF_SIGN_IN = new Set(["openid", "profile", "email", "offline_access", "User.Read"]);

/** @param held of a new token. Returns `before` itself if nothing changed. */
export function afterToken(
  before: GrantedPermissions | undefined,
  { kind, held }: TokenRights,
  nowMs: number,
): GrantedPermissions {
  const now = [...new Set(held)].sort();
  // Another way to sign in has other names for the same permissions: nobody withdrew anything.
  if (before?.kind !== kind) return { kind, held: now, withdrawnAtMs: {} };
  const gone = before.held.filter((permission) => !now.includes(permission));
  if (gone.length === 0 && now.length === before.held.length) return before;
  const stillGone = Object.entries(before.withdrawnAtMs).filter(([permission]) => !now.includes(permission));
  return {
    kind,
    held: now,
    changedAtMs: nowMs,
    withdrawnAtMs: { ...Object.fromEntries(stillGone), ...Object.fromEntries(gone.map((one) => [one, nowMs])) },
  };
}

/** The permission that a stream needs of this kind of token; undefined for the retired SIEM API. */
function neededBy(stream: StreamName, kind: TokenRights["kind"]): string | undefined {
  const permission = permissionOf(stream);
  return kind === "app" ? permission?.role : permission?.scope;
}

/** Granted against needed, for the APIs of which a token was seen; undefined if there is none. */
export function driftOf(granted: GrantedByApi, streams: readonly StreamName[]): PermissionDrift | undefined {
  const missing = new Set<string>();
  const withdrawn = new Map<string, number>();
  const all = new Set<string>();
  const unneeded = new Set<string>();
  const changes: number[] = [];
  let isKnown = false;
  for (const [api, { kind, held, changedAtMs, withdrawnAtMs }] of entriesOf(granted)) {
    const own = streams.filter((stream) => apiOf(stream) === api);
    const needed = new Set(own.flatMap((stream) => neededBy(stream, kind) ?? []));
    if (needed.size === 0) continue;
    isKnown = true;
    const used = new Set<string>();
    for (const permission of needed) {
      const those = serving(held, permission);
      for (const one of those) used.add(one);
      if (those.length > 0) continue;
      missing.add(permission);
      const since = withdrawnAtMs[permission];
      if (since !== undefined) withdrawn.set(permission, since);
    }
    for (const one of held) {
      if (OF_SIGN_IN.has(one)) continue;
      all.add(one);
      if (!used.has(one)) unneeded.add(one);
    }
    if (changedAtMs !== undefined) changes.push(changedAtMs);
  }
  if (!isKnown) return undefined;
  return {
    granted: [...all],
    missing: [...missing],
    withdrawn: [...withdrawn].map(([permission, since]) => ({ permission, since: new Date(since).toISOString() })),
    unneeded: [...unneeded],
    changed_at: changes.length === 0 ? null : new Date(Math.max(...changes)).toISOString(),
  };
}

/** When the stream's permission was withdrawn; undefined if it is granted, or never was. */
export function withdrawnSince({ withdrawn }: PermissionDrift, stream: StreamName): string | undefined {
  const names = [neededBy(stream, "app"), neededBy(stream, "user")];
  return withdrawn.find(({ permission }) => names.includes(permission))?.since;
}

/** The earliest time at which a token lacked one of these permissions; undefined if none was granted. */
export function firstWithdrawal(granted: GrantedByApi, permissions: readonly string[]): string | undefined {
  const times = entriesOf(granted).flatMap(([, { withdrawnAtMs }]) =>
    permissions.flatMap((permission) => withdrawnAtMs[permission] ?? []),
  );
  return times.length === 0 ? undefined : new Date(Math.min(...times)).toISOString();
}

/** Failures that mean that the customer gave no consent, or took it back, if the customer must act. */
const WITHOUT_CONSENT = new Set<FailureCode>(["app-not-found", "consent-missing", "admin-consent-needed"]);

/** Is the customer's consent not there, or not for everything? */
export function isWithoutConsent({ code, actor }: Pick<Failure, "code" | "actor">): boolean {
  return actor === "customer" && WITHOUT_CONSENT.has(code);
}

/** Microsoft issues no token of the API for want of consent. Nothing is withdrawn if none was ever seen. */
export function afterRefusal(before: GrantedPermissions | undefined, nowMs: number): GrantedPermissions | undefined {
  return before && afterToken(before, { kind: before.kind, held: [] }, nowMs);
}

/** A sentence behind the one about a missing permission. @param since ISO time */
export function withdrawnSentence(since: string): string {
  return `It was granted before, and is missing since ${inUtc(since)}.`;
}

/** An ISO time as a person reads it. */
export function inUtc(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;
}

function entriesOf(granted: GrantedByApi): readonly (readonly [string, GrantedPermissions])[] {
  return Object.entries(granted).filter((entry): entry is [string, GrantedPermissions] => entry[1] !== undefined);
}
