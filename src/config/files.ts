import path from "node:path";
import type { Reading } from "./kinds.ts";

/** How settings look at the disk: nothing is opened, nothing is read. */
export interface FileLook {
  /**
   * Follows links. `realPath` is where the path leads in the end; `openToOthers`: accounts besides the owner
   * may read it.
   */
  look(
    file: string,
  ):
    | { readonly kind: "missing" }
    | { readonly kind: "file" | "folder" | "other"; readonly realPath: string; readonly openToOthers?: boolean };
}

/** Where files that settings name may lie. Without `roots` any regular file will do. */
export interface FileRule {
  readonly files: FileLook;
  /**
   * Folders, absolute; at least one for Splunk: who may edit an input must not be able to have any file of
   * the host read.
   */
  readonly roots?: readonly string[];
  /** Replaces a leading `$SPLUNK_HOME` in a value. */
  readonly splunkHome?: string;
}

/** Checks that a setting's file may be used. The message names the path, never content. */
export function readFilePath(text: string, rule: FileRule): Reading<string> {
  const file =
    rule.splunkHome === undefined
      ? text
      : text.replace(/^\$SPLUNK_HOME(?=[\\/])|^\$\{SPLUNK_HOME\}(?=[\\/])/, rule.splunkHome);
  const instead = rule.roots
    ? `put it under ${rule.roots.join(" or ")} and write its full path`
    : "write the full path of a readable file";
  if (!path.isAbsolute(file) && rule.roots) return { ok: false, say: `${file} is not a full path; ${instead}` };
  const normal = path.resolve(file);
  if (rule.roots && !rule.roots.some((root) => isUnder(normal, path.resolve(root))))
    return { ok: false, say: `${file} lies outside the allowed folders; ${instead}` };
  const found = rule.files.look(normal);
  if (found.kind === "missing") return { ok: false, say: `${file} does not exist or may not be read; ${instead}` };
  if (found.kind !== "file") return { ok: false, say: `${file} is not a regular file; ${instead}` };
  if (rule.roots) {
    const realRoots = rule.roots.flatMap((root) => {
      const looked = rule.files.look(root);
      return looked.kind === "missing" ? [] : [looked.realPath];
    });
    if (!realRoots.some((root) => isUnder(found.realPath, root)))
      return { ok: false, say: `${file} is a link that leads outside the allowed folders; ${instead}` };
  }
  return { ok: true, value: normal };
}

function isUnder(file: string, root: string): boolean {
  const relative = path.relative(root, file);
  return relative !== "" && !relative.startsWith("..") && !path.isAbsolute(relative);
}
