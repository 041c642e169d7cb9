import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Log, RefreshTokenVault } from "../../model/ports.ts";
import type { Sealed } from "../../model/sealed.ts";
import type { TenantId } from "../../model/tenant.ts";
import {
  decodeEntry,
  encodeEntry,
  entryAfter,
  type SecretEntry,
  type TokenOwner,
  tokenInUse,
} from "../secret-entry.ts";
import { type DiskPorts, makeFolder, readIfThere, removeIfThere, replaceFile, stateUnwritable } from "./disk.ts";
import { folderNameOf, nameOfFolder } from "./names.ts";

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
    return bytes === undefined ? undefined : decodeEntry(path, bytes.toString("utf8"));
  }

  /**
   * Resolves when the entry survives a crash of the host. Throws Failure `state-unwritable`; the old entry is
   * then still there.
   */
  async write(name: string, entry: SecretEntry): Promise<void> {
    this.#make();
    const text = encodeEntry(entry);
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

export interface FileVaultParts extends Omit<TokenOwner, "typedMost"> {
  readonly files: SecretFiles;
  readonly tenantId: TenantId;
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
    return tokenInUse(this.#parts.files.read(this.#name), this.#owner);
  }

  /** Resolves when the token is safe on disk; only then may its access token be used. */
  async store(rotated: Sealed, _options: { readonly refused: boolean }): Promise<void> {
    const { files, nowMs } = this.#parts;
    await files.write(this.#name, entryAfter(rotated, files.read(this.#name), this.#owner, nowMs()));
  }

  /** Undefined before the first rotation. */
  times(): TokenTimes | undefined {
    const notes = this.#parts.files.read(this.#name)?.notes;
    if (notes === undefined) return undefined;
    return { storedAtMs: Number(notes.stored_at_ms ?? 0), typedAtMs: Number(notes.typed_at_ms ?? 0) };
  }

  get #owner(): TokenOwner {
    return { ...this.#parts, typedMost: 1 };
  }
}
