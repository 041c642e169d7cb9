import { readFileSync } from "node:fs";
import path from "node:path";
import type { Conf } from "./conf.ts";
import { readConf } from "./conf.ts";
import type { Value } from "./eval-language.ts";
import type { IndexedEvent, Knowledge } from "./search-time.ts";
import { searchEvent } from "./search-time.ts";
import type { Row, SearchWorld } from "./spl.ts";

const APPS = path.resolve(import.meta.dirname, "../../splunk-app");

/** A conf file as it is shipped. */
export function shippedConf(name: string, app = "SA_defender_mssp"): Conf {
  return readConf(readFileSync(path.join(APPS, app, "default", name), "utf8"));
}

/** A view as it is shipped. */
export function shippedView(name: string, app = "SA_defender_mssp"): string {
  return readFileSync(path.join(APPS, app, "default/data/ui/views", name), "utf8");
}

/** What Dashboard Studio reads of a view. */
export interface DashboardDefinition {
  readonly dataSources: Readonly<Record<string, DataSource>>;
  readonly visualizations: Readonly<
    Record<
      string,
      {
        readonly type: string;
        readonly title: string;
        readonly dataSources: { readonly primary: string };
        readonly options: Readonly<Record<string, unknown>>;
        readonly eventHandlers?: readonly {
          readonly type: string;
          readonly options: { readonly tokens?: readonly { readonly token: string; readonly key: string }[] };
        }[];
      }
    >
  >;
  readonly inputs: Readonly<Record<string, { readonly options: { readonly token: string } }>>;
  readonly defaults: { readonly tokens: { readonly default: Readonly<Record<string, unknown>> } };
  readonly layout: {
    readonly globalInputs: readonly string[];
    readonly structure: readonly {
      readonly item: string;
      readonly position: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
    }[];
  };
}

export interface DataSource {
  readonly type: string;
  readonly options: {
    readonly query: string;
    /** The data source whose rows this one goes on with. */
    readonly extend?: string;
    readonly queryParameters?: { readonly earliest: string; readonly latest: string };
  };
}

/** The definition inside a view of Dashboard Studio. */
export function definitionIn(xml: string): DashboardDefinition {
  const text = /<definition><!\[CDATA\[(.*)\]\]><\/definition>/s.exec(xml)?.[1] ?? "";
  return JSON.parse(text) as DashboardDefinition;
}

export function shippedKnowledge(otherProps: readonly Conf[] = []): Knowledge {
  return {
    props: [shippedConf("props.conf"), ...otherProps],
    transforms: shippedConf("transforms.conf"),
    eventtypes: shippedConf("eventtypes.conf"),
    tags: shippedConf("tags.conf"),
  };
}

/** The macros as they are shipped, by name. */
export function shippedMacros(): ReadonlyMap<string, string> {
  return new Map([...shippedConf("macros.conf")].map(([name, stanza]) => [name, stanza.get("definition") ?? ""]));
}

/** What a search over these events sees, with the knowledge that is shipped; no lookup is filled. */
export function shippedWorld(events: readonly IndexedEvent[]): SearchWorld {
  const knowledge = shippedKnowledge();
  const rows = events
    .map((event): Row => {
      const { fields, eventtypes } = searchEvent(event, knowledge);
      return new Map<string, Value>([...fields, ["eventtype", eventtypes]]);
    })
    .toSorted((a, b) => Number(b.get("_time")) - Number(a.get("_time")));
  return { events: rows, macros: shippedMacros(), lookups: new Map() };
}
