import path from "node:path";
import type { Reading } from "./kinds.ts";

/** How settings check files on disk: no file is opened or read. */
export interface FileLook {
  /**
   * Follows links. `realPath` is the final path; `openToOthers`: accounts other than the owner can read it.
   */
  look(
    file: string,
  ):
    | { readonly kind: "missing" }
    | { readonly kind: "file" | "folder" | "other"; readonly realPath: string; readonly openToOthers?: boolean };
}

/** Where the files named in settings may be. Without `roots` any regular file is allowed. */
export interface FileRule {
  readonly files: FileLook;
  /**
   * Absolute folders; at least one in Splunk, so that users who can edit inputs cannot make this program read
   * any other file of the host.
   */
  readonly roots?: readonly string[];
  /** Replaces a leading `$SPLUNK_HOME` in a value. */
  readonly splunkHome?: string;
}

/** Checks that a setting's file can be used. The message names the path, never the content. */
export function readFilePath(text: string, rule: FileRule): Reading<string> {
  const file =
    rule.splunkHome === undefined
      ? text
      : text.replace(/^\$SPLUNK_HOME(?=[\\/])|^\$\{SPLUNK_HOME\}(?=[\\/])/, rule.splunkHome);
  const instead = rule.roots
    ? `put the file under ${rule.roots.join(" or ")} and write its full path`
    : "write the full path of a readable file";
  if (!path.isAbsolute(file) && rule.roots) return { ok: false, say: `${file} is not an absolute path; ${instead}` };
  const normal = path.resolve(file);
  if (rule.roots && !rule.roots.some((root) => isUnder(normal, path.resolve(root))))
    return { ok: false, say: `${file} is outside the allowed folders; ${instead}` };
  const found = rule.files.look(normal);
  if (found.kind === "missing") return { ok: false, say: `${file} does not exist or cannot be read; ${instead}` };
  if (found.kind !== "file") return { ok: false, say: `${file} is not a regular file; ${instead}` };
  if (rule.roots) {
    const realRoots = rule.roots.flatMap((root) => {
      const looked = rule.files.look(root);
      return looked.kind === "missing" ? [] : [looked.realPath];
    });
    if (!realRoots.some((root) => isUnder(found.realPath, root)))
      return { ok: false, say: `${file} is a link to a file outside the allowed folders; ${instead}` };
  }
  return { ok: true, value: normal };
}

function isUnder(file: string, root: string): boolean {
  const relative = path.relative(root, file);
  return relative !== "" && !relative.startsWith("..") && !path.isAbsolute(relative);
}
