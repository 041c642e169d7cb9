import Button from "@splunk/react-ui/Button";
import Message from "@splunk/react-ui/Message";
import Modal from "@splunk/react-ui/Modal";
import Switch from "@splunk/react-ui/Switch";
import { type ReactElement, type ReactNode, useCallback, useEffect, useMemo, useState } from "react";
import { after } from "../after.ts";
import type { Pace } from "../state/poll-pace.ts";
import { Poller } from "../state/poller.ts";
import { mustTick } from "./transport.ts";

/** A number that grows as time goes on, while somebody can see the page; at once when it is seen again. */
export function useTick(everyMs: number): number {
  const [tick, setTick] = useState(0);
  useEffect(() => {
    let isDue = false;
    const look = (): void => {
      if (document.hidden || !isDue) return;
      isDue = false;
      setTick((before) => before + 1);
    };
    const timer = setInterval(() => {
      isDue = true;
      look();
    }, everyMs);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [everyMs]);
  return tick;
}

/**
 * Loads at once and again and again, one load at a time, while somebody can see the page. Returns what loads
 * once more.
 *
 * @param load the same function as long as it loads the same; another one loads at once. Returns what it
 *   loaded; undefined when that failed or more is expected soon.
 */
export function usePolled(load: () => Promise<unknown>, pace: Pace): () => Promise<void> {
  const poller = useMemo(
    () =>
      new Poller({
        load,
        pace,
        nowMs: () => performance.now(),
        after,
        isHidden: () => document.hidden,
      }),
    [load, pace],
  );
  useEffect(() => {
    const changed = (): void => poller.visibilityChanged();
    document.addEventListener("visibilitychange", changed);
    poller.start();
    return () => {
      document.removeEventListener("visibilitychange", changed);
      poller.stop();
    };
  }, [poller]);
  return useCallback(() => poller.again(), [poller]);
}

interface DialogProps {
  readonly title: string;
  readonly maxWidth: number;
  readonly onClose: () => void;
  readonly children: ReactNode;
}

/** Shown while it is rendered; then the focus goes back to what opened it. */
export function Dialog({ title, maxWidth, onClose, children }: DialogProps): ReactElement {
  const [opener] = useState(() => document.activeElement as HTMLElement | null);
  // The library gives the focus back only when a dialog is closed before it is taken away.
  useEffect(() => () => void setTimeout(() => opener?.focus()), [opener]);
  return (
    <Modal open returnFocus={() => opener?.focus()} onRequestClose={onClose} style={{ maxWidth }}>
      <Modal.Header title={title} />
      {children}
    </Modal>
  );
}

interface TickProps {
  readonly isTicked: boolean;
  readonly onTick: (isTicked: boolean) => void;
}

/** Above a field for a secret, where the connection is not encrypted. */
export function SecretWarning({ isTicked, onTick }: TickProps): ReactElement | null {
  if (!mustTick()) return null;
  return (
    <Message type="error">
      Splunk Web is open over http, so others on the network can read a secret that you type here. Enable https
      (enableSplunkWebSSL in web.conf).
      <Switch appearance="checkbox" selected={isTicked} onClick={() => onTick(!isTicked)}>
        Send it all the same
      </Switch>
    </Message>
  );
}

interface PageSwitchProps {
  readonly label: string;
  readonly page: number;
  readonly pages: number;
  readonly onPage: (page: number) => void;
}

export function PageSwitch({ label, page, pages, onPage }: PageSwitchProps): ReactElement | null {
  if (pages <= 1) return null;
  return (
    <nav aria-label={label} style={{ display: "flex", gap: 8, alignItems: "center" }}>
      <Button label="Previous" disabled={page === 1} onClick={() => onPage(page - 1)} />
      Page {page} of {pages}
      <Button label="Next" disabled={page === pages} onClick={() => onPage(page + 1)} />
    </nav>
  );
}

/** A pause that ends early when it is stopped. */
export function pauseUntil(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const cancel = after(ms, resolve);
    stop.addEventListener("abort", () => {
      cancel();
      resolve();
    });
  });
}

/** The same, and it lasts as long as nobody can see the page. */
export async function pauseUntilSeen(ms: number, stop: AbortSignal): Promise<void> {
  await pauseUntil(ms, stop);
  if (!document.hidden || stop.aborted) return;
  await new Promise<void>((resolve) => {
    const over = new AbortController();
    const end = (): void => {
      if (document.hidden && !stop.aborted) return;
      over.abort();
      resolve();
    };
    document.addEventListener("visibilitychange", end, { signal: over.signal });
    stop.addEventListener("abort", end, { signal: over.signal });
  });
}
