import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";

/** AES-256. */
const KEY_BYTES = 32;
const CIPHER = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** The first byte of what is sealed, so that a later release may use another form. */
const FORM = 1;

/** What a fleet's secrets are sealed with before they are in its database, which never has the key. */
export class FleetKey {
  readonly #key: Buffer;

  private constructor(key: Buffer) {
    this.#key = key;
  }

  /** The content of a new key file. */
  static newText(): string {
    return `${randomBytes(KEY_BYTES).toString("base64")}\n`;
  }

  /** Undefined when this is not the content of a key file. */
  static fromText(text: string): FleetKey | undefined {
    const key = Buffer.from(text.trim(), "base64");
    // Node reads what it can of any text.
    return key.length === KEY_BYTES && key.toString("base64") === text.trim() ? new FleetKey(key) : undefined;
  }

  /** Tells two keys apart, and says nothing of either. */
  get fingerprint(): string {
    return createHmac("sha256", this.#key).update("defender-mssp fleet key").digest("hex").slice(0, 32);
  }

  /** @param context what the text belongs to: it can be opened only with the same. */
  encrypt(text: string, context: readonly string[]): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#key, nonce).setAAD(contextBytes(context));
    const body = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
    return Buffer.concat([Buffer.of(FORM), nonce, cipher.getAuthTag(), body]);
  }

  /** Undefined: sealed with another key, for something else, or damaged. */
  open(bytes: Uint8Array, context: readonly string[]): string | undefined {
    const sealed = Buffer.from(bytes);
    const [nonce, tag, body] = [
      sealed.subarray(1, 1 + NONCE_BYTES),
      sealed.subarray(1 + NONCE_BYTES, 1 + NONCE_BYTES + TAG_BYTES),
      sealed.subarray(1 + NONCE_BYTES + TAG_BYTES),
    ];
    if (sealed[0] !== FORM || tag.length !== TAG_BYTES) return undefined;
    try {
      const decipher = createDecipheriv(CIPHER, this.#key, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(contextBytes(context)).setAuthTag(tag);
      return Buffer.concat([decipher.update(body), decipher.final()]).toString("utf8");
    } catch {
      return undefined;
    }
  }
}

/** No two lists have the same bytes. */
function contextBytes(context: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify(context), "utf8");
}
