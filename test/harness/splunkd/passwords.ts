import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface Password {
  readonly app: string;
  readonly realm: string;
  readonly name: string;
  readonly password: string;
  /** An entry of another app is seen when that app exports it. */
  readonly sharing: "app" | "global";
}

/**
 * storage/passwords as splunkd keeps it on disk: encrypted with the host's own secret, so that a search for
 * clear text in a home finds no secret.
 */
export class PasswordFile {
  private entries: Password[];
  private readonly file: string;
  private readonly key: Buffer;

  constructor(home: string) {
    this.file = join(home, "var", "lib", "pretend-splunkd", "passwords");
    const secretFile = join(home, "etc", "auth", "splunk.secret");
    mkdirSync(dirname(this.file), { recursive: true });
    mkdirSync(dirname(secretFile), { recursive: true });
    if (!existsSync(secretFile)) writeFileSync(secretFile, randomBytes(32).toString("base64"), { mode: 0o400 });
    this.key = createHash("sha256").update(readFileSync(secretFile)).digest();
    this.entries = this.read();
  }

  list(): readonly Password[] {
    return this.entries;
  }

  find(app: string, realm: string, name: string): Password | undefined {
    return this.entries.find((one) => one.app === app && one.realm === realm && one.name === name);
  }

  put(entry: Password): void {
    this.entries = [...this.entries.filter((one) => one !== this.find(entry.app, entry.realm, entry.name)), entry];
    this.write();
  }

  remove(entry: Password): void {
    this.entries = this.entries.filter((one) => one !== entry);
    this.write();
  }

  private read(): Password[] {
    if (!existsSync(this.file)) return [];
    const bytes = readFileSync(this.file);
    const decipher = createDecipheriv("aes-256-gcm", this.key, bytes.subarray(0, 12)).setAuthTag(
      bytes.subarray(12, 28),
    );
    return JSON.parse(
      Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString("utf8"),
    ) as Password[];
  }

  private write(): void {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", this.key, nonce);
    const body = Buffer.concat([cipher.update(JSON.stringify(this.entries)), cipher.final()]);
    writeFileSync(`${this.file}.new`, Buffer.concat([nonce, cipher.getAuthTag(), body]), { mode: 0o600 });
    renameSync(`${this.file}.new`, this.file);
  }
}
