import { spawnSync } from "node:child_process";
import { userInfo } from "node:os";
import { windowsProgram } from "./system-programs.ts";

/**
 * Arguments of `icacls` that give only this account access to a folder and its later content. Source:
 * Microsoft Windows Server docs, icacls.
 */
function ownerOnlyArguments(folder: string, account: string): readonly string[] {
  return [folder, "/inheritance:r", "/grant:r", `${account}:(OI)(CI)F`];
}

/** For SecretFiles on Windows, where file modes have no effect; other systems use modes. */
export function withRestriction(platform: NodeJS.Platform = process.platform): {
  readonly restrict?: (folder: string) => void;
} {
  if (platform !== "win32") return {};
  return {
    restrict(folder) {
      const { username } = userInfo();
      const domain = process.env["USERDOMAIN"];
      const done = spawnSync(
        windowsProgram("icacls.exe"),
        ownerOnlyArguments(folder, domain ? `${domain}\\${username}` : username),
        {
          windowsHide: true,
          stdio: "ignore",
        },
      );
      if (done.error || done.status !== 0) throw Object.assign(new Error("icacls failed"), { code: "EACCES" });
    },
  };
}
