import { sendPlain, sendPrepared } from "../answers.ts";
import { acceptsGzip, type Exchange } from "../exchange.ts";
import { type Prepared, prepare } from "../pages.ts";
import type { Table, Version } from "../records.ts";
import type { Customer } from "../world.ts";
import type { ListAnswer } from "./lists.ts";

/** Pages deflated once; the oldest are dropped when all together exceed the limit. */
export interface PageCache {
  page(key: string, chunks: () => Iterable<string>): Promise<Prepared>;
}

const CACHE_BYTES = 768 * 1024 * 1024;

export function makePageCache(): PageCache {
  const pages = new Map<string, Promise<Prepared>>();
  let bytes = 0;
  const makeRoom = async (newest: string): Promise<void> => {
    for (const [oldest, page] of pages) {
      if (bytes <= CACHE_BYTES || oldest === newest) return;
      pages.delete(oldest);
      bytes -= (await page).deflated.length;
    }
  };
  return {
    async page(key, chunks) {
      const known = pages.get(key);
      if (known !== undefined) {
        // Back to the end of the line: the page used longest ago goes first.
        pages.delete(key);
        pages.set(key, known);
        return known;
      }
      const made = prepare(chunks());
      pages.set(key, made);
      bytes += (await made).deflated.length;
      await makeRoom(key);
      return made;
    },
  };
}

export interface ListPage {
  readonly customer: Customer;
  readonly table: Table;
  readonly answer: ListAnswer;
  readonly head: string;
  readonly status: number;
  readonly headers: Record<string, string>;
  /** A variant of the records (expanded, masked), part of the cache's key. */
  readonly variant: string;
  readonly text: (version: Version) => string;
}

/** Pages of at least this many rows are worth deflating once; a small one is zipped as it goes. */
const PREPARED_FROM_ROWS = 10;

/** Sends one page. `head` ends just before the rows, `]}` is added here. */
export async function sendPage(exchange: Exchange, page: ListPage, cache: PageCache, end = "]}"): Promise<void> {
  const { rows } = page.answer;
  const chunks = function* (): Generator<string> {
    for (const [index, row] of rows.entries()) yield index === 0 ? page.text(row) : `,${page.text(row)}`;
    yield end;
  };
  if (!acceptsGzip(exchange.request) || rows.length === 0 || exchange.damage !== undefined)
    return sendPlain(exchange, page.status, prefixed(page.head, chunks()), page.headers);
  const key =
    page.answer.cacheKey === undefined || rows.length < PREPARED_FROM_ROWS
      ? undefined
      : `${page.customer.identity.name} ${page.table.facts.name} ${page.table.revision()} ${page.answer.cacheKey} ${page.variant}`;
  const rest = key === undefined ? await prepare(chunks(), 1) : await cache.page(key, chunks);
  sendPrepared(exchange, page.status, page.head, rest, page.headers);
}

function* prefixed(head: string, chunks: Iterable<string>): Generator<string> {
  let text = head;
  for (const chunk of chunks) {
    text += chunk;
    if (text.length < 65_536) continue;
    yield text;
    text = "";
  }
  if (text !== "") yield text;
}
