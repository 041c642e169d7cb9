import { createHash } from "node:crypto";
import { join } from "node:path";
import { fingerprintDifferences } from "../../model/endpoint-binding.ts";
import { Failure } from "../../model/failure.ts";
import type { Log, RefreshTokenVault } from "../../model/ports.ts";
import { type Sealed, sealed } from "../../model/sealed.ts";
import type { TenantId } from "../../model/tenant.ts";
import { newerFormat } from "./damage.ts";
import { type DiskPorts, makeFolder, readIfThere, removeIfThere, replaceFile, stateUnwritable } from "./disk.ts";
import { folderNameOf, nameOfFolder } from "./names.ts";

const VERSION = 1;

/**
 * What one file of `secrets/` holds: values by name, bound to the endpoints in force when they were typed,
 * and plain notes beside them.
 */
export interface SecretEntry {
  /** Of the endpoint binding; in the file its name is the one of earlier releases. */
  readonly fingerprint: string;
  readonly values: Readonly<Record<string, Sealed>>;
  /** Times, a client id and the like: nothing secret. */
  readonly notes: Readonly<Record<string, string>>;
}

export interface SecretFilesParts {
  readonly ports: DiskPorts;
  readonly log: Log;
  /**
   * Makes a folder readable by its owner alone where modes mean nothing (Windows); called once when
   * `secrets/` is made.
   */
  readonly restrict?: (folder: string) => void;
}

/**
 * The folder `secrets/` of a state folder: 0700, files 0600, each written aside, flushed and renamed, the
 * rename flushed too. The only place where this program puts a secret on disk, and only for hosts that have
 * no store of their own.
 */
export class SecretFiles {
  readonly #folder: string;
  readonly #parts: SecretFilesParts;
  #made = false;
  /** Digests of what was written here last, by name. */
  readonly #written = new Map<string, string>();

  constructor(stateFolder: string, parts: SecretFilesParts) {
    this.#folder = join(stateFolder, "secrets");
    this.#parts = parts;
  }

  /**
   * Undefined when there is none. Throws Failure `state-damaged` (not a file of this program, or of a newer
   * release), `state-unreadable`.
   */
  read(name: string): SecretEntry | undefined {
    const path = this.pathOf(name);
    const bytes = readIfThere(this.#parts.ports.disk, path);
    return bytes === undefined ? undefined : decode(path, bytes.toString("utf8"));
  }

  /**
   * Resolves when the entry survives a crash of the host. Throws Failure `state-unwritable`; the old entry is
   * then still there.
   */
  async write(name: string, entry: SecretEntry): Promise<void> {
    this.#make();
    const text = encode(entry);
    // Noted first: who sees the new file before this resolves must not take it for somebody else's.
    this.#written.set(name, hexDigest(text));
    await replaceFile(this.#parts.ports, this.pathOf(name), Buffer.from(text, "utf8"));
  }

  /** Does the entry hold what this instance wrote last? If not, somebody else stored it. */
  isOwnWrite(name: string): boolean {
    const bytes = readIfThere(this.#parts.ports.disk, this.pathOf(name));
    return bytes !== undefined && this.#written.get(name) === hexDigest(bytes.toString("utf8"));
  }

  /** Names of the stored shared credentials, in their order. */
  credentialNames(): readonly string[] {
    const { disk } = this.#parts.ports;
    const files = disk.existsSync(this.#folder) ? disk.readdirSync(this.#folder) : [];
    return files
      .flatMap((file) => /^credential\.(.+)\.json$/.exec(file)?.[1] ?? [])
      .flatMap((folder) => nameOfFolder(folder) ?? [])
      .sort();
  }

  remove(name: string): void {
    removeIfThere(this.#parts.ports.disk, this.pathOf(name));
  }

  /** @param name made of characters that file names allow: see the functions that make them below. */
  pathOf(name: string): string {
    return join(this.#folder, `${name}.json`);
  }

  #make(): void {
    if (this.#made) return;
    const { disk, platform } = this.#parts.ports;
    makeFolder(disk, this.#folder);
    try {
      // The folder may be older than this program, with other modes.
      if (platform !== "win32") disk.chmodSync(this.#folder, 0o700);
      this.#parts.restrict?.(this.#folder);
    } catch (error) {
      throw stateUnwritable(this.#folder, error);
    }
    this.#made = true;
  }
}

export function tokenEntryName(tenantId: TenantId, stanza: string): string {
  return `${tenantId}${tokenEntrySuffix(stanza)}`;
}

/** What follows the tenant's GUID, which may not be known yet. */
export function tokenEntrySuffix(stanza: string): string {
  return `.${folderNameOf(stanza)}.token`;
}

/** A shared app credential (`credential set NAME`). */
export function credentialEntryName(credential: string): string {
  return `credential.${folderNameOf(credential)}`;
}

function hexDigest(text: string): string {
  return createHash("sha256").update(text, "utf8").digest("hex").slice(0, 32);
}

function encode(entry: SecretEntry): string {
  const values = Object.fromEntries(
    Object.entries(entry.values).map(([name, value]) => [name, value.open((text) => text)]),
  );
  return `${JSON.stringify({ version: VERSION, seal: entry.fingerprint, notes: entry.notes, values }, undefined, 1)}\n`;
}

function decode(path: string, text: string): SecretEntry {
  let outer: { version?: unknown; seal?: unknown; notes?: unknown; values?: unknown };
  try {
    outer = JSON.parse(text) as typeof outer;
  } catch {
    // Not passed on as cause: a parser's message quotes what it could not read.
    throw damaged(path);
  }
  if (typeof outer !== "object" || outer === null) throw damaged(path);
  if (typeof outer.version === "number" && outer.version > VERSION) throw newerFormat(path, outer.version, VERSION);
  const { seal: fingerprint, notes, values } = outer;
  if (outer.version !== VERSION || typeof fingerprint !== "string" || !isTexts(notes) || !isTexts(values))
    throw damaged(path);
  return {
    fingerprint,
    notes,
    values: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, sealed(value)])),
  };
}

function isTexts(value: unknown): value is Record<string, string> {
  return typeof value === "object" && value !== null && Object.values(value).every((item) => typeof item === "string");
}

function damaged(path: string): Failure {
  return new Failure("state-damaged", {
    area: "sign-in",
    actor: "operator",
    retry: { when: "never" },
    say: `The stored secret ${path} is not readable.`,
    nextStep: "Sign in again: run `defender-mssp token acquire`. That replaces the file.",
  });
}

/**
 * Throws Failure `endpoint-changed` when a stored secret was typed for other endpoints: it is not handed out,
 * whoever asks.
 */
export function assertBinding(what: string, stored: string, present: string): void {
  const differing = fingerprintDifferences(stored, present);
  if (differing.length === 0) return;
  throw new Failure("endpoint-changed", {
    area: "sign-in",
    actor: "operator",
    retry: { when: "never" },
    say: `${what} was stored for other settings (${differing.join(", ")} changed since), so it is not sent to the present ones.`,
    nextStep:
      "If the change is yours, type the secret again or run `defender-mssp credential reseal`; if not, somebody edited the settings.",
  });
}

export interface FileVaultParts {
  readonly files: SecretFiles;
  readonly tenantId: TenantId;
  readonly stanza: string;
  /** Of the present settings: see model/endpoint-binding.ts. */
  readonly fingerprint: string;
  /**
   * The refresh token as it stands in the admin's own file; it counts until it was redeemed once, and again
   * when it is replaced there.
   */
  readonly typed?: Sealed;
  readonly nowMs: () => number;
}

export interface TokenTimes {
  readonly storedAtMs: number;
  /** When a person last signed in or typed a token. */
  readonly typedAtMs: number;
}

/**
 * A customer's refresh token in `secrets/<tenant GUID>.<stanza>.token.json`. A rotated token never goes back
 * into the admin's file.
 */
export class FileTokenVault implements RefreshTokenVault {
  readonly #parts: FileVaultParts;
  readonly #name: string;

  constructor(parts: FileVaultParts) {
    this.#parts = parts;
    this.#name = tokenEntryName(parts.tenantId, parts.stanza);
  }

  async current(): Promise<Sealed> {
    const { typed, fingerprint } = this.#parts;
    const entry = this.#parts.files.read(this.#name);
    if (typed !== undefined && (entry === undefined || entry.notes.typed_digest !== digestOf(typed))) return typed;
    const token = entry?.values.refresh_token;
    if (entry === undefined || token === undefined) throw this.#notSignedIn();
    assertBinding("The refresh token", entry.fingerprint, fingerprint);
    return token;
  }

  /** Resolves when the token is safe on disk; only then may its access token be used. */
  async store(rotated: Sealed, _options: { readonly refused: boolean }): Promise<void> {
    const { typed, fingerprint, nowMs } = this.#parts;
    const now = String(nowMs());
    const before = this.#parts.files.read(this.#name);
    const typedDigest = typed === undefined ? before?.notes.typed_digest : digestOf(typed);
    const typedNow = before === undefined || before.notes.typed_digest !== typedDigest;
    await this.#parts.files.write(this.#name, {
      fingerprint,
      values: { refresh_token: rotated },
      notes: {
        stored_at_ms: now,
        typed_at_ms: typedNow ? now : (before.notes.typed_at_ms ?? now),
        ...(typedDigest === undefined ? {} : { typed_digest: typedDigest }),
      },
    });
  }

  /** Undefined before the first rotation. */
  times(): TokenTimes | undefined {
    const notes = this.#parts.files.read(this.#name)?.notes;
    if (notes === undefined) return undefined;
    return { storedAtMs: Number(notes.stored_at_ms ?? 0), typedAtMs: Number(notes.typed_at_ms ?? 0) };
  }

  #notSignedIn(): Failure {
    return new Failure("not-signed-in", {
      area: "sign-in",
      actor: "operator",
      retry: { when: "never" },
      say: `No refresh token is stored for ${this.#parts.stanza}.`,
      nextStep: `Run \`defender-mssp token acquire --customer ${JSON.stringify(this.#parts.stanza)}\`.`,
    });
  }
}

/**
 * Tells a replaced token from the one that was redeemed. It stands in the 0600 file beside the newer token
 * itself.
 */
function digestOf(token: Sealed): string {
  return token.open((text) =>
    createHash("sha256").update("typed:", "utf8").update(text.trim(), "utf8").digest("hex").slice(0, 32),
  );
}
