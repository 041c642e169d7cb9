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

/**
 * This account as icacls takes it: by its number (SID). A name fails for an account of Windows itself, which
 * services run as: USERNAME is then the machine's name with a dollar sign. By name only where whoami tells no
 * number. Source: Microsoft Windows Server docs, whoami and icacls ("*" before a SID).
 */
function ownAccount(): string {
  const { stdout } = spawnSync(windowsProgram("whoami.exe"), ["/user", "/fo", "csv", "/nh"], {
    windowsHide: true,
    encoding: "latin1",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const number = /"(S-1-[\d-]+)"\s*$/.exec(stdout ?? "")?.[1];
  if (number !== undefined) return `*${number}`;
  const { username } = userInfo();
  const domain = process.env["USERDOMAIN"];
  return domain ? `${domain}\\${username}` : username;
}

/** For SecretFiles on Windows, where file modes have no effect; other systems use modes. */
export function withRestriction(platform: NodeJS.Platform = process.platform): {
  readonly restrict?: (folder: string) => void;
} {
  if (platform !== "win32") return {};
  return {
    restrict(folder) {
      const done = spawnSync(windowsProgram("icacls.exe"), ownerOnlyArguments(folder, ownAccount()), {
        windowsHide: true,
        stdio: "ignore",
      });
      if (done.error || done.status !== 0) throw Object.assign(new Error("icacls failed"), { code: "EACCES" });
    },
  };
}
