import { useEffect, useState } from "react";
import { type Found, search } from "../rest-watch.ts";
import { HISTORY_EARLIEST, historySearch, type Moment, momentsOf } from "../state/history.ts";
import { loadUntilDone } from "../state/load-until-done.ts";
import { SEARCHES } from "../state/rights.ts";
import { pauseUntilSeen, useTick } from "./parts.tsx";
import { useMayAtOnce } from "./rights.tsx";

/** Health events come hourly and at changes; a search costs more than a look into the KV store. */
export const SEARCH_MS = 300_000;

export interface Searched {
  /** Undefined while the search runs. */
  readonly rows: readonly Found[] | undefined;
  readonly failure: string;
}

/**
 * Runs a search at once and every five minutes. A later failure keeps the rows that are shown.
 *
 * @param text undefined: nothing is searched.
 * @param attempt another number searches again.
 */
export function useSearch(text: string | undefined, earliest: string, attempt = 0): Searched {
  const [searched, setSearched] = useState<Searched>({ rows: undefined, failure: "" });
  const tick = useTick(SEARCH_MS);
  useEffect(() => setSearched({ rows: undefined, failure: "" }), [text, earliest]);
  useEffect(() => {
    if (text === undefined) return undefined;
    const over = new AbortController();
    void loadUntilDone({
      async load() {
        const rows = await search(text, earliest);
        if (!over.signal.aborted) setSearched({ rows, failure: "" });
      },
      stop: over.signal,
      pause: (ms) => pauseUntilSeen(ms, over.signal),
      say: (failure) => setSearched((before) => ({ ...before, failure })),
    });
    return () => over.abort();
  }, [text, earliest, tick, attempt]);
  return searched;
}

export interface History {
  readonly moments: readonly Moment[];
  /** Why there is none. */
  readonly note: string;
}

/** The last 24 hours of these inputs. */
export function useHistory(inputs: readonly string[]): History {
  // The page says what is missing.
  const maySearch = useMayAtOnce(SEARCHES);
  const text = inputs.length === 0 || !maySearch ? undefined : historySearch(inputs);
  const { rows, failure } = useSearch(text, HISTORY_EARLIEST);
  if (failure !== "") return { moments: momentsOf(rows ?? []), note: `The last 24 hours cannot be shown. ${failure}` };
  if (rows === undefined) return { moments: [], note: "" };
  return { moments: momentsOf(rows), note: rows.length === 0 && inputs.length > 0 ? NOTHING_FOUND : "" };
}

const NOTHING_FOUND =
  "A search on this host finds no health event of the last 24 hours: forwarders send them on. The dashboard Customers shows them where events are searched.";
