import { useEffect, useState } from "react";
import { loadUntilDone } from "../state/load-until-done.ts";
import { pauseUntilSeen } from "./parts.tsx";

/**
 * Loads until that worked. Returns why it has not yet; empty when it has, or was not tried.
 *
 * @param load the same function as long as it loads the same; another one loads at once. Undefined: nothing.
 */
export function useLoaded(load: ((stop: AbortSignal) => Promise<void>) | undefined): string {
  const [failure, setFailure] = useState("");
  useEffect(() => {
    if (load === undefined) return undefined;
    const over = new AbortController();
    void loadUntilDone({
      load,
      stop: over.signal,
      pause: (ms) => pauseUntilSeen(ms, over.signal),
      say: setFailure,
    });
    return () => over.abort();
  }, [load]);
  return failure;
}
