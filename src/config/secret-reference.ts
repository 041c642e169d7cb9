import { quotedForPosix } from "../model/command-line.ts";
import type { Reading } from "./kinds.ts";

/** Looks up secrets by reference; each method returns undefined if it finds nothing. */
export interface SecretReader {
  /** A file's text, and whether other accounts of this machine can read it. */
  file(path: string): { readonly text: string; readonly openToOthers: boolean } | undefined;
  env(name: string): string | undefined;
  /**
   * A systemd credential (`LoadCredential=`, systemd.exec(5)); `false` if the process has no credentials.
   */
  credential(name: string): string | false | undefined;
}

export interface FoundSecret {
  readonly value: string;
  readonly warning?: string;
}

const REFERENCE = /^(file|env|credential):(.+)$/s;

/**
 * A secret in a properties file: the value itself, or `file:PATH`, `env:NAME`,
 * `credential:NAME`. One line break at a file's end is not part of it. The sentences name the reference,
 * never the value.
 */
export function readSecret(text: string, files: SecretReader): Reading<FoundSecret> {
  const reference = REFERENCE.exec(text.trim());
  if (!reference) return { ok: true, value: { value: text } };
  const [, way, where = ""] = reference;
  if (way === "file") return fromFile(where.trim(), files);
  if (way === "env") {
    const value = files.env(where.trim());
    return value
      ? found(value)
      : none(
          `names the environment variable ${where.trim()}, which is not set; set it for the service, or use file:PATH or credential:NAME`,
        );
  }
  const value = files.credential(where.trim());
  if (value === false)
    return none(
      `names the credential ${where.trim()}, but this process has no credentials; add LoadCredential=${where.trim()}:/path to the systemd unit`,
    );
  return value
    ? found(withoutLineEnd(value))
    : none(
        `names the credential ${where.trim()}, which this process does not have; add LoadCredential=${where.trim()}:/path to the systemd unit`,
      );
}

function fromFile(path: string, files: SecretReader): Reading<FoundSecret> {
  const file = files.file(path);
  if (!file)
    return none(
      `names the file ${path}, which does not exist or cannot be read; write its full path and let the service's account read it`,
    );
  const value = withoutLineEnd(file.text);
  if (value === "") return none(`names the file ${path}, which is empty; write the secret into the file`);
  if (!file.openToOthers) return found(value);
  return {
    ok: true,
    value: {
      value,
      warning: `the secret file ${path} can be read by other accounts; run \`chmod 600 ${quotedForPosix(path)}\``,
    },
  };
}

function found(value: string): Reading<FoundSecret> {
  return { ok: true, value: { value } };
}

function none(say: string): Reading<never> {
  return { ok: false, say };
}

function withoutLineEnd(text: string): string {
  return text.replace(/^\u00ef\u00bb\u00bf|^\ufeff/, "").replace(/\r?\n$/, "");
}
