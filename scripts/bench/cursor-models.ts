/**
 * Ten published cursor rules as small models: which rows they ask for, and where they continue. They rank
 * rules; they are not measurements of products. Each is written down from public sources and issues of the
 * project named; nothing of their code is used.
 */
import { type DayList, type DayVersion, MINUTE_MS, RequestFailed, ticksOfMs } from "./cursor-day.ts";

export interface CursorModel {
  readonly rule: string;
  readonly who: string;
  readonly pollMs: number;
  /** A fresh collector: called at each poll, it sends what it delivers, page by page. */
  readonly start: () => (list: DayList, send: (rows: readonly DayVersion[]) => void) => void;
}

const newestOf = (rows: readonly DayVersion[], field: "created" | "updated", least: bigint): bigint =>
  rows.reduce((newest, row) => (row[field] > newest ? row[field] : newest), least);

const TICKS_PER_SECOND = 10_000_000n;
const FIVE_MINUTES_MS = 5 * MINUTE_MS;

export const CURSOR_MODELS: readonly CursorModel[] = [
  {
    rule: "updated `ge` the last event, oldest first; pages guarded by the size asked for, not by the clamp",
    who: "Elastic up to 5.15.0",
    pollMs: FIVE_MINUTES_MS,
    start() {
      let cursor = 0n;
      return (list, send) => {
        // 2,000 were asked for and 1,000 came, so the page always looks like the last one.
        const rows = list.ask({ field: "updated", from: { is: "ge", at: cursor }, ascendingBy: "updated", top: 2_000 });
        send(rows);
        cursor = newestOf(rows, "updated", cursor);
      };
    },
  },
  {
    rule: "updated `gt` the page's newest time, oldest first",
    who: "Elastic 5.15.1",
    pollMs: FIVE_MINUTES_MS,
    start() {
      let cursor = 0n;
      return (list, send) => {
        for (let is: "ge" | "gt" = "ge"; ; is = "gt") {
          const rows = list.ask({ field: "updated", from: { is, at: cursor }, ascendingBy: "updated", top: 1_000 });
          send(rows);
          cursor = newestOf(rows, "updated", cursor);
          if (rows.length < 1_000) return;
        }
      };
    },
  },
  {
    rule: "updated `gt` a cursor read from a member that no answer has, one page",
    who: "Elastic, Defender for Endpoint",
    pollMs: FIVE_MINUTES_MS,
    start: () => (list, send) => send(list.ask({ field: "updated", from: { is: "gt", at: 0n }, top: 10_000 })),
  },
  {
    rule: "created in [last, now - 45 s), links, pages of 50",
    who: "Wazuh",
    pollMs: FIVE_MINUTES_MS,
    start() {
      let last = 0n;
      return (list, send) => {
        const to = ticksOfMs(list.nowMs - 45_000);
        list.follow({ field: "created", from: { is: "ge", at: last }, to: { is: "lt", at: to }, top: 50 }, send);
        last = to;
      };
    },
  },
  {
    rule: "created in (a, b] each minute, five minutes behind, the last 2,000 ids remembered",
    who: "Sekoia",
    pollMs: MINUTE_MS,
    start() {
      let last = 0n;
      const known = new Set<string>();
      return (list, send) => {
        const from = last;
        const to = ticksOfMs(list.nowMs - FIVE_MINUTES_MS);
        // The window counts as done whatever becomes of it.
        last = to > from ? to : from;
        list.follow(
          { field: "created", from: { is: "gt", at: from }, to: { is: "le", at: to }, top: 1_000 },
          (page) => {
            const fresh = page.filter(({ id }) => !known.has(id));
            for (const { id } of fresh) known.add(id);
            for (const id of known) {
              if (known.size <= 2_000) break;
              known.delete(id);
            }
            send(fresh);
          },
        );
      };
    },
  },
  {
    rule: "created `gt` the last, one page of 200, sorted at the client",
    who: "Cortex XSOAR, Graph alerts",
    pollMs: MINUTE_MS,
    start() {
      let last = 0n;
      return (list, send) => {
        const rows = list.ask({ field: "created", from: { is: "gt", at: last }, top: 200 });
        send(rows.toSorted((one, other) => (one.created < other.created ? -1 : 1)));
        last = newestOf(rows, "created", last);
      };
    },
  },
  {
    rule: "created `gt` the last in order of creation, `$skip` until a short page; a failure starts over",
    who: "Cortex XSOAR, XDR incidents",
    pollMs: MINUTE_MS,
    start() {
      let last = 0n;
      return (list, send) => {
        const queue: DayVersion[] = [];
        list.follow({ field: "created", from: { is: "gt", at: last }, ascendingBy: "created", top: 100 }, (page) =>
          queue.push(...page),
        );
        send(queue);
        last = newestOf(queue, "created", last);
      };
    },
  },
  {
    rule: "updated `gt` the newest, cut to seconds, newest first, links; keeps what it has when a page fails",
    who: "OpenCTI",
    pollMs: FIVE_MINUTES_MS,
    start() {
      let newest = 0n;
      return (list, send) => {
        const from = (newest / TICKS_PER_SECOND) * TICKS_PER_SECOND;
        try {
          list.follow({ field: "updated", from: { is: "gt", at: from }, top: 100 }, (page) => {
            send(page);
            newest = newestOf(page, "updated", newest);
          });
        } catch (error) {
          if (!(error instanceof RequestFailed)) throw error;
        }
      };
    },
  },
  {
    rule: "created `ge` the newest, no paging",
    who: "a Cribl pack",
    pollMs: FIVE_MINUTES_MS,
    start() {
      let newest = 0n;
      return (list, send) => {
        const rows = list.ask({ field: "created", from: { is: "ge", at: newest }, top: 1_000 });
        send(rows);
        newest = newestOf(rows, "created", newest);
      };
    },
  },
  {
    rule: "updated in the last five minutes, every five minutes, no memory",
    who: "a Tenzir package",
    pollMs: FIVE_MINUTES_MS,
    start: () => (list, send) => {
      list.follow(
        { field: "updated", from: { is: "ge", at: ticksOfMs(list.nowMs - FIVE_MINUTES_MS) }, top: 1_000 },
        send,
      );
    },
  },
];
