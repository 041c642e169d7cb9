import type { Reading } from "./kinds.ts";

/** How secrets by reference are looked up; every way may find nothing. */
export interface SecretReader {
  /** A file's text and whether other accounts of this machine may read it. */
  file(path: string): { readonly text: string; readonly openToOthers: boolean } | undefined;
  env(name: string): string | undefined;
  /**
   * A systemd credential (`LoadCredential=`, systemd.exec(5)); `false` when the process was given none at
   * all.
   */
  credential(name: string): string | false | undefined;
}

export interface FoundSecret {
  readonly value: string;
  readonly warning?: string;
}

const REFERENCE = /^(file|env|credential):(.+)$/s;

/**
 * A secret as it stands in a properties file: the value itself, or `file:PATH`, `env:NAME`,
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
          `names the environment variable ${where.trim()}, which is not set; set it for the service or write the secret another way`,
        );
  }
  const value = files.credential(where.trim());
  if (value === false)
    return none(
      `names the credential ${where.trim()}, but the process was given none; add LoadCredential=${where.trim()}:/path to the systemd unit`,
    );
  return value
    ? found(withoutLineEnd(value))
    : none(
        `names the credential ${where.trim()}, which the process was not given; add LoadCredential=${where.trim()}:/path to the systemd unit`,
      );
}

function fromFile(path: string, files: SecretReader): Reading<FoundSecret> {
  const file = files.file(path);
  if (!file)
    return none(
      `names the file ${path}, which does not exist or may not be read; give its full path and the service's account the right to read it`,
    );
  const value = withoutLineEnd(file.text);
  if (value === "") return none(`names the file ${path}, which is empty; put the secret into it`);
  if (!file.openToOthers) return found(value);
  return {
    ok: true,
    value: { value, warning: `the secret file ${path} can be read by other accounts; run chmod 600 on it` },
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
